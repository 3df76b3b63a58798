"""Calibration: whether probabilities are what they say, and what a temperature mends."""
