"""Accuracy of trained models, and validity of the statistics that judge them."""
