"""The temporal network at work: probabilities of a video's frames that know what came before and after.

`FrameEncoder` turns frames into vectors while they are decoded, `refine` reads the vectors and the probabilities of a
whole sequence. Both parts of the network are ONNX files below `learnt/`; `python -m tasks.learn_events` makes them from
drawn recordings. They serve any model: what they read of it are log-odds from its own threshold.

Time is counted in frames of STEP_S: recordings with more frames a second are thinned out, others are read as they are.
"""

import functools
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.errors import DataError
from pageflip.event_model import SURE, log_odds
from pageflip.pixels import resize_frame

if TYPE_CHECKING:
    import onnxruntime

LEARNT = Path(__file__).with_name("learnt")
ENCODER_FILE, HEAD_FILE = "temporal-encoder.onnx", "temporal-head.onnx"
WIDTH, HEIGHT = 54, 96  # pixels of the frames that the network reads
STEP_S = 1 / 30
DENSE = 0.7  # frames closer than this share of STEP_S are thinned out
ODDS_SCALE = SURE / 2
THRESHOLD = 0.5  # of the refined probabilities


@dataclass(frozen=True)
class TemporalModel:
    """The loaded network: sessions of both parts, length of a frame's vector, and frames read to either side."""

    encoder: "onnxruntime.InferenceSession"
    head: "onnxruntime.InferenceSession"
    features: int
    reach: int


@functools.cache
def load_temporal(folder: Path = LEARNT) -> TemporalModel:
    """Load both parts of the network.

    Raises:
        DataError: a file is missing, or is none of them.
    """
    import onnxruntime

    sessions = []
    for name in (ENCODER_FILE, HEAD_FILE):
        path = folder / name
        remedy = "restore it (`git checkout`), or run `python -m tasks.learn_events`."
        if not path.is_file():
            raise DataError(f"there is no {path}", remedy)
        try:
            sessions.append(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]))
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise DataError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}", remedy) from None
    facts = sessions[1].get_modelmeta().custom_metadata_map
    try:
        return TemporalModel(*sessions, int(facts["features"]), int(facts["reach"]))
    except KeyError:
        raise DataError(f"{folder / HEAD_FILE} has no metadata of pageflip", remedy) from None


def small_frames(frames: np.ndarray) -> np.ndarray:
    """uint8 [N, height, width, 3] of any size -> uint8 [N, HEIGHT, WIDTH, 3], as the network reads them."""
    small = [resize_frame(frame, WIDTH, HEIGHT) for frame in frames]
    return np.stack(small) if small else np.empty((0, HEIGHT, WIDTH, 3), np.uint8)


class FrameEncoder:
    """Turns the frames of one recording into vectors, in order, a batch at a time."""

    def __init__(self, model: TemporalModel | None = None) -> None:
        self._model = model or load_temporal()
        self._past: deque[tuple[float, np.ndarray]] = deque()  # frames of the last STEP_S

    def push(self, frames: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """The vectors, float32 [N, features], of the next frames.

        Args:
            frames: uint8 [N, height, width, 3] RGB.
            times_s: ascending, float [N].
        """
        small = small_frames(frames)
        if not len(small):
            return np.empty((0, self._model.features), np.float32)
        before = np.stack([self._before(frame, time) for frame, time in zip(small, times_s.tolist(), strict=True)])
        return self._model.encoder.run(None, {"frames": small, "before": before})[0]

    def _before(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """The frame about STEP_S before this one: the last one, unless the recording has more frames a second."""
        while len(self._past) > 1 and self._past[1][0] <= time_s - DENSE * STEP_S:
            self._past.popleft()
        before = self._past[0][1] if self._past else frame
        self._past.append((time_s, frame))
        return before


def refine(
    features: np.ndarray,
    probabilities: np.ndarray,
    times_s: np.ndarray,
    threshold: float,
    model: TemporalModel | None = None,
) -> np.ndarray:
    """Probabilities of `flip` in the light of the whole sequence, float32 [N]; their threshold is THRESHOLD.

    Args:
        features: of `FrameEncoder`, float32 [N, features].
        probabilities: of the model of single frames, float [N], finite; `threshold` is its own.
        times_s: ascending times in seconds, float [N].
    """
    if not len(probabilities):
        return np.empty(0, np.float32)
    model = model or load_temporal()
    times = np.asarray(times_s, np.float64)
    odds = log_odds(probabilities, threshold).astype(np.float32)
    rows = _thinned(times)
    logits = model.head.run(None, {"features": features[rows][None], "log_odds": odds[rows][None]})[0][0]
    spread = np.interp(times, times[rows], logits)
    return (1 / (1 + np.exp(-spread))).astype(np.float32)


def _thinned(times_s: np.ndarray) -> np.ndarray:
    """Positions of frames that are about STEP_S apart, int [M]; all where they are no closer."""
    if len(times_s) < 2 or np.median(np.diff(times_s)) >= DENSE * STEP_S:
        return np.arange(len(times_s))
    count = max(1, round((times_s[-1] - times_s[0]) / STEP_S))
    wanted = times_s[0] + np.arange(count + 1) * STEP_S
    right = np.searchsorted(times_s, wanted).clip(1, len(times_s) - 1)
    left = right - 1
    return np.unique(np.where(wanted - times_s[left] <= times_s[right] - wanted, left, right))
