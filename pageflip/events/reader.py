"""What is found in the frames of a video or a folder of frames: flips, page stills, and a verdict.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS a second.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from pageflip.events.decoder import FlipStream, decode_flips
from pageflip.events.decoder_model import IN_SEQUENCE_FILE, EventModel, load_event_model
from pageflip.events.flip import Flip
from pageflip.events.stills import Picture, Still, find_rests, pick_stills
from pageflip.events.temporal import STEP_S, THRESHOLD, FrameEncoder, TemporalModel, load_temporal, refine
from pageflip.frames.video import iter_full_frames
from pageflip.params.load import Stills

SEQUENCE_FPS = 30.0  # phones film at 30 frames per second


class PredictsFrames(Protocol):
    """What is needed of a model; `pageflip.inference.predictor.Predictor` has it."""

    width: int
    height: int
    threshold: float

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities of `flip`, float32 [N], for uint8 [N, height, width, 3]."""


class SequenceReader:
    """Reads the frames of one recording, in order and in batches, and then says what is in it.

    Attributes:
        probabilities: of the model of single frames; NaN where a frame could not be read.
        times_s: of the clock, or what the frames' order makes of it.
    """

    def __init__(self, predictor: PredictsFrames) -> None:
        self._predictor = predictor
        self._encoder = FrameEncoder()
        self._features: list[np.ndarray] = []
        self.probabilities: list[float] = []
        self.times_s: list[float] = []

    def push(self, frames: Sequence[np.ndarray | None], times_s: Sequence[float | None]) -> list[float]:
        """Read the next frames, uint8 [height, width, 3] each or None; return their probabilities, NaN for None."""
        first = len(self.times_s)
        clock = [(first + i) / SEQUENCE_FPS if time is None else time for i, time in enumerate(times_s)]
        known = [i for i, frame in enumerate(frames) if frame is not None]
        found = [math.nan] * len(frames)
        if known:
            pixels = np.stack([frames[i] for i in known])
            for i, probability in zip(known, self._predictor.predict(pixels).tolist(), strict=True):
                found[i] = probability
            self._features.append(self._encoder.push(pixels, np.array([clock[i] for i in known])))
        self.probabilities += found
        self.times_s += clock
        return found

    def in_sequence(self) -> np.ndarray:
        """Probabilities in the light of the frames before and after, float32 [N]; NaN where one could not be read."""
        probabilities, times = np.array(self.probabilities, np.float32), np.array(self.times_s)
        known = np.isfinite(probabilities)
        refined = np.full(len(probabilities), np.nan, np.float32)
        if known.any():
            features = np.concatenate(self._features)
            refined[known] = refine(features, probabilities[known], times[known], self._predictor.threshold)
        return refined

    def flips(self, in_sequence: np.ndarray | None = None) -> list[Flip]:
        """The flips of the recording; `in_sequence` is what the method of that name said, where that is known."""
        refined = self.in_sequence() if in_sequence is None else in_sequence
        return decode_flips(refined, np.array(self.times_s), THRESHOLD, load_event_model(IN_SEQUENCE_FILE))


class SequenceStream:
    """Finds flips while a camera's frames come in, each told a fixed time after its last frame, or sooner.

    A frame is refined once the temporal network's reach is there (half a second), and settled `lag_s` later. With a lag
    beyond the recording's length the flips are those of `SequenceReader`, at up to 40 frames a second.

    Args:
        lag_s: see `pageflip.events.decoder.FlipStream`.
    """

    def __init__(
        self,
        predictor: PredictsFrames,
        lag_s: float,
        temporal: TemporalModel | None = None,
        model: EventModel | None = None,
    ) -> None:
        self._predictor = predictor
        self._temporal = temporal or load_temporal()
        self._encoder = FrameEncoder(self._temporal)
        self._stream = FlipStream(THRESHOLD, lag_s, model or load_event_model(IN_SEQUENCE_FILE))
        self._window: deque[tuple[float, float, np.ndarray]] = deque()  # time, probability and vector of a frame
        self._refined = 0  # frames of the window that are

    def push(self, frame: np.ndarray, time_s: float) -> list[Flip]:
        """Take the next frame, uint8 [height, width, 3]; return the flips that are settled by it."""
        probability = float(self._predictor.predict(frame[None])[0])
        vector = self._encoder.push(frame[None], np.array([time_s]))[0]
        self._window.append((time_s, probability, vector))
        ready = sum(time_s - time >= self._reach_s - 1e-6 for time, *_ in self._window)
        return self._tell(ready)

    def finish(self) -> list[Flip]:
        """End the recording; return the flips that were not told yet."""
        return self._tell(len(self._window)) + self._stream.finish()

    @property
    def _reach_s(self) -> float:
        return self._temporal.reach * STEP_S

    def _tell(self, ready: int) -> list[Flip]:
        if ready <= self._refined:
            return []
        times, probabilities, vectors = (np.array(values) for values in zip(*self._window, strict=True))
        refined = refine(vectors, probabilities, times, self._predictor.threshold, self._temporal)
        flips: list[Flip] = []
        for i in range(self._refined, ready):
            flips += self._stream.push(float(refined[i]), float(times[i]))
        self._refined = ready
        while self._refined and self._window[0][0] < times[ready - 1] - self._reach_s - STEP_S:
            self._window.popleft()
            self._refined -= 1
        return flips


def times_of(times_s: Sequence[float | None]) -> np.ndarray:
    """Times in seconds, float [N]: those of the clock, or what the frames' order makes of it."""
    return np.array([i / SEQUENCE_FPS if time is None else time for i, time in enumerate(times_s)])


def find_sequence_flips(
    probabilities: Sequence[float], times_s: Sequence[float | None], threshold: float
) -> list[Flip]:
    """The flips by probabilities alone; NaN is that of a frame that cannot be read. `SequenceReader` knows more."""
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
