"""Where errors lie: aligned differences, and what wrong items have in common, each by an exact corrected test."""
