"""A folder that the Hugging Face Hub shows as a model, and its upload."""
