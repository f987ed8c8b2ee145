"""The cluster bootstrap of F1: whole groups are drawn with replacement.

F1 needs only the true positives, false positives and false negatives of each group. A draw of groups is one row of
multinomial counts, and all draws together are one matrix product.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pageflip.base.errors import ConfigError, DataError

_DRAWS_AT_ONCE = 4_000_000  # drawn group counts held in memory at a time: 32 MB


def group_counts(target: np.ndarray, called: np.ndarray, groups: npt.ArrayLike) -> np.ndarray:
    """Count the true positives, false positives and false negatives of each group.

    Args:
        target: int [N], 1 is flip.
        called: bool [N], whether a frame is called flip.
        groups: [N], one name per frame.

    Returns:
        float64 [groups, 3], in the order of the groups' names.

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
    """Compute F1 from tp, fp, fn in the last axis; 0 where it is undefined."""
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def resampled_f1(tables: list[np.ndarray], *, samples: int, seed: int) -> np.ndarray:
    """Compute the F1 of each table of group counts over the same draws of groups.

    Args:
        tables: float64 [groups, 3] each, of the same groups (see `group_counts`).
        samples: number of draws.
        seed: of the draws.

    Returns:
        float64 [tables, draws with a flip].
    """
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


def tail_quantiles(level: float) -> tuple[float, float]:
    """Return the two quantiles that enclose the share `level`.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(f"the level {level} of an interval is not between 0 and 1", "0.95 is usual.")
    return (1 - level) / 2, (1 + level) / 2
