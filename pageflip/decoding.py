"""Decoding many picture files in worker processes, chunk by chunk, with a bounded number of chunks in memory.

Imports only what decoding needs: every worker process imports this module afresh, and would wait for more.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pageflip.errors import DataError
from pageflip.pixels import decode_image

CHUNK = 32
FEW = 64  # up to this many pictures, starting processes takes longer than decoding

Decoded = tuple[np.ndarray, list[int], list[tuple[int, str]]]


def decode_in_chunks(paths: Sequence[Path], width: int, height: int, workers: int) -> Iterator[Decoded]:
    """Decode pictures in order, CHUNK at a time.

    Yields:
        The chunk's pictures that can be decoded, uint8 [K, height, width, 3], their K positions in `paths`, and
        (position, error) for each of the others.
    """
    starts = range(0, len(paths), CHUNK)
    tasks = [(start, paths[start : start + CHUNK], width, height) for start in starts]
    if len(paths) <= FEW or workers == 1:
        yield from (_decode_chunk(*task) for task in tasks)
        return
    workers = min(workers, len(tasks))
    # spawn: a forked child of a process with threads (torch, ONNX Runtime) may hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[Decoded]] = deque()
        for task in tasks:
            waiting.append(pool.submit(_decode_chunk, *task))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


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
