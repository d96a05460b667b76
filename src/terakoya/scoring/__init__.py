"""How predictions are scored: metrics, baselines, degeneration measures and statistics."""
