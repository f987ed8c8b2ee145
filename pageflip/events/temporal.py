"""Temporal network at inference: re-estimate frame probabilities from the frames before and after.

`FrameEncoder` turns frames into feature vectors while they are decoded; `refine` reads the features and probabilities
of a whole sequence. Both parts of the network are ONNX files; `python -m tasks.learn_events` trains them on drawn
recordings. Any model of single frames can be used with them, since they read log-odds relative to its threshold.

Time is counted in steps of STEP_S: recordings with more frames per second are thinned out, others are read as they are.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.clock import frame_step_s
from pageflip.events.log_odds import MAX_ABS_LOG_ODDS, to_log_odds
from pageflip.frames.pixels import resize_frame
from pageflip.inference.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime

ENCODER_FILE, HEAD_FILE = "temporal-encoder.onnx", "temporal-head.onnx"
WIDTH, HEIGHT = 108, 192  # pixels of the network's input frames
LUMA_PLANES, PLANES, PLANE_SHAPE = 4, 6, (HEIGHT // 2, WIDTH // 2)
STEP_S = 1 / 30
DENSE = 0.7  # frames closer than this share of STEP_S are thinned out
ODDS_SCALE = MAX_ABS_LOG_ODDS / 2
THRESHOLD = 0.5  # of re-estimated probabilities


@dataclass(frozen=True)
class TemporalModel:
    """Loaded network.

    Attributes:
        encoder, head: sessions of its two parts.
        features: length of a frame's feature vector.
        reach: receptive field, in frames to either side.
    """

    encoder: "onnxruntime.InferenceSession"
    head: "onnxruntime.InferenceSession"
    features: int
    reach: int


def load_temporal(folder: Path) -> TemporalModel:
    """Load both parts of the network from a folder.

    Raises:
        DataError: a file is missing or malformed.
    """
    remedy = "restore it (`git checkout`), or run `python -m tasks.learn_events`."
    encoder, head = (open_session(folder / name, remedy) for name in (ENCODER_FILE, HEAD_FILE))
    facts = head.get_modelmeta().custom_metadata_map
    try:
        return TemporalModel(encoder, head, int(facts["features"]), int(facts["reach"]))
    except KeyError:
        raise DataError(f"{folder / HEAD_FILE} has no metadata of pageflip", remedy) from None


def to_planes(frames: np.ndarray) -> np.ndarray:
    """Convert frames to the network's input: luma of every pixel, chroma of each 2 x 2 (4:2:0, as cameras store them).

    A sheet seen edge-on is a thin line, hence luma at full resolution. It is stored as one plane for each position in
    the 2 x 2 block, so that all planes have one size.

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
    """Turn the frames of one recording into feature vectors, in order, a batch at a time."""

    def __init__(self, model: TemporalModel) -> None:
        self._model = model
        self._past: deque[tuple[float, np.ndarray]] = deque()  # times and planes of the last STEP_S

    def push(self, frames: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """Return the feature vectors of the next frames, float32 [N, features].

        Args:
            frames: uint8 [N, height, width, 3] RGB.
            times_s: ascending times in seconds, float [N].
        """
        return self.push_planes(to_planes(frames), times_s)

    def push_planes(self, planes: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """Do the same for planes, uint8 [N, PLANES, HEIGHT / 2, WIDTH / 2]."""
        if not len(planes):
            return np.empty((0, self._model.features), np.float32)
        before = np.stack([self._before(one, time) for one, time in zip(planes, times_s.tolist(), strict=True)])
        return self._model.encoder.run(None, {"planes": planes, "before": before})[0]

    def _before(self, planes: np.ndarray, time_s: float) -> np.ndarray:
        """Return the planes of about STEP_S before: those of the last frame, unless the frame rate is higher."""
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
    model: TemporalModel,
) -> np.ndarray:
    """Re-estimate each frame's probability of `flip` from its neighbours with the temporal network.

    Args:
        features: from `FrameEncoder`, float32 [N, features].
        probabilities: by the model of single frames, finite, float [N].
        times_s: ascending times in seconds, float [N].
        threshold: of the model of single frames.
        model: the temporal network.

    Returns:
        float32 [N]; compare with THRESHOLD, not with `threshold`.
    """
    if not len(probabilities):
        return np.empty(0, np.float32)
    times = np.asarray(times_s, np.float64)
    odds = to_log_odds(probabilities, threshold).astype(np.float32)
    rows = _thinned(times)
    logits = model.head.run(None, {"features": features[rows][None], "log_odds": odds[rows][None]})[0][0]
    spread = np.interp(times, times[rows], logits)
    return (1 / (1 + np.exp(-spread))).astype(np.float32)


def _thinned(times_s: np.ndarray) -> np.ndarray:
    """Return the positions of frames that are about STEP_S apart, int [M]; all if none are closer."""
    if frame_step_s(times_s) >= DENSE * STEP_S:
        return np.arange(len(times_s))
    count = max(1, round((times_s[-1] - times_s[0]) / STEP_S))
    targets = times_s[0] + np.arange(count + 1) * STEP_S
    right = np.searchsorted(times_s, targets).clip(1, len(times_s) - 1)
    left = right - 1
    return np.unique(np.where(targets - times_s[left] <= times_s[right] - targets, left, right))
