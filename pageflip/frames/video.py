"""Decoding of video files frame by frame."""

import errno
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.base.errors import DataError, UnavailableError
from pageflip.frames.pixels import PASSING_FAULTS, resize_frame

if TYPE_CHECKING:
    from av.container import InputContainer

TRIAL_BYTES = 256 << 20  # a machine that can allocate this much is not out of memory


def iter_video(path: Path, width: int, height: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a video; yield (index from 0, time in seconds, uint8 [height, width, 3] RGB, upright) for each frame.

    Raises:
        DataError: the file is not a video, has no frames, or is cut short.
        UnavailableError: the disk or the machine failed temporarily.
    """
    for index, time_s, rgb in iter_full_frames(path):
        yield index, time_s, resize_frame(rgb, width, height)


def iter_full_frames(path: Path, indices: Container[int] | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a video as `iter_video` does, at its own size.

    Args:
        path: the video file.
        indices: indices of the frames to yield; None yields all. The others are decoded, but not converted to RGB.

    Raises:
        DataError: the file is not a video, has no frames, or is cut short.
        UnavailableError: the disk or the machine failed temporarily.
    """
    import av

    remedy = "use a complete video file (MP4, MOV, MKV or WebM)."
    count, first_s, last_s = 0, 0.0, 0.0
    try:
        with av.open(str(path), metadata_errors="replace") as container:  # a title need not be UTF-8
            if not container.streams.video:
                raise DataError(f"{path} holds no video stream", remedy)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for index, frame in enumerate(container.decode(stream)):
                time_s = float(frame.time) if frame.time is not None else index / float(stream.average_rate or 30)
                count, first_s, last_s = index + 1, first_s if index else time_s, time_s
                if indices is None or index in indices:
                    rgb = np.rot90(frame.to_ndarray(format="rgb24"), k=round(getattr(frame, "rotation", 0) / 90))
                    yield index, time_s, np.ascontiguousarray(rgb)
            cut_short = count and _ends_early(container, count, last_s - first_s)
    except (av.error.FFmpegError, OSError) as error:
        if _is_passing(error, path):
            raise UnavailableError(f"{path} cannot be read: {error}", "check the disk, then run it again.") from error
        raise DataError(f"{path} cannot be decoded after frame {count}: {error}", remedy) from None
    if not count:
        raise DataError(f"{path} holds no frames", remedy)
    if cut_short:
        raise DataError(f"{path} is cut short: it ends after {last_s - first_s:.1f} s", remedy)


def _is_passing(error: Exception, path: Path) -> bool:
    """Return whether an error is caused by the disk or the machine, not by the video."""
    code = getattr(error, "errno", None)
    if code not in (errno.EIO, errno.ENOMEM):
        return code in PASSING_FAULTS
    # FFmpeg reports these for broken files, too, which end early or claim absurd sizes: try it out
    try:
        if code == errno.ENOMEM:
            np.empty(TRIAL_BYTES, np.uint8)
        else:
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass
    except (OSError, MemoryError):
        return True
    return False


def _ends_early(container: "InputContainer", count: int, length_s: float) -> bool:
    """Return whether a video ends well before its header claims; the decoder itself does not notice a cut file."""
    import av

    stream = container.streams.video[0]
    # the stream's duration ignores edit lists, that of the container includes longer sound: take the shorter one
    stated = [container.duration / av.time_base] if container.duration else []
    if stream.duration and stream.time_base:
        stated.append(float(stream.duration * stream.time_base))
    cut_short = bool(stated) and length_s < 0.95 * min(stated) - 0.5
    return cut_short or count < 0.6 * stream.frames  # AVI's duration is computed from the size of the file
