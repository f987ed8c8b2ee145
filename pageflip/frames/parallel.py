"""Decoding many picture files on all cores, chunk by chunk, with a bounded number of chunks in memory."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from pageflip.base.errors import DataError
from pageflip.frames.pixels import decode_image

CHUNK = 32
T = TypeVar("T")

Decoded = tuple[np.ndarray, list[int], list[tuple[int, str]]]


def decode_in_chunks(paths: Sequence[Path], width: int, height: int, workers: int) -> Iterator[Decoded]:
    """Decode pictures in order, CHUNK at a time.

    Yields:
        The chunk's pictures that can be decoded, uint8 [K, height, width, 3], their K positions in `paths`, and
        (position, error) for each of the others.
    """
    # threads: Pillow decodes outside the interpreter lock, and a new process takes a second to import its modules
    with ThreadPoolExecutor(workers) as pool:
        starts = range(0, len(paths), CHUNK)
        jobs = (pool.submit(_decode_chunk, start, paths[start : start + CHUNK], width, height) for start in starts)
        yield from (job.result() for job in in_order(jobs, ahead=2 * workers))


def in_order(jobs: Iterable[Future[T]], ahead: int) -> Iterator[Future[T]]:
    """Yield futures in the order of submission with at most `ahead` of them waiting, so that memory stays flat."""
    waiting: deque[Future[T]] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) >= ahead:
            yield waiting.popleft()
    yield from waiting


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_chunk(start: int, paths: list[Path], width: int, height: int) -> Decoded:
    """The frames that can be decoded, uint8 [K, height, width, 3], their positions, and (position, error) of others."""
    frames, positions, failures = [], [], []
    for position, path in enumerate(paths, start=start):
        try:
            frames.append(decode_image(path, width, height))
        except DataError as error:
            failures.append((position, error.message))
        else:
            positions.append(position)
    pixels = np.stack(frames) if frames else np.empty((0, height, width, 3), np.uint8)
    return pixels, positions, failures
