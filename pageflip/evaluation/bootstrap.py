"""Drawing whole groups with replacement: the counts that intervals of F1 are made from.

F1 needs only the true positives, false positives and false negatives of each group, so a draw of groups is one row
of multinomial counts and all draws together are one matrix product; no frame is touched twice.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pageflip.base.errors import ConfigError, DataError

_DRAWS_AT_ONCE = 4_000_000  # drawn group counts held in memory at a time: 32 MB


def group_counts(target: np.ndarray, called: np.ndarray, groups: npt.ArrayLike) -> np.ndarray:
    """True positives, false positives and false negatives of each group: float64 [groups, 3].

    Args:
        target: int [N], 1 is flip; called: bool [N], called flip; groups: [N], one name per frame.

    Raises:
        DataError: the lengths differ, or a frame has no group.
    """
    groups = np.asarray(groups)
    if groups.shape != target.shape:
        raise DataError(
            f"there are {len(groups)} groups for {len(target)} frames",
            "give each frame its group.",
        )
    place, names = pd.factorize(groups, sort=True)
    if (place < 0).any():
        raise DataError(f"frame {np.argmin(place)} has no group", "give each frame its group.")
    flip = target == 1
    outcomes = (called & flip, called & ~flip, ~called & flip)
    return np.stack(
        [np.bincount(place, weights=one, minlength=len(names)) for one in outcomes],
        axis=1,
    )


def f1_of_counts(counts: np.ndarray) -> np.ndarray:
    """F1 from tp, fp, fn in the last axis; 0 where it is undefined."""
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def resampled_f1(tables: list[np.ndarray], *, samples: int, seed: int) -> np.ndarray:
    """F1 of each table of group counts over the same draws of groups: float64 [tables, draws that hold a flip]."""
    generator = np.random.default_rng(seed)
    groups = len(tables[0])
    step = max(1, _DRAWS_AT_ONCE // groups)
    scores = []
    for start in range(0, samples, step):
        times = generator.multinomial(groups, np.full(groups, 1 / groups), size=min(step, samples - start))
        drawn = np.stack([times.astype(np.float64) @ table for table in tables])
        flips = drawn[0, :, 0] + drawn[0, :, 2]
        scores.append(f1_of_counts(drawn)[:, flips > 0])
    return np.concatenate(scores, axis=1)


def tails(level: float) -> tuple[float, float]:
    """The two quantiles that enclose the share `level`. Raises ConfigError when it is not between 0 and 1."""
    if not 0 < level < 1:
        raise ConfigError(f"the level {level} of an interval is not between 0 and 1", "0.95 is usual.")
    return (1 - level) / 2, (1 + level) / 2
