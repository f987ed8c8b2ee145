"""The exported model at work, by ONNX Runtime: pictures and videos in, probabilities of `flip` out.

The ONNX graph takes uint8 [N, height, width, 3] RGB and gives float32 [N]: scaling to 0..1, the calibrating temperature
and the sigmoid are inside. Its metadata carries width, height, threshold and review band: the one file is enough.
"""

import errno
import json
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.base.errors import DataError, UnavailableError
from pageflip.frames.pixels import PASSING_FAULTS, resize_frame

if TYPE_CHECKING:
    import onnxruntime
    from av.container import InputContainer

METADATA_KEY = "pageflip"
BATCH = 64
TRIAL_BYTES = 256 << 20  # a machine that has so much to give is not out of memory


@dataclass(frozen=True)
class Predictor:
    """A loaded model.

    Attributes:
        width, height: size in pixels of the frames it takes.
        threshold: a frame with at least this probability is called `flip`.
        name, version: what it is called; version is None for a plain file.
        band: lowest and highest probability of the frames that a person should look at; None where there are none.
    """

    session: "onnxruntime.InferenceSession"
    width: int
    height: int
    threshold: float
    name: str
    version: str | None
    band: tuple[float, float] | None = None

    @classmethod
    def load(cls, path: Path, *, name: str | None = None, version: str | None = None, threads: int = 0) -> "Predictor":
        """Load an ONNX file that `pageflip.networks.onnx_export` wrote; `threads` 0 leaves it to ONNX Runtime to use all cores.

        Raises:
            DataError: it is not such a file.
        """
        import onnxruntime

        remedy = "give a model.onnx that the stage `register` wrote."
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            facts = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except KeyError:
            raise DataError(f"{path} has no pageflip metadata", remedy) from None
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise DataError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}", remedy) from None
        band = tuple(facts["review_band"]) if facts.get("review_band") else None
        return cls(session, facts["width"], facts["height"], facts["threshold"], name or path.name, version, band)

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities of `flip`, float32 [N], for frames uint8 [N, height, width, 3] RGB."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(frames), BATCH):
            batch = np.ascontiguousarray(frames[start : start + BATCH])
            parts.append(self.session.run(None, {"frames": batch})[0])
        return np.concatenate(parts)

    def latency_ms(self, frames: np.ndarray) -> float:
        """Median milliseconds that one frame takes when it comes alone, over uint8 [N, height, width, 3]; N >= 1."""
        self.predict(frames[:1])  # the first call of a session also plans
        seconds = []
        for index in range(len(frames)):
            started = time.perf_counter()
            self.predict(frames[index : index + 1])
            seconds.append(time.perf_counter() - started)
        return 1000 * float(np.median(seconds))

    def to_review(self, probability: float) -> bool:
        """Whether a person should look at a frame of this probability."""
        return self.band is not None and self.band[0] <= probability <= self.band[1]


def iter_video(path: Path, width: int, height: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a video frame by frame: (index from 0, time in seconds, uint8 [height, width, 3] RGB, upright).

    Raises:
        DataError: the file is not a video, has no frames, or breaks off.
        UnavailableError: the disk or the machine failed for now.
    """
    for index, time_s, rgb in iter_full_frames(path):
        yield index, time_s, resize_frame(rgb, width, height)


def iter_full_frames(path: Path, wanted: Container[int] | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
    """As `iter_video`, at the video's own size.

    Args:
        wanted: the indices of the frames to give; the others are decoded, and nothing more. None gives all.

    Raises:
        DataError, UnavailableError: as `iter_video`.
    """
    import av

    remedy = "use a whole video file (MP4, MOV, MKV or WebM)."
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
                if wanted is None or index in wanted:
                    rgb = np.rot90(frame.to_ndarray(format="rgb24"), k=round(getattr(frame, "rotation", 0) / 90))
                    yield index, time_s, np.ascontiguousarray(rgb)
            cut_short = count and _ends_early(container, count, last_s - first_s)
    except (av.error.FFmpegError, OSError) as error:
        if _is_passing(error, path):
            raise UnavailableError(f"{path} cannot be read: {error}", "see to the disk, then run it again.") from error
        raise DataError(f"{path} cannot be decoded after frame {count}: {error}", remedy) from None
    if not count:
        raise DataError(f"{path} holds no frames", remedy)
    if cut_short:
        raise DataError(f"{path} is cut short: it ends after {last_s - first_s:.1f} s", remedy)


def _is_passing(error: Exception, path: Path) -> bool:
    """Whether a fault is that of the disk or the machine, and none of the video."""
    code = getattr(error, "errno", None)
    if code not in (errno.EIO, errno.ENOMEM):
        return code in PASSING_FAULTS
    # FFmpeg says these of broken files, too, which break off or state absurd sizes: a trial tells which it is
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
    """Whether a video ends well before its header says: a decoder takes the end of a cut file for the end of it."""
    import av

    stream = container.streams.video[0]
    # the stream's duration ignores edit lists, the container's counts sound that goes on: the shorter one holds
    stated = [container.duration / av.time_base] if container.duration else []
    if stream.duration:
        stated.append(float(stream.duration * stream.time_base))
    cut_short = bool(stated) and length_s < 0.95 * min(stated) - 0.5
    return cut_short or count < 0.6 * stream.frames  # AVI reckons its duration from the file's size
