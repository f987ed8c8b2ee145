"""What a benchmark hands back, and the file that keeps it: a JSON list of rows, one a benchmark."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pageflip.base.errors import DataError
from pageflip.base.files import write_text


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome.

    Attributes:
        name: the benchmark's name, that of its module.
        value: the figure, in `unit`.
        detail: the figures behind it, ready for JSON; `bar` is the value that must be reached, where there is one.
    """

    name: str
    value: float
    unit: str
    higher_is_better: bool
    detail: dict[str, Any] = field(default_factory=dict)


def merge(path: Path, results: Sequence[Result], order: Sequence[str]) -> None:
    """Put the results into the file: each replaces the row of its name, rows of names not in `order` are dropped.

    Raises:
        DataError: the file there is not one of results.
    """
    rows = _read(path) | {result.name: _rounded(asdict(result)) for result in results}
    write_text(path, json.dumps([rows[name] for name in order if name in rows], indent=2, allow_nan=False) + "\n")


def _read(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    try:
        return {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path} is not a file of benchmark results", "remove it and run `make bench`.") from None


def _rounded(value: Any) -> Any:
    """Floats at four significant digits: more would only be noise in the diff."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value
