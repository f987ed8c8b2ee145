"""Metrics, thresholds, calibration and evaluation protocols."""
