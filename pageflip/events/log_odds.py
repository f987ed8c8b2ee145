"""Log-odds of frame probabilities relative to the threshold of their model, so that models can be exchanged."""

import math

import numpy as np

MAX_ABS_LOG_ODDS = 6.0  # clip


def to_log_odds(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return log-odds minus those of the threshold, float64 [N], clipped to MAX_ABS_LOG_ODDS on either side."""
    clipped = np.clip(np.asarray(probabilities, np.float64), 1e-4, 1 - 1e-4)
    middle = min(max(threshold, 1e-4), 1 - 1e-4)
    odds = np.log(clipped / (1 - clipped)) - math.log(middle / (1 - middle))
    return np.clip(odds, -MAX_ABS_LOG_ODDS, MAX_ABS_LOG_ODDS)
