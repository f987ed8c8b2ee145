"""Page stills of a video or a folder of frames, written as files."""

from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pageflip.events.clock import frame_times
from pageflip.events.flip import Flip
from pageflip.events.stills import Picture, Still, find_rests, pick_stills
from pageflip.frames.video import iter_full_frames
from pageflip.params.scoring import Stills


def video_stills(
    path: Path,
    flips: Sequence[Flip],
    probabilities: np.ndarray,
    times_s: Sequence[float | None],
    plan: Stills,
    folder: Path,
) -> list[Still]:
    """Write the page stills of a video into `folder`, as JPEG at the video's own size; decode it once more for that.

    Args:
        path: the video.
        flips: its flips.
        probabilities: of its frames, float [N]; NaN where one cannot be read.
        times_s: of its frames, in seconds.
        plan: how stills are chosen.
        folder: an empty folder.

    Raises:
        DataError: the video cannot be decoded.
        UnavailableError: the disk or the machine failed for now.
    """
    rests = find_rests(flips, probabilities, frame_times(times_s), plan)
    candidates = {index for rest in rests for index in rest.candidates}

    def pictures() -> Iterator[Picture]:
        for index, _, rgb in iter_full_frames(path, candidates):
            yield Picture(index, rgb, ".jpg", partial(_encode_jpeg, rgb, plan.quality))

    return pick_stills(rests, pictures(), probabilities, times_s, plan, folder)


def folder_stills(
    paths: Sequence[Path], flips: Sequence[Flip], probabilities: np.ndarray, plan: Stills, folder: Path
) -> list[Still]:
    """Copy the page stills of a folder of frames into `folder`.

    Args:
        paths: all frames, in order.
        flips: their flips.
        probabilities: of the frames, float [N]; NaN where one cannot be read.
        plan: how stills are chosen.
        folder: an empty folder.
    """
    times: list[float | None] = [None] * len(paths)
    rests = find_rests(flips, probabilities, frame_times(times), plan)

    def pictures() -> Iterator[Picture]:
        for index in sorted(index for rest in rests for index in rest.candidates):
            with Image.open(paths[index], formats=("JPEG", "PNG")) as image:
                rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            yield Picture(index, rgb, paths[index].suffix.lower(), paths[index].read_bytes)

    return pick_stills(rests, pictures(), probabilities, times, plan, folder)


def _encode_jpeg(rgb: np.ndarray, quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
