"""What single frames of test clips are called when the frames before and after them are read too.

Where frames come from videos the neighbours of a frame are there; the temporal network (`pageflip.events.temporal`)
reads
them. It has learnt from drawn recordings and knows nothing of these clips. A clip has one label throughout, and no
transition: figures on whole videos (`pageflip evaluate-videos`) are harder in one way and easier in another.
"""

from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.metrics import binary_metrics, bootstrap_interval
from pageflip.events.reader import SEQUENCE_FPS
from pageflip.events.temporal import THRESHOLD, FrameEncoder, refine

FIGURES = ("f1", "precision", "recall", "roc_auc")


def judge_in_sequence(
    test: pd.DataFrame, pack: np.ndarray, threshold: float, *, samples: int, seed: int
) -> dict[str, Any]:
    """FIGURES over all frames, with f1_low and f1_high by bootstrap over groups.

    Args:
        test: a table of predictions (see `pageflip.evaluation.metrics`), with rows of the pack.
        pack: uint8 [frames, H, W, 3].
        threshold: of the table's probabilities.
    """
    refined = in_sequence(test, pack, threshold)
    scores = binary_metrics(test["target"], refined, THRESHOLD)
    low, high = bootstrap_interval(test["target"], refined, test["group"], THRESHOLD, samples=samples, seed=seed)
    return {name: scores[name] for name in FIGURES} | {"f1_low": low, "f1_high": high}


def in_sequence(test: pd.DataFrame, pack: np.ndarray, threshold: float) -> np.ndarray:
    """Refined probabilities, float64 [N], in the table's order; frame numbers count 1/30 s each."""
    refined = np.empty(len(test))
    for places in test.groupby("clip", sort=True).indices.values():
        clip = test.iloc[places].sort_values("frame")
        times = clip["frame"].to_numpy(np.float64) / SEQUENCE_FPS
        features = FrameEncoder().push(pack[clip["row"].to_numpy()], times)
        values = refine(features, clip["probability"].to_numpy(), times, threshold)
        refined[places[np.argsort(test["frame"].to_numpy()[places], kind="stable")]] = values
    return refined
