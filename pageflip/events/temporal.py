"""The temporal network at work: probabilities of a video's frames that know what came before and after.

`FrameEncoder` turns frames into vectors while they are decoded, `refine` reads the vectors and the probabilities of a
whole sequence. Both parts of the network are ONNX files in `inference/pretrained/`; `python -m tasks.learn_events`
makes them from
drawn recordings. They serve any model: what they read of it are log-odds from its own threshold.

Time is counted in frames of STEP_S: recordings with more frames a second are thinned out, others are read as they are.
"""

import functools
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.decoder_model import SURE, log_odds
from pageflip.frames.pixels import resize_frame
from pageflip.inference.cards import FOLDER

if TYPE_CHECKING:
    import onnxruntime

LEARNT = FOLDER
ENCODER_FILE, HEAD_FILE = "temporal-encoder.onnx", "temporal-head.onnx"
WIDTH, HEIGHT = 108, 192  # pixels of the frames that the network reads, as planes
LUMA_PLANES, PLANES, PLANE_SHAPE = 4, 6, (HEIGHT // 2, WIDTH // 2)
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


def planes_of(frames: np.ndarray) -> np.ndarray:
    """What the network reads of frames: luma of every pixel, colours of four together (4:2:0, as cameras store them).

    A sheet that stands on its edge is a thin line, so the luma must be fine; it is stored as the planes of each four
    neighbours, which makes all planes alike in size.

    Args:
        frames: RGB of any size, uint8 [N, height, width, 3].

    Returns:
        uint8 [N, PLANES, HEIGHT / 2, WIDTH / 2]: LUMA_PLANES of Y, then Cr and Cb (ITU-R BT.601, full range).
    """
    import cv2

    rows, columns = PLANE_SHAPE
    planes = np.empty((len(frames), PLANES, rows, columns), np.uint8)
    for frame, into in zip(frames, planes, strict=True):
        if frame.shape[:2] != (HEIGHT, WIDTH):
            frame = resize_frame(frame, WIDTH, HEIGHT)
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
        luma = picture[..., 0].reshape(rows, 2, columns, 2).transpose(1, 3, 0, 2)
        into[:LUMA_PLANES] = luma.reshape(LUMA_PLANES, rows, columns)
        coarse = cv2.resize(picture[..., 1:], (columns, rows), interpolation=cv2.INTER_AREA)
        into[LUMA_PLANES:] = coarse.transpose(2, 0, 1)
    return planes


class FrameEncoder:
    """Turns the frames of one recording into vectors, in order, a batch at a time."""

    def __init__(self, model: TemporalModel | None = None) -> None:
        self._model = model or load_temporal()
        self._past: deque[tuple[float, np.ndarray]] = deque()  # planes of the last STEP_S

    def push(self, frames: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """The vectors, float32 [N, features], of the next frames.

        Args:
            frames: uint8 [N, height, width, 3] RGB.
            times_s: ascending, float [N].
        """
        return self.push_planes(planes_of(frames), times_s)

    def push_planes(self, planes: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """The same for frames whose planes are known, uint8 [N, PLANES, HEIGHT / 2, WIDTH / 2]."""
        if not len(planes):
            return np.empty((0, self._model.features), np.float32)
        before = np.stack([self._before(one, time) for one, time in zip(planes, times_s.tolist(), strict=True)])
        return self._model.encoder.run(None, {"planes": planes, "before": before})[0]

    def _before(self, planes: np.ndarray, time_s: float) -> np.ndarray:
        """Those of about STEP_S before these: the last ones, unless the recording has more frames a second."""
        while len(self._past) > 1 and self._past[1][0] <= time_s - DENSE * STEP_S:
            self._past.popleft()
        before = self._past[0][1] if self._past else planes
        self._past.append((time_s, planes))
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
