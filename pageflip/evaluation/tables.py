"""Results by clip and by book, and the worst mistakes, from a table of predictions."""

from typing import Any

import pandas as pd

from pageflip.evaluation.metrics import as_floats, binary_metrics
from pageflip.frames.names import LABELS

CLIP_SHARE = 0.5  # a clip is called flip if at least this share of its frames is
MISTAKES_PER_CLIP = 3


def clip_table(predictions: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """Summarise each clip, sorted by name.

    Returns:
        One dict per clip: clip, label, target, n (frames), mean_probability, flip_share (of its frames, how many are
        called flip), verdict (`flip` if flip_share is at least CLIP_SHARE), correct, errors (number of wrong frames).
    """
    rows = []
    for clip, part in predictions.groupby("clip", sort=True):
        target = int(part["target"].iloc[0])
        called = as_floats(part["probability"]) >= threshold
        verdict = int(called.mean() >= CLIP_SHARE)
        rows.append(
            {
                "clip": str(clip),
                "label": LABELS[target],
                "target": target,
                "n": len(part),
                "mean_probability": float(as_floats(part["probability"]).mean()),
                "flip_share": float(called.mean()),
                "verdict": LABELS[verdict],
                "correct": verdict == target,
                "errors": int((called != (part["target"].to_numpy() == 1)).sum()),
            }
        )
    return rows


def clip_verdicts(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute f1, precision, recall, accuracy, n and confusion over clips, from the rows of `clip_table`."""
    verdict = [float(row["verdict"] == "flip") for row in clips]
    scores = binary_metrics([row["target"] for row in clips], verdict, CLIP_SHARE)
    return {name: scores[name] for name in ("f1", "precision", "recall", "accuracy", "n", "confusion")}


def book_table(predictions: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """Summarise each book, sorted by name; frames without a book are left out.

    Returns:
        One dict per book: book, n, n_flip, clips, accuracy, f1, precision, recall and confusion. f1, precision and
        recall are None for a book with a single label, where they mean nothing.
    """
    rows = []
    for book, part in predictions[predictions["book"].notna()].groupby("book", sort=True):
        scores = binary_metrics(part["target"], part["probability"], threshold)
        mixed = 0 < scores["n_flip"] < scores["n"]
        rows.append(
            {
                "book": str(book),
                "n": scores["n"],
                "n_flip": scores["n_flip"],
                "clips": int(part["clip"].nunique()),
                "accuracy": scores["accuracy"],
                **{name: scores[name] if mixed else None for name in ("f1", "precision", "recall")},
                "confusion": scores["confusion"],
            }
        )
    return rows


def worst_mistakes(predictions: pd.DataFrame, threshold: float, count: int) -> pd.DataFrame:
    """Return at most `count` wrong frames whose probability is furthest from their target, the worst first.

    At most MISTAKES_PER_CLIP come from one clip: its frames look alike, and one bad clip would displace all others.
    """
    called = as_floats(predictions["probability"]) >= threshold
    wrong = predictions[called != (predictions["target"].to_numpy() == 1)]
    distance = (wrong["probability"] - wrong["target"]).abs()
    ranked = wrong.assign(_distance=distance).sort_values(
        ["_distance", "clip", "frame"], ascending=[False, True, True], kind="stable"
    )
    ranked = ranked[ranked.groupby("clip").cumcount() < MISTAKES_PER_CLIP]
    return ranked.drop(columns="_distance").head(count)
