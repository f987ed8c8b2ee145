"""What is found in the frames of a video or a folder of frames: flips, page stills, and a verdict.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS a second.
"""

from collections import deque

import numpy as np

from pageflip.events.decoder import FlipStream
from pageflip.events.decoder_model import IN_SEQUENCE_FILE, EventModel, load_event_model
from pageflip.events.flip import Flip
from pageflip.events.reader import PredictsFrames
from pageflip.events.temporal import STEP_S, THRESHOLD, FrameEncoder, TemporalModel, load_temporal, refine


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
