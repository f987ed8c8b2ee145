"""Decoding of many image files in threads, with a bounded number of results in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from pageflip.base.errors import DataError
from pageflip.frames.pixels import decode_image

CHUNK = 32  # files per job
Item = TypeVar("Item")
Result = TypeVar("Result")

DecodedChunk = tuple[np.ndarray, list[int], list[tuple[int, str]]]


def decode_in_chunks(paths: Sequence[Path], width: int, height: int, workers: int) -> Iterator[DecodedChunk]:
    """Decode image files in order, CHUNK at a time.

    Yields:
        The images of a chunk that can be decoded, uint8 [K, height, width, 3]; their K positions in `paths`; and
        (position, error message) of each of the others.
    """
    return map_chunks(partial(_decode_chunk, width, height), paths, workers)


def map_chunks(
    function: Callable[[int, Sequence[Item]], Result], items: Sequence[Item], workers: int, size: int = CHUNK
) -> Iterator[Result]:
    """Call `function(start, items[start : start + size])` for each chunk in a thread; yield the results in order.

    At most `2 * workers` chunks are submitted ahead of the reader, so that memory does not grow with the items.
    """
    # threads: Pillow decodes without the interpreter lock, and a new process takes a second to import its modules
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Result]] = deque()
        for start in range(0, len(items), size):
            pending.append(pool.submit(function, start, items[start : start + size]))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_chunk(width: int, height: int, start: int, paths: Sequence[Path]) -> DecodedChunk:
    images, positions, errors = [], [], []
    for position, path in enumerate(paths, start=start):
        try:
            images.append(decode_image(path, width, height))
        except DataError as error:
            errors.append((position, error.message))
        else:
            positions.append(position)
    pixels = np.stack(images) if images else np.empty((0, height, width, 3), np.uint8)
    return pixels, positions, errors
