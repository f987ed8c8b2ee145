"""A copy of the project in a temporary Git repository, with small drawn frames and one epoch of training."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pageflip.base.errors import ConfigError
from pageflip.base.settings import project_root
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.stage.clips import plan_clips

BOOKS, CLIPS_PER_BOOK, FRAMES_PER_CLIP, WIDTH, HEIGHT = 4, 6, 8, 216, 384


def make_project(project: Path) -> None:
    """Make the copy: `data/raw` is tracked by DVC, no stage has run."""
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
    run(project, "git", "init", "--quiet")
    run(project, "dvc", "add", "--quiet", "data/raw")


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


def run(project: Path, *command: str) -> tuple[float, str]:
    """Run a command in the project with default settings; return its seconds and output."""
    prefixes = ("PAGEFLIP_", "MLFLOW_", "DVC_", "GIT_", "AWS_", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["DVC_NO_ANALYTICS"] = "1"
    start = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    duration = time.perf_counter() - start
    if done.returncode:
        tail = (done.stdout + done.stderr).strip()[-1500:]
        raise ConfigError(f"`{' '.join(command)}` failed in the benchmark's project:\n{tail}", "see its last lines.")
    return duration, done.stdout
