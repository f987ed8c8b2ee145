"""Prediction of frames with ONNX Runtime.

The ONNX graph maps uint8 [N, height, width, 3] RGB to probabilities of `flip`, float32 [N]; it contains scaling to
0..1, temperature calibration and the sigmoid. Its metadata holds width, height, threshold and review band, so that one
file is all that prediction needs.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pageflip.base.errors import DataError
from pageflip.inference.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime

METADATA_KEY = "pageflip"
BATCH = 64


@dataclass(frozen=True)
class Predictor:
    """Loaded model.

    Attributes:
        session: of ONNX Runtime.
        width, height: size of its input frames in pixels.
        threshold: lowest probability that is labelled `flip`.
        name: of the registered model, or of the file.
        version: None for a plain file.
        band: lowest and highest probability that a person should review; None without a review band.
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
        """Load an ONNX file written by `pageflip.networks.onnx_export`.

        Args:
            path: the file.
            name: name of the model; the file's by default.
            version: version of the model.
            threads: of ONNX Runtime; 0 uses all cores.

        Raises:
            DataError: it is not such a file.
        """
        remedy = "give a model.onnx that the stage `register` wrote."
        session = open_session(path, remedy, threads)
        try:
            facts = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except KeyError:
            raise DataError(f"{path} has no pageflip metadata", remedy) from None
        band = tuple(facts["review_band"]) if facts.get("review_band") else None
        return cls(session, facts["width"], facts["height"], facts["threshold"], name or path.name, version, band)

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Return probabilities of `flip`, float32 [N], for frames uint8 [N, height, width, 3] RGB."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(frames), BATCH):
            batch = np.ascontiguousarray(frames[start : start + BATCH])
            parts.append(self.session.run(None, {"frames": batch})[0])
        return np.concatenate(parts)

    def latency_ms(self, frames: np.ndarray) -> float:
        """Measure the median latency of single frames in milliseconds, over uint8 [N, height, width, 3]; N >= 1."""
        self.predict(frames[:1])  # the first call of a session allocates its buffers
        seconds = []
        for index in range(len(frames)):
            started = time.perf_counter()
            self.predict(frames[index : index + 1])
            seconds.append(time.perf_counter() - started)
        return 1000 * float(np.median(seconds))

    def to_review(self, probability: float) -> bool:
        """Decide whether a person should review a frame of this probability."""
        return self.band is not None and self.band[0] <= probability <= self.band[1]
