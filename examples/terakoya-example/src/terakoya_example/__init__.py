"""One task, metric, codec, loss, baseline and model for Terakoya."""
