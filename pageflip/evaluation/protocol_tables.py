"""The results of `pageflip.evaluation.protocol_benchmark` as tables: for the terminal and in Markdown."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

NONE = "-"
HEAD = ("protocol", "F1 (95% interval)", "folds: mean F1 (least to most)")
HEAD += ("F1 with neighbours", "folds: mean", "tested", "trained on its clip, book, twin")
FOLD_HEAD = ("fold", "seed", "F1", "threshold", "F1 on validation", "frames trained, validated, tested", "epochs")
NOTES = """\
F1 is that of class flip over the test predictions of all folds at once, each called at the threshold that its fold
chose on validation frames. The interval comes from drawing whole groups (books for leave-one-book-out, clips with their
near-duplicates for clip-disjoint, else clips); from fewer than 20 groups it is usually too narrow. F1 with neighbours
is that of the same frames when those before and after them in their clip are read too, as in a video. The last column
is what the test knows of the training: the share of the test frames of whose clip, of whose book, and of which a
near-duplicate was trained on.
"""


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row of texts for each measured protocol, in the order of HEAD."""
    return [
        (
            entry["name"],
            _interval(entry),
            _spread(entry),
            _interval(entry["in_sequence"]),
            score(entry["in_sequence"]["f1_mean"]),
            f"{entry['n']} frames, {entry['n_groups']} {entry['unit']}s",
            ", ".join(percent(entry["seen"][name]) for name in ("clip", "book", "near_duplicate")),
        )
        for entry in result["protocols"]
    ]


def as_table(result: Mapping[str, Any]) -> Table:
    """The table for a terminal."""
    data = result["data"]
    title = f"{result['model']} on {data['frames']} frames of {data['clips']} clips, {data['books'] or 'unknown'} books"
    table = Table(*HEAD, title=escape(title))
    for row, entry in zip(rows(result), result["protocols"], strict=True):
        table.add_row(*map(escape, row), style="red" if entry["leaky"] else "")
    return table


def as_markdown(result: Mapping[str, Any]) -> str:
    """A page in Markdown: the table, F1 of each fold, and what was refused."""
    data = result["data"]
    lines = [f"# {result['model']}: F1 under each protocol", ""]
    lines += [f"{data['frames']} frames ({data['flips']} flips) of {data['clips']} clips, {data['books']} books known."]
    lines += [f"Revision {result['revision']}, data {data['version'] or data['digest'][:12]}.", ""]
    lines += [*_markdown(HEAD, rows(result)), "", NOTES]
    for entry in result["protocols"]:
        lines += [f"## {entry['name']}", "", entry["meaning"], ""]
        lines += [*_markdown(FOLD_HEAD, [_fold_row(fold) for fold in entry["folds"]]), ""]
    for entry in result["refused"]:
        lines += [f"## {entry['name']}: not measured", "", f"{entry['reason']}. {entry['remedy']}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _interval(figures: Mapping[str, Any]) -> str:
    return f"{score(figures['f1'])} ({score(figures['f1_low'])} to {score(figures['f1_high'])})"


def _spread(entry: Mapping[str, Any]) -> str:
    if len(entry["folds"]) == 1:
        return f"1: {score(entry['f1_mean'])}"
    least, most = score(entry["f1_least"]), score(entry["f1_most"])
    return f"{len(entry['folds'])}: {score(entry['f1_mean'])} ({least} to {most})"


def _fold_row(fold: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        fold["name"],
        str(fold["seed"]),
        score(fold["f1"]),
        f"{fold['threshold']:.3f}",
        score(fold["val_f1"]),
        f"{fold['train']}, {fold['val']}, {fold['n']}",
        f"{fold['best_epoch']} of {fold['epochs']}",
    )


def score(value: float | None) -> str:
    """Three decimals, cut rather than rounded up to a perfect 1."""
    if value is None:
        return NONE
    return f"{min(value, 0.999) if value < 1 else value:.3f}"


def percent(value: float | None) -> str:
    """A share without decimals."""
    return NONE if value is None else f"{100 * value:.0f}%"


def _markdown(head: tuple[str, ...], body: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *body]
    return ["| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in line) + " |" for line in lines]
