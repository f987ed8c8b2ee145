"""Flips of a whole recording, read in batches."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pageflip.events.clock import frame_times
from pageflip.events.decoder import decode_flips
from pageflip.events.flip import Flip
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.temporal import THRESHOLD, FrameEncoder, refine


class FramePredictor(Protocol):
    """A model of single frames; `pageflip.inference.predictor.Predictor` is one."""

    @property
    def width(self) -> int:
        """Width of its input frames in pixels."""

    @property
    def height(self) -> int:
        """Height of its input frames in pixels."""

    @property
    def threshold(self) -> float:
        """Lowest probability that is labelled `flip`."""

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Return probabilities of `flip`, float32 [N], for frames uint8 [N, height, width, 3]."""


class SequenceReader:
    """Read the frames of one recording in order, then find its flips.

    Attributes:
        probabilities: by the model of single frames; NaN where a frame could not be read.
        times_s: see `pageflip.events.clock.frame_times`.
    """

    def __init__(self, predictor: FramePredictor, model: SequenceModel) -> None:
        self._predictor = predictor
        self._model = model
        self._encoder = FrameEncoder(model.temporal)
        self._features: list[np.ndarray] = []
        self.probabilities: list[float] = []
        self.times_s: list[float] = []

    def push(self, frames: Sequence[np.ndarray | None], times_s: Sequence[float | None]) -> list[float]:
        """Read the next frames.

        Args:
            frames: uint8 [height, width, 3] each; None where one could not be read.
            times_s: in seconds; None where there is no clock.

        Returns:
            Their probabilities by the model of single frames; NaN for None.
        """
        clock = frame_times(times_s, first=len(self.times_s))
        readable = [i for i, frame in enumerate(frames) if frame is not None]
        probabilities = [math.nan] * len(frames)
        if readable:
            pixels = np.stack([frame for frame in frames if frame is not None])
            for i, probability in zip(readable, self._predictor.predict(pixels).tolist(), strict=True):
                probabilities[i] = probability
            self._features.append(self._encoder.push(pixels, clock[readable]))
        self.probabilities += probabilities
        self.times_s += clock.tolist()
        return probabilities

    def in_sequence(self) -> np.ndarray:
        """Re-estimate all probabilities from their neighbours: float32 [N], NaN where a frame could not be read."""
        probabilities, times = np.array(self.probabilities, np.float32), np.array(self.times_s)
        known = np.isfinite(probabilities)
        refined = np.full(len(probabilities), np.nan, np.float32)
        if known.any():
            features, threshold = np.concatenate(self._features), self._predictor.threshold
            refined[known] = refine(features, probabilities[known], times[known], threshold, self._model.temporal)
        return refined

    def flips(self, in_sequence: np.ndarray) -> list[Flip]:
        """Decode the flips of the recording from what the method `in_sequence` returned."""
        return decode_flips(in_sequence, np.array(self.times_s), THRESHOLD, self._model.decoder)
