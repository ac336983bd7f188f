"""What turns a registered model version into a running model server, and what talks to that server."""
