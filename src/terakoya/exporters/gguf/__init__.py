"""GGUF files of causal pretrained skills, and llama.cpp that predicts with them."""
