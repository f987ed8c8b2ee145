"""Evaluation of single frames that are read together with the frames before and after them in their clip.

Frames of clips come from videos, so the temporal network (`pageflip.events.temporal`) can read their neighbours. It was
trained on drawn recordings and knows nothing of these clips. A clip has a single label and no transition; for whole
videos see `pageflip.evaluation.videos`.
"""

from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.metrics import binary_metrics, bootstrap_interval
from pageflip.events.clock import SEQUENCE_FPS
from pageflip.events.temporal import THRESHOLD, FrameEncoder, TemporalModel, refine

SCORES = ("f1", "precision", "recall", "roc_auc")


def evaluate_in_sequence(
    test: pd.DataFrame, pack: np.ndarray, threshold: float, temporal: TemporalModel, *, samples: int, seed: int
) -> dict[str, Any]:
    """Compute SCORES over all frames, with f1_low and f1_high by bootstrap over groups.

    Args:
        test: table of predictions (see `pageflip.evaluation.judging`).
        pack: uint8 [frames, height, width, 3].
        threshold: of the table's probabilities.
        temporal: the temporal network.
        samples: draws of the bootstrap.
        seed: of these draws.
    """
    refined = refine_clips(test, pack, threshold, temporal)
    scores = binary_metrics(test["target"], refined, THRESHOLD)
    low, high = bootstrap_interval(test["target"], refined, test["group"], THRESHOLD, samples=samples, seed=seed)
    return {name: scores[name] for name in SCORES} | {"f1_low": low, "f1_high": high}


def refine_clips(test: pd.DataFrame, pack: np.ndarray, threshold: float, temporal: TemporalModel) -> np.ndarray:
    """Re-estimate each frame's probability from its clip; return float64 [N] in the table's order.

    Frame numbers count 1 / SEQUENCE_FPS seconds each.
    """
    refined = np.empty(len(test))
    for places in test.groupby("clip", sort=True).indices.values():
        clip = test.iloc[places].sort_values("frame")
        times = clip["frame"].to_numpy(np.float64) / SEQUENCE_FPS
        features = FrameEncoder(temporal).push(pack[clip["row"].to_numpy()], times)
        values = refine(features, clip["probability"].to_numpy(), times, threshold, temporal)
        refined[places[np.argsort(test["frame"].to_numpy()[places], kind="stable")]] = values
    return refined
