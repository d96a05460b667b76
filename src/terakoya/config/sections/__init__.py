"""The sections of a config, one in each module: every key with its type, its default and its description."""
