"""Baselines that a trained model is compared with."""
