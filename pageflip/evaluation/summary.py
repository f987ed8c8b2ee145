"""The results of an evaluation as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def summary_table(metrics: Mapping[str, Any]) -> Table:
    """Return the most important numbers as a small table for the terminal."""
    choice, review, calibration = metrics["threshold_choice"], metrics["review"], metrics["calibration"]
    goal = f", for {choice['wanted']}" if choice["reached"] else f"; {choice['wanted']} cannot be reached there"
    reason = f" ({calibration['reason']})" if calibration["reason"] else ""
    table = Table(title=f"{metrics['model']} on the test part, {metrics['protocol']}", show_header=False)
    table.add_row("F1", _interval(metrics))
    table.add_row("F1 in sequence", _interval(metrics["in_sequence"]))
    table.add_row("precision, recall", f"{metrics['precision']:.3f}, {metrics['recall']:.3f}")
    table.add_row("ROC AUC", "undefined" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}")
    table.add_row("threshold (validation F1)", f"{metrics['threshold']:.3f} ({metrics['val']['f1']:.3f}){goal}")
    table.add_row("temperature", f"{calibration['temperature']:.3f}{reason}")
    table.add_row("calibration error, before", "{ece_after:.3f}, {ece_before:.3f}".format(**calibration["test"]))
    table.add_row("to review", f"{review['test']['share']:.0%} of the frames")
    table.add_row("shortcuts flagged", ", ".join(metrics["shortcuts"]["flagged"]) or "none")
    table.add_row("tp, fp, fn, tn", ", ".join(str(metrics["confusion"][name]) for name in ("tp", "fp", "fn", "tn")))
    table.add_row("frames, groups", f"{metrics['n']}, {metrics['n_groups']}")
    table.add_row("correct clip verdicts", f"{metrics['clips']['accuracy']:.0%} of {metrics['clips']['n']}")
    return table


def _interval(scores: Mapping[str, Any]) -> str:
    return f"{scores['f1']:.3f} (95% {scores['f1_low']:.3f} to {scores['f1_high']:.3f})"
