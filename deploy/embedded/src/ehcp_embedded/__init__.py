"""The ehcp command: all four services in one process."""
