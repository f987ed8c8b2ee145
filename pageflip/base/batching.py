"""Batches of an iterable."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter, as Python 3.12's `itertools.batched` does with tuples."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
