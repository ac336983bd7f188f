"""Turns a registered model version into the one that is served, and sends requests to it."""
