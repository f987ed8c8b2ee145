"""Run benchmarks, print a table, and record the results.

python -m benchmarks                          # all of them: about half an hour on two cores
python -m benchmarks dag_parse_seconds        # one of them; the rows of the others stay
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import Result, merge
from pageflip.base.console import run_main
from pageflip.base.errors import ConfigError
from pageflip.base.settings import project_root

# modules of this package, imported when they are run: spawned workers import this file again
BENCHMARKS = (
    "synthesize_frames_per_second",
    "prepare_vs_full_decode",
    "dag_parse_seconds",
    "repro_noop_seconds",
    "stage_overhead_seconds",
    "train_frames_per_second",
    "train_epoch_vs_usual_way",
    "train_data_path_on_device",
    "score_frames_per_second",
    "leafing",
)
FIGURES = ("event_f1", "page_recall", "page_duplicates")
SEVERAL_ROWS = {"leafing": (*FIGURES, *(f"piffler_{name}" for name in FIGURES))}
RESULTS_FILE = Path("benchmarks", "results", "latest.json")


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}")
    names = choose(parser.parse_args().names)
    console, results = Console(), []
    for name in names:
        console.print(f"{name} ...", style="dim")
        outcome = import_module(f"benchmarks.{name}").measure()
        results += outcome if isinstance(outcome, list) else [outcome]
    order = [row for name in BENCHMARKS for row in SEVERAL_ROWS.get(name, (name,))]
    merge(project_root() / RESULTS_FILE, results, order=order)
    console.print(results_table(results))
    console.print(f"written to {RESULTS_FILE}", style="dim")


def choose(names: Sequence[str]) -> list[str]:
    """Return the named benchmarks in the order of the registry, or all.

    Raises:
        ConfigError: there is none of that name.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise ConfigError(f"there is no benchmark {name!r}", f"name some of {', '.join(BENCHMARKS)}.")
    return [name for name in BENCHMARKS if not names or name in names]


def results_table(results: Sequence[Result]) -> Table:
    """Return a table of the results, with their bars if they have one."""
    table = Table("benchmark", "value", "unit", "bar", "better")
    for result in results:
        bar = result.detail.get("bar")
        missed = bar is not None and (result.value < bar if result.higher_is_better else result.value > bar)
        value = f"[red]{result.value:,.2f}[/red]" if missed else f"{result.value:,.2f}"
        better = "higher" if result.higher_is_better else "lower"
        table.add_row(result.name, value, result.unit, "" if bar is None else f"{bar:g}", better)
    return table


if __name__ == "__main__":
    run_main(main)
