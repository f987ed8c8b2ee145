"""Entries that the cards of day-zero and of its compact network share."""

from typing import Any

from torch import nn

from pageflip.base.provenance import environment, git_revision
from pageflip.evaluation.judging import calibrate_and_evaluate, predict_parts
from pageflip.params.all import Params
from pageflip.params.evaluation import Threshold
from pageflip.pretraining.drawn import DrawnFrames

SCORES = (
    *("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "average_precision", "brier", "ece"),
    *("n", "n_flip", "n_groups", "confusion"),
)


def evaluate_on_drawn(network: nn.Module, params: Params, drawn: DrawnFrames, tolerance: float) -> dict[str, Any]:
    """Evaluate a network at the threshold with the best F1 on validation.

    Args:
        network: is left in evaluation mode.
        params: all sections; `evaluate` is used.
        drawn: frames whose parts val and test are predicted.
        tolerance: F1 on validation that may be given up for a wider plateau.

    Returns:
        What `pageflip.evaluation.judging.calibrate_and_evaluate` does, without the predictions.
    """
    section = params.evaluate.model_copy(update={"threshold": Threshold.model_validate("f1")})
    predictions = predict_parts(network, drawn.pack, drawn.assignment)
    _, metrics = calibrate_and_evaluate(predictions, section, protocol="grouped", unit="book", tolerance=tolerance)
    return metrics


def card_scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of a card, `val` and `test`."""
    return {
        "val": {name: metrics["val"][name] for name in SCORES if name in metrics["val"]},
        "test": {name: metrics[name] for name in SCORES},
    }


def provenance() -> dict[str, Any]:
    """Return the code's revision and the versions of the libraries, without this machine's platform."""
    versions = {name: version for name, version in environment().items() if name != "platform"}
    return {"git_revision": git_revision(), "environment": versions}
