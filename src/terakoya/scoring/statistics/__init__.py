"""Intervals, paired tests, power, calibration and the verdict."""
