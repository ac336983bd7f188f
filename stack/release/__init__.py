"""What turns a registered model version into the one that is served, and what asks that server."""
