"""What people say about rows: corrections of targets, wrong targets of an exam, and whether an exam is right.

Everything is an entry of an append-only log (`log.py`) with the name that the person gave and the time. No table and no
sealed result is ever changed: corrections are applied when a table is read, and scores that count marked rows stand
beside the sealed ones.
"""
