"""Flips of a recording while its frames come in."""

from collections import deque

import numpy as np

from pageflip.events.decoder import FlipStream
from pageflip.events.flip import Flip
from pageflip.events.reader import FramePredictor
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.temporal import STEP_S, THRESHOLD, FrameEncoder, refine


class SequenceStream:
    """Find flips online, each at most a fixed time after its last frame.

    A frame is re-estimated as soon as the temporal network's receptive field is complete (half a second later), and
    settled `lag_s` after that. With a lag beyond the recording's length the flips are those of `SequenceReader`, at up
    to 40 frames per second.

    Args:
        predictor: model of single frames.
        model: temporal network and decoder.
        lag_s: see `pageflip.events.decoder.FlipStream`.
    """

    def __init__(self, predictor: FramePredictor, model: SequenceModel, lag_s: float) -> None:
        self._predictor = predictor
        self._temporal = model.temporal
        self._reach_s = model.temporal.reach * STEP_S
        self._encoder = FrameEncoder(model.temporal)
        self._decoder = FlipStream(THRESHOLD, lag_s, model.decoder)
        self._window: deque[tuple[float, float, np.ndarray]] = deque()  # time, probability and features of a frame
        self._refined = 0  # leading frames of the window that have been re-estimated

    def push(self, frame: np.ndarray, time_s: float) -> list[Flip]:
        """Take the next frame, uint8 [height, width, 3]; return the flips that it settles."""
        probability = float(self._predictor.predict(frame[None])[0])
        features = self._encoder.push(frame[None], np.array([time_s]))[0]
        self._window.append((time_s, probability, features))
        ready = sum(time_s - time >= self._reach_s - 1e-6 for time, *_ in self._window)
        return self._decode(ready)

    def finish(self) -> list[Flip]:
        """End the recording; return the remaining flips."""
        return self._decode(len(self._window)) + self._decoder.finish()

    def _decode(self, ready: int) -> list[Flip]:
        """Re-estimate and decode the first `ready` frames of the window, then drop what nothing depends on any more."""
        if ready <= self._refined:
            return []
        times, probabilities, features = (np.array(values) for values in zip(*self._window, strict=True))
        refined = refine(features, probabilities, times, self._predictor.threshold, self._temporal)
        flips: list[Flip] = []
        for i in range(self._refined, ready):
            flips += self._decoder.push(float(refined[i]), float(times[i]))
        self._refined = ready
        while self._refined and self._window[0][0] < times[ready - 1] - self._reach_s - STEP_S:
            self._window.popleft()
            self._refined -= 1
        return flips
