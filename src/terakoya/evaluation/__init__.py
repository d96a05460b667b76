"""The exam: answered, resumed, scored, compared."""
