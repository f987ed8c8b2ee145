"""What is found in the frames of a video or a folder of frames: flips, page stills, and a verdict.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS a second.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pageflip.events.flip import Flip
from pageflip.events.reader import times_of
from pageflip.events.stills import Picture, Still, find_rests, pick_stills
from pageflip.frames.video import iter_full_frames
from pageflip.params.scoring import Stills


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
        DataError, UnavailableError: as `pageflip.frames.video.iter_video`.
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
