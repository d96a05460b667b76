"""Several processes, and several threads of one process."""
