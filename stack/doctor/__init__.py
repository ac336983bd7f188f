"""Finds what keeps the stack from working on this machine: one line for each check. It changes nothing."""
