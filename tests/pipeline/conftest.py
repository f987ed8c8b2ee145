"""A whole small project in a folder of its own: this code, tiny frames and parameters, its own remote and MLflow."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from frames_factory import make_raw

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CODE = ("pageflip", "tasks", "dags", "dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore")
OURS = ("PAGEFLIP_", "MLFLOW_", "AIRFLOW", "DVC_", "AWS_")

Run = Callable[..., subprocess.CompletedProcess]


def tiny_params() -> dict:
    """The project's parameters, cut down to seconds."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["prepare"] = {"width": 54, "height": 96}
    params["validate"] |= {"min_width": 48, "min_height": 48}
    params["train"]["models"] = ["cnn"]
    params["train"]["fit"] |= {"epochs": 3, "batch_size": 16}
    params["train"]["networks"]["cnn"] = {"channels": [8, 16], "dropout": 0.2}
    params["evaluate"] |= {"bootstrap_samples": 100, "worst_mistakes": 4}
    params["register"]["parity_frames"] = 8
    params["promote"]["min_f1"] = 0.0
    params["score_uploads"]["settle_seconds"] = 0
    return params


def write_params(folder: Path, params: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def make_project(folder: Path, *, clips: int = 12, frames: int = 4) -> Path:
    """Lay the project out below `folder`, with raw frames that are tracked and pushed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    write_params(folder, tiny_params())
    make_raw(folder / "data" / "raw", clips=clips, frames=frames)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    call(folder, "dvc", "add", "--quiet", "data/raw")
    call(folder, "dvc", "push", "--quiet")
    return folder


def environment() -> dict[str, str]:
    """The environment of a user who has configured nothing and activated .venv."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return env | {"PATH": os.pathsep.join([str(BIN), env["PATH"]]), "COLUMNS": "200"}


def call(folder: Path, *command: str, expect: int = 0, **variables: str) -> subprocess.CompletedProcess:
    """Run a command of the pipeline environment in the project; its exit code must be `expect`."""
    env = {**environment(), **variables}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == expect, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run; tests may look, and run it again, but change nothing that counts."""
    folder = make_project(tmp_path_factory.mktemp("reproduced") / "project")
    call(folder, "dvc", "repro")
    return folder


@pytest.fixture
def fresh(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of the reproduced project, with all its state, to change at will."""
    folder = tmp_path / "project"
    shutil.copytree(reproduced, folder, symlinks=True)
    return folder
