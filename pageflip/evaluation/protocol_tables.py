"""Results of the protocol benchmark as tables, for the terminal and in Markdown."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from pageflip.evaluation.formatting import format_percent, format_score

PROTOCOLS_FILE, TABLE_FILE = "protocols.json", "protocols.md"

_HEAD = (
    "protocol",
    "F1 (95% interval)",
    "folds: mean F1 (least to most)",
    "F1 in sequence",
    "folds: mean",
    "tested",
    "seen in training: clip, book, near-duplicate",
)
_FOLD_HEAD = ("fold", "seed", "F1", "threshold", "F1 on validation", "frames in train, val, test", "epochs")
NOTES = """\
F1 is that of the class flip, over the test predictions of all folds at once; each fold uses the threshold that it chose
on validation. The interval is a bootstrap over whole groups (books for leave-one-book-out, clips joined with their
near-duplicates for clip-disjoint, otherwise clips); with fewer than 20 groups it is usually too narrow. F1 in sequence
is that of the same frames, read together with those before and after them in their clip, as in a video. The last column
is the share of the test frames whose clip, whose book, or a near-duplicate of which was seen in training.
"""


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the table's cells, one row for each protocol."""
    return [
        (
            entry["name"],
            _interval(entry),
            _spread(entry),
            _interval(entry["in_sequence"]),
            format_score(entry["in_sequence"]["f1_mean"]),
            f"{entry['n']} frames, {entry['n_groups']} {entry['unit']}s",
            ", ".join(format_percent(entry["seen"][name]) for name in ("clip", "book", "near_duplicate")),
        )
        for entry in result["protocols"]
    ]


def protocols_table(result: Mapping[str, Any]) -> Table:
    """Return the table for a terminal."""
    data = result["data"]
    title = f"{result['model']} on {data['frames']} frames of {data['clips']} clips, {data['books'] or 'unknown'} books"
    table = Table(*_HEAD, title=escape(title))
    for row, entry in zip(_rows(result), result["protocols"], strict=True):
        table.add_row(*map(escape, row), style="red" if entry["leaky"] else "")
    return table


def protocols_page(result: Mapping[str, Any]) -> str:
    """Return a page in Markdown: the table, F1 of each fold, and the refused protocols."""
    data = result["data"]
    lines = [f"# {result['model']}: F1 under each protocol", ""]
    lines += [f"{data['frames']} frames ({data['flips']} flips) of {data['clips']} clips, {data['books']} books known."]
    lines += [f"Revision {result['revision']}, data {data['version'] or data['digest'][:12]}.", ""]
    lines += [*_markdown(_HEAD, _rows(result)), "", NOTES]
    for entry in result["protocols"]:
        lines += [f"## {entry['name']}", "", entry["meaning"], ""]
        lines += [*_markdown(_FOLD_HEAD, [_fold_row(fold) for fold in entry["folds"]]), ""]
    for entry in result["refused"]:
        lines += [f"## {entry['name']}: not measured", "", f"{entry['reason']}. {entry['remedy']}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _interval(scores: Mapping[str, Any]) -> str:
    return f"{format_score(scores['f1'])} ({format_score(scores['f1_low'])} to {format_score(scores['f1_high'])})"


def _spread(entry: Mapping[str, Any]) -> str:
    if len(entry["folds"]) == 1:
        return f"1: {format_score(entry['f1_mean'])}"
    least, most = format_score(entry["f1_least"]), format_score(entry["f1_most"])
    return f"{len(entry['folds'])}: {format_score(entry['f1_mean'])} ({least} to {most})"


def _fold_row(fold: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        fold["name"],
        str(fold["seed"]),
        format_score(fold["f1"]),
        f"{fold['threshold']:.3f}",
        format_score(fold["val_f1"]),
        f"{fold['train']}, {fold['val']}, {fold['n']}",
        f"{fold['best_epoch']} of {fold['epochs']}",
    )


def _markdown(head: tuple[str, ...], body: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *body]
    return ["| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in line) + " |" for line in lines]
