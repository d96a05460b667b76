"""Pretrained checkpoints: transformers and peft end in this folder."""
