"""The two ways in which a stack runs on a machine: with Docker Compose, and as local processes."""
