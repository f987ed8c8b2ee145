"""What is found in the scored frames of a video or a folder of frames: flips, page stills, and a verdict.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS a second.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pageflip.event_decoding import decode_flips
from pageflip.events import Flip
from pageflip.inference import iter_full_frames
from pageflip.params import Stills
from pageflip.stills import Picture, Still, find_rests, pick_stills

SEQUENCE_FPS = 30.0  # phones film at 30 frames per second


def times_of(times_s: Sequence[float | None]) -> np.ndarray:
    """Times in seconds, float [N]: those of the clock, or what the frames' order makes of it."""
    return np.array([i / SEQUENCE_FPS if time is None else time for i, time in enumerate(times_s)])


def find_sequence_flips(
    probabilities: Sequence[float], times_s: Sequence[float | None], threshold: float
) -> list[Flip]:
    """The flips of a video or a folder of frames; NaN is the probability of a frame that cannot be read."""
    return decode_flips(np.array(probabilities, np.float32), times_of(times_s), threshold)


def holds_flip(flips: Sequence[Flip]) -> bool:
    """The verdict on a clip: whether a page is turned, or at least lifted, anywhere in it."""
    return len(flips) > 0


def video_stills(
    path: Path,
    flips: Sequence[Flip],
    probabilities: Sequence[float],
    times_s: Sequence[float],
    plan: Stills,
    folder: Path,
) -> list[Still]:
    """Write the page stills of a video into `folder`, as JPEG at the video's own size. The video is decoded once more.

    Raises:
        DataError, UnavailableError: as `pageflip.inference.iter_video`.
    """
    known = np.array(probabilities, np.float32)
    rests = find_rests(flips, known, times_of(times_s), plan)
    wanted = {index for rest in rests for index in rest.candidates}

    def pictures() -> Iterator[Picture]:
        for index, _, rgb in iter_full_frames(path, wanted):
            yield Picture(index, rgb, ".jpg", lambda rgb=rgb: _as_jpeg(rgb, plan.quality))

    return pick_stills(rests, pictures(), known, times_s, plan, folder)


def folder_stills(
    paths: Sequence[Path], flips: Sequence[Flip], probabilities: Sequence[float], plan: Stills, folder: Path
) -> list[Still]:
    """Copy the page stills of a folder of frames into `folder`, as the files they are.

    Args:
        paths: of all frames, in order.
        probabilities: NaN where a frame cannot be read.
    """
    known, times = np.array(probabilities, np.float32), [None] * len(paths)
    rests = find_rests(flips, known, times_of(times), plan)

    def pictures() -> Iterator[Picture]:
        for index in sorted(index for rest in rests for index in rest.candidates):
            with Image.open(paths[index], formats=("JPEG", "PNG")) as image:
                rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            yield Picture(index, rgb, paths[index].suffix.lower(), paths[index].read_bytes)

    return pick_stills(rests, pictures(), known, times, plan, folder)


def _as_jpeg(rgb: np.ndarray, quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
