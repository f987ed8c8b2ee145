"""Models as ONNX files."""

import numpy as np
import onnx
import pytest

from pageflip.base.errors import DataError
from pageflip.inference.predictor import BATCH, Predictor

WIDTH, HEIGHT = 27, 48


@pytest.fixture(scope="module")
def predictor(write_model, tmp_path_factory):
    return Predictor.load(write_model(tmp_path_factory.mktemp("model") / "m.onnx", threshold=0.25))


def test_a_model_knows_size_threshold_and_name(predictor):
    assert (predictor.width, predictor.height, predictor.threshold) == (WIDTH, HEIGHT, 0.25)
    assert (predictor.name, predictor.version) == ("m.onnx", None)


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 3])
def test_probabilities_do_not_depend_on_the_batch(predictor, count):
    greys = np.linspace(90, 160, count).astype(np.uint8)
    frames = np.broadcast_to(greys[:, None, None, None], (count, HEIGHT, WIDTH, 3))
    found = predictor.predict(frames)
    assert (found.shape, found.dtype) == ((count,), np.float32)
    assert found == pytest.approx(1 / (1 + np.exp(-(greys.astype(float) - 128) / 16)), abs=1e-5)


def test_files_that_are_no_model_of_ours_are_refused(tmp_path, write_model):
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    with pytest.raises(DataError, match=r"text\.onnx is not an ONNX model"):
        Predictor.load(text)
    foreign = onnx.load(write_model(tmp_path / "foreign.onnx"))
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match=r"foreign\.onnx has no pageflip metadata"):
        Predictor.load(tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match=r"there is no .*nowhere\.onnx"):
        Predictor.load(tmp_path / "nowhere.onnx")
