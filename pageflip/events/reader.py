"""What is found in the frames of a video or a folder of frames: flips, page stills, and a verdict.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS a second.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_model import IN_SEQUENCE_FILE, load_event_model
from pageflip.events.flip import Flip
from pageflip.events.temporal import THRESHOLD, FrameEncoder, refine

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
