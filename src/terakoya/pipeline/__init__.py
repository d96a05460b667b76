"""A run in order (run.py), and one function per command (commands.py)."""
