"""Fused layers for pretrained models, used only where a trial finds them equal."""
