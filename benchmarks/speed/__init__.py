"""Time, memory and operator counts, as ratios to a peer measured in the same run."""
