"""The built-in models: 60 thousand to 10 million weights, trained from random initialisation."""
