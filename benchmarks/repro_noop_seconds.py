"""How long `dvc repro` takes when nothing has changed.

Measured: wall time of the whole command, Python's start-up included, in a project whose seven stages are all up to
date; median of five. The project is a copy of this one's code and pipeline in a temporary Git repository, with small
synthetic frames and one epoch of training; it is run once first. Nothing to compare with: the bar is absolute. In the
detail: the first run, and what DVC takes to start and say its version.

    python -m benchmarks repro_noop_seconds
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from benchmarks.measuring import file_sizes, machine
from benchmarks.results import Result
from pageflip.errors import ConfigError
from pageflip.settings import project_root
from pageflip.synthetic import plan_clips, write_archive

BAR = 3.0
ROUNDS = 5
BOOKS, CLIPS_PER_BOOK, FRAMES_PER_CLIP, WIDTH, HEIGHT = 4, 6, 8, 216, 384


def measure() -> Result:
    """Build the project, run its pipeline once, and time it doing nothing.

    Raises:
        ConfigError: a command of the project fails, or a stage runs again although nothing changed.
    """
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        project = Path(place) / "project"
        _make_project(project)
        first, _ = _run(project, "dvc", "repro")
        noops = []
        for _ in range(ROUNDS):
            taken, output = _run(project, "dvc", "repro")
            if "Running stage" in output:
                raise ConfigError("a second `dvc repro` ran a stage again", "see which with `dvc status`.")
            noops.append(taken)
        start = [_run(project, "dvc", "--version")[0] for _ in range(ROUNDS)]
        detail = {
            "bar": BAR,
            "machine": machine(),
            "rounds": ROUNDS,
            "seconds_of_each_round": noops,
            "dvc_version_s": median(start),
            "first_run_s": first,
            "stages": len(yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]),
            "raw": file_sizes(project / "data" / "raw"),
        }
    return Result("repro_noop_seconds", median(noops), "s", False, detail)


def _make_project(project: Path) -> None:
    root = project_root()
    project.mkdir()
    for name in ("pageflip", "tasks"):
        shutil.copytree(root / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".dvc").mkdir()
    for name in ("dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore"):
        shutil.copy(root / name, project / name)
    _write_small_params(root / "params.yaml", project / "params.yaml")
    clips = plan_clips(
        seed=1,
        books=BOOKS,
        clips_per_book=CLIPS_PER_BOOK,
        frames_per_clip=FRAMES_PER_CLIP,
        width=WIDTH,
        height=HEIGHT,
    )
    write_archive(clips, project / "data" / "raw", workers=1)
    _run(project, "git", "init", "--quiet")
    _run(project, "dvc", "add", "--quiet", "data/raw")


def _write_small_params(source: Path, target: Path) -> None:
    params = yaml.safe_load(source.read_text(encoding="utf-8"))
    params["prepare"] = {"width": 27, "height": 48}
    params["validate"] |= {"min_width": 64, "min_height": 64}
    params["train"]["fit"] |= {"epochs": 1, "accelerator": "cpu"}
    params["train"]["models"] = ["cnn"]
    params["train"]["networks"]["cnn"] |= {"channels": [8, 8], "dropout": 0.0}
    params["evaluate"] |= {"bootstrap_samples": 50}
    params["promote"] |= {"min_f1": 0.0}
    target.write_text(yaml.safe_dump(params), encoding="utf-8")


def _run(project: Path, *command: str) -> tuple[float, str]:
    """Seconds and output of a command in the project, with all addresses at their defaults inside it."""
    foreign = ("PAGEFLIP_", "MLFLOW_", "DVC_", "GIT_", "AWS_", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["DVC_NO_ANALYTICS"] = "1"
    start = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        tail = (done.stdout + done.stderr).strip()[-1500:]
        raise ConfigError(f"`{' '.join(command)}` failed in the benchmark's project:\n{tail}", "see its last lines.")
    return taken, done.stdout
