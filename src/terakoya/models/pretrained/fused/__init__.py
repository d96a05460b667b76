"""Fused layers for pretrained models, used only where they are measured to compute the same."""
