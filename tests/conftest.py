"""What many tests share: a small pack, models of known behaviour, and MLflow on a database of the test's own."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from frames_factory import make_raw
from pageflip.base.files import sha256_of

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 27, 48
WriteModel = Callable[..., Path]

# Files that run for half a minute or more, the longest first: a long one that starts last leaves one worker idle.
LONGEST_FIRST = (
    "test_main_job",
    "test_local_services",
    "test_main_job_frames",
    "test_repro",
    "test_run_stage",
    "test_resume",
    "test_day_zero",
    "test_temporal",
)
KNOWN_SKIPS = Path(__file__).with_name("known_skips.txt")
unknown_skips: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the files of LONGEST_FIRST to the front (`make test` keeps this order when it hands files to workers)."""
    rank = {stem: position for position, stem in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_runtest_logreport(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Note a test that CI skips for a reason that is not in KNOWN_SKIPS."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else report.longrepr
    skip = f"{Path(report.nodeid.partition('::')[0]).name} | {reason}"
    if not any(fnmatchcase(skip, known) for known in KNOWN_SKIPS.read_text(encoding="utf-8").splitlines()):
        unknown_skips.append(f"{report.nodeid} | {reason}")


pytest_collectreport = pytest_runtest_logreport  # a file may be skipped as a whole


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in CI that skipped something it should have run."""
    if unknown_skips:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skipped tests that fail the run."""
    for skip in unknown_skips:
        terminalreporter.write_line(f"FAILED: skipped, and not in {KNOWN_SKIPS.name}: {skip}", red=True)


@pytest.fixture(scope="session")
def params_file() -> Path:
    """The project's own params.yaml."""
    return ROOT / "params.yaml"


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six clips per label of three books, raw and packed: the two folders. Not to be changed."""
    from pageflip.frames.pack_building import build_pack

    folder = tmp_path_factory.mktemp("packed")
    raw = make_raw(folder / "raw")
    build_pack(raw, folder / "frames", width=WIDTH, height=HEIGHT, workers=2)
    return raw, folder / "frames"


@pytest.fixture
def index(packed: tuple[Path, Path]) -> pd.DataFrame:
    """The index of the small pack, to be changed at will."""
    from pageflip.frames.pack import open_pack

    return open_pack(packed[1])[1]


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """A function that writes a model that knows brightness: sigmoid((mean grey - middle) / 16)."""

    def write(path: Path, *, middle: float = 128, threshold: float = 0.5, width: int = WIDTH) -> Path:
        constants = {"axes": np.array([1, 2, 3], np.int64), "middle": np.float32([middle]), "scale": np.float32([16])}
        nodes = [
            helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
            helper.make_node("Sub", ["mean", "middle"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["probability"]),
        ]
        graph = helper.make_graph(
            nodes,
            "brightness",
            [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", HEIGHT, width, 3])],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        facts = {"width": width, "height": HEIGHT, "threshold": threshold}
        helper.set_model_props(model, {"pageflip": json.dumps(facts)})
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def write_package(write_model: WriteModel) -> WriteModel:
    """A function that writes what the stage `register` exports: model.onnx and card.json."""

    def write(folder: Path, **facts: float) -> Path:
        write_model(folder / "model.onnx", **facts)
        card = {"network": "brightness", "artifact_sha256": sha256_of(folder / "model.onnx"), **facts}
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
        return folder

    return write


def _live_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the environment to a folder with an MLflow database."""
    monkeypatch.setenv("PAGEFLIP_HOME", str(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "PAGEFLIP_STORE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # in this order, what MLflow sets itself is undone too
    monkeypatch.chdir(folder)


def _copy_database(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, made once: that takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _live_in(folder, monkeypatch)
        from pageflip.registry import client

        client.client().search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_home(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PAGEFLIP_HOME and working directory, with an MLflow database that holds nothing yet."""
    home = tmp_path / "home"
    home.mkdir()
    _copy_database(empty_database, home / "mlflow.db")
    _live_in(home, monkeypatch)
    return home


# versions 1, 2, 3: how each judges frames of even brightness
REGISTERED = ({"middle": 128.0}, {"middle": 0.0}, {"middle": 128.0, "threshold": 0.6})


@pytest.fixture(scope="session")
def registered_database(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory, write_package: WriteModel
) -> Iterator[Path]:
    """A database with the versions REGISTERED and no champion; the artifacts stand beside it."""
    folder = tmp_path_factory.mktemp("registered")
    _copy_database(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _live_in(folder, monkeypatch)
        from pageflip.registry import registration

        for number, facts in enumerate(REGISTERED, start=1):
            package = write_package(folder / f"package-{number}", **facts)
            registration.register_version(
                "pageflip", package, weights_sha256=f"{number:064x}", tags={}, pip_requirements=["numpy"]
            )
    return folder / "mlflow.db"


@pytest.fixture
def models_home(registered_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PAGEFLIP_HOME and working directory; MLflow holds the versions REGISTERED and no champion."""
    home = tmp_path / "home"
    home.mkdir()
    _copy_database(registered_database, home / "mlflow.db")
    _live_in(home, monkeypatch)
    return home
