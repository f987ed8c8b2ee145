"""Overhead of a hermetic stage over its bare command.

Measured: wall time of `python -m tasks.run_stage STAGE --run RUN`, which makes a workspace, fetches inputs, runs the
stage through DVC and pushes outputs, minus that of the stage's command from dvc.yaml, one after the other, in a project
with small frames; Python's start is in both. The caches of the machine are warm; the run cache is emptied before each
round, so that every stage is computed. The value is that of the stage with the largest overhead, median of three
rounds. In the detail: both times of each stage, and the time of a stage that is restored.

    python -m benchmarks stage_overhead_seconds
"""

import shutil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from benchmarks.measuring import machine
from benchmarks.projects import make_project, run
from benchmarks.results import Result
from pageflip.base.errors import ConfigError

BAR = 4.0
ROUNDS = 3
STAGES = ("prepare", "validate", "split", "train@cnn", "evaluate@cnn", "register", "promote")


def measure() -> Result:
    """Run each stage bare and hermetically, in turns.

    Raises:
        ConfigError: a stage fails, or was restored where it should have been computed.
    """
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        project = Path(place) / "project"
        make_project(project)
        run(project, "dvc", "push", "--quiet")
        run(project, "dvc", "repro", "--quiet")
        commands = _commands(project)
        bare: dict[str, list[float]] = {stage: [] for stage in STAGES}
        hermetic: dict[str, list[float]] = {stage: [] for stage in STAGES}
        for turn in range(ROUNDS + 1):
            _empty_run_caches(project)
            for stage in STAGES:
                alone, _ = run(project, "sh", "-c", commands[stage])
                whole = _stage(project, stage, f"round-{turn}", "computed")
                if turn:  # the first fills the caches
                    bare[stage].append(alone)
                    hermetic[stage].append(whole)
        restored = [_stage(project, stage, "again", "restored") for stage in STAGES]
    overhead = {stage: median(hermetic[stage]) - median(bare[stage]) for stage in STAGES}
    detail = {
        "bar": BAR,
        "machine": machine(),
        "rounds": ROUNDS,
        "overhead_s": overhead,
        "command_s": {stage: median(bare[stage]) for stage in STAGES},
        "hermetic_s": {stage: median(hermetic[stage]) for stage in STAGES},
        "restored_s": median(restored),
    }
    return Result("stage_overhead_seconds", max(overhead.values()), "s", False, detail)


def _commands(project: Path) -> dict[str, str]:
    """Return the command of each stage as DVC resolved it."""
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    return {stage: lock["stages"][stage]["cmd"] for stage in STAGES}


def _empty_run_caches(project: Path) -> None:
    """Delete the run caches of the machine and of the remote."""
    for folder in project.rglob("runs"):
        if (folder.parent / "files").is_dir():
            shutil.rmtree(folder)


def _stage(project: Path, stage: str, name: str, expected: str) -> float:
    duration, output = run(project, "python", "-m", "tasks.run_stage", stage, "--run", name)
    if f"{stage}: " not in output or expected not in output.splitlines()[-1]:
        raise ConfigError(f"{stage} was not {expected}:\n{output[-500:]}", "see what differs between the runs.")
    return duration
