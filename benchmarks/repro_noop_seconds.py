"""Time of `dvc repro` without changes.

Measured: wall time of the command, Python's start included, in a project whose stages are all up to date; median of
five. The project is a copy of this one's code and pipeline in a temporary Git repository, with small drawn frames and
one epoch of training, in which `dvc repro` has run once. The bar is absolute. In the detail: the first run, and
`dvc --version` for DVC's own start.

    python -m benchmarks repro_noop_seconds
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from benchmarks.measuring import file_sizes, machine
from benchmarks.projects import make_project, run
from benchmarks.results import Result
from pageflip.base.errors import ConfigError

BAR = 3.0
ROUNDS = 5


def measure() -> Result:
    """Run the pipeline of a project, and time `dvc repro` without changes.

    Raises:
        ConfigError: a command of the project fails, or a stage runs again although nothing changed.
    """
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        project = Path(place) / "project"
        make_project(project)
        first, _ = run(project, "dvc", "repro")
        noops = []
        for _ in range(ROUNDS):
            taken, output = run(project, "dvc", "repro")
            if "Running stage" in output:
                raise ConfigError("a second `dvc repro` ran a stage again", "see which with `dvc status`.")
            noops.append(taken)
        start = [run(project, "dvc", "--version")[0] for _ in range(ROUNDS)]
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
