"""Predictions for tests: random cases, simulated clips, and tables of predictions."""

import numpy as np
import pandas as pd


def random_case(seed, n=200, decimals=2):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, n)
    probability = np.clip(generator.normal(0.35 + 0.3 * target, 0.25), 0, 1).round(decimals)
    groups = generator.integers(0, 12, n)
    return target, probability, groups


def simulate(generator, groups=24, frames=12, skill=1.0):
    """Clips of one label each whose frames share an offset, as frames of one clip do."""
    label = np.arange(groups) % 2
    score = (2 * label - 1) * skill + generator.normal(0, 1, groups)
    score = np.repeat(score, frames) + generator.normal(0, 0.5, groups * frames)
    return np.repeat(label, frames), 1 / (1 + np.exp(-score)), np.repeat(np.arange(groups), frames)


def table(target, probability, clips, books=None, part="test"):
    labels = ["flip" if one else "notflip" for one in target]
    names = [f"{label}/{clip}" for label, clip in zip(labels, clips, strict=True)]
    return pd.DataFrame(
        {
            "row": range(len(target)),
            "label": labels,
            "video": [str(clip) for clip in clips],
            "frame": range(len(target)),
            "clip": names,
            "book": books if books is not None else [None] * len(target),
            "group": [f"{part}:{name}" for name in names],
            "part": part,
            "target": target,
            "probability": probability,
        }
    )


def predictions(seed, part):
    target, probability, groups = simulate(np.random.default_rng(seed))
    return table(target, probability, [f"{group:04d}" for group in groups], [f"b{g % 3}" for g in groups], part)


def noisy(seed, count=80, decimals=2):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, count)
    return target, np.clip(rng.normal(0.35 + 0.3 * target, 0.2), 0, 1).round(decimals)
