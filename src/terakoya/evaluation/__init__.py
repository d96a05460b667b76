"""The exam: predicted, resumed, scored, compared."""
