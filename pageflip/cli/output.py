"""Output of the commands: tables for people, CSV and JSON for programs."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_WIDTH = 160  # columns, where the output is no terminal


class Format(StrEnum):
    """Output formats."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="Output format.")]
TreeFormatOption = Annotated[Format, typer.Option("--format", help="Output format: table or json.")]


def make_console(piped_width: int = PIPED_WIDTH, *, highlight: bool = True) -> Console:
    """Return a console on standard output: as wide as the terminal, or `piped_width`."""
    return Console(width=None if sys.stdout.isatty() else piped_width, highlight=highlight)


def print_json(content: Any) -> None:
    """Print JSON."""
    print(json.dumps(content, indent=2))


def print_csv(rows: Sequence[dict[str, Any]], columns: Iterable[str]) -> None:
    """Print rows as CSV."""
    writer = csv.DictWriter(sys.stdout, fieldnames=list(columns))
    writer.writeheader()
    writer.writerows(rows)


def as_table(title: str, rows: Iterable[dict[str, Any]]) -> Table:
    """Return a table of the scalars in `rows`."""
    rows = [scalars_of(row) for row in rows]
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in row.values()))
    return table


def scalars_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the entries that are neither dictionaries nor lists."""
    return {key: value for key, value in row.items() if not isinstance(value, dict | list)}
