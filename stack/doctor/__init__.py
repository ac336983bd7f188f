"""What keeps the stack from working on this machine: one line for each check, which changes nothing."""
