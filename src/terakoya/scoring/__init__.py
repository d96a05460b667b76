"""How answers are judged: metrics, baselines, health and certainty."""
