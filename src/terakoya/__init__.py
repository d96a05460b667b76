"""Terakoya teaches small language models narrow Japanese skills, and tells the truth about what was learnt.

Read `pipeline` first: it tells a run in order, and every step lies in the room that bears its name.
"""

__version__ = "0.1.0"
