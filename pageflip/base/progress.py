"""Progress of long work: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0
T = TypeVar("T")


def track(iterable: Iterable[T], total: int | None = None, description: str = "") -> Iterator[T]:
    """Yield from `iterable` and show the progress on standard error; `total` defaults to its length."""
    if total is None:
        total = len(iterable)  # type: ignore[arg-type]  # an iterator without a length needs `total`
    with show_progress(total, description) as advance:
        for item in iterable:
            yield item
            advance(1)


@contextmanager
def show_progress(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """Show on standard error how much of `total` is done; yield `advance(count)`, to be called for each progress."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(total, description) as advance:
        yield advance


@contextmanager
def _bar(total: int, description: str) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.update(task, advance=count)


@contextmanager
def _lines(total: int, description: str) -> Iterator[Callable[[int], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            print(f"{description}: {done} of {total}", file=sys.stderr, flush=True)

    yield advance
    seconds = max(time.monotonic() - start, 1e-9)
    print(f"{description}: {done} in {seconds:.1f} s ({done / seconds:.0f}/s)", file=sys.stderr, flush=True)
