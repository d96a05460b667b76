"""Trainable models behind one protocol (`protocol`): `builtin`, trained from random weights, and `pretrained`."""
