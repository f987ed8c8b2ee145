"""The model as MLflow serves it: a pyfunc from code, without pickle. Input: JPEG or PNG bytes, one picture a row.

`mlflow models serve`, batch jobs and `mlflow.pyfunc.load_model` run this file. A registered version holds copies of the
modules it imports (see `pageflip.registry.registration`), so that pixels match training to the bit: import few here.
"""

import base64
import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image

from pageflip.base.errors import DataError
from pageflip.frames.pixels import decode_image
from pageflip.inference.predictor import Predictor


def _example_picture() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (54, 96), (128, 128, 128)).save(buffer, "JPEG")
    return buffer.getvalue()


SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.string, "label")]),
)
INPUT_EXAMPLE = pd.DataFrame({"image": [_example_picture()]})


class FlipModel(mlflow.pyfunc.PythonModel):
    """Probability and label of each picture."""

    def load_context(self, context: Any) -> None:
        """Load the ONNX file of the version, if it is the one that its card names.

        Raises:
            DataError: it is not.
        """
        model = Path(context.artifacts["model"])
        expected = json.loads(Path(context.artifacts["card"]).read_text(encoding="utf-8"))["artifact_sha256"]
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        if digest != expected:
            raise DataError(f"{model} has the SHA-256 {digest}, its card names {expected}", "do not serve it.")
        self.predictor = Predictor.load(model)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """`image` (JPEG or PNG bytes, or their base64 text) -> `probability` of flip and `label`."""
        pictures = [base64.b64decode(cell) if isinstance(cell, str) else bytes(cell) for cell in model_input["image"]]
        width, height = self.predictor.width, self.predictor.height
        frames = np.stack([decode_image(picture, width, height) for picture in pictures])
        probability = self.predictor.predict(frames).astype(float)
        label = np.where(probability >= self.predictor.threshold, "flip", "notflip")
        return pd.DataFrame({"probability": probability, "label": label})


mlflow.models.set_model(FlipModel())
