"""Injected faults, crash tests and fuzzing: what is detected, and what survives."""
