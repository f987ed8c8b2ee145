"""What several modules of unit tests share: the program, a model, and folders of uploads and results."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pageflip.events.sequence_model import SequenceModel
from pageflip.inference.predictor import Predictor
from uploads_factory import sequence_model as load_shipped


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the program `pageflip`: (exit code, standard output, standard error)."""
    from pageflip.cli import app

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pageflip", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return call


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A folder of uploads, still empty."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for results, which is not there yet."""
    return tmp_path / "results"


@pytest.fixture(scope="session")
def predictor(write_model, tmp_path_factory) -> Predictor:
    """A model that calls bright frames flips, as version 3."""
    return Predictor.load(write_model(tmp_path_factory.mktemp("model") / "m.onnx"), name="pageflip", version="3")


@pytest.fixture(scope="session")
def sequence_model() -> SequenceModel:
    """The temporal network and decoder that ship with the package."""
    return load_shipped()
