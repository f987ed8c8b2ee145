"""Results of benchmarks, and the JSON file of one row per result."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pageflip.base.errors import DataError
from pageflip.base.files import write_text


@dataclass(frozen=True)
class Result:
    """Figure of a benchmark.

    Attributes:
        name: of the benchmark, or of the figure where it has several.
        value: in `unit`.
        detail: further figures as JSON; `bar` is the required value, if there is one.
    """

    name: str
    value: float
    unit: str
    higher_is_better: bool
    detail: dict[str, Any] = field(default_factory=dict)


def merge(path: Path, results: Sequence[Result], order: Sequence[str]) -> None:
    """Write results to a file: each replaces the row of its name, rows with names not in `order` are deleted.

    Raises:
        DataError: the file holds something else.
    """
    rows = _read(path) | {result.name: _round(asdict(result)) for result in results}
    write_text(path, json.dumps([rows[name] for name in order if name in rows], indent=2, allow_nan=False) + "\n")


def _read(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    try:
        return {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path} is not a file of benchmark results", "remove it and run `make bench`.") from None


def _round(value: Any) -> Any:
    """Round floats to four significant digits; the others are noise in a diff."""
    if isinstance(value, dict):
        return {key: _round(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_round(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value
