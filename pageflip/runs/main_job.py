"""Main job: one run of both DAGs on sample data, from frames to a champion and scored uploads (`make run`)."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
from rich.table import Table

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, PageflipError
from pageflip.base.files import lock_file, read_json
from pageflip.base.provenance import data_version
from pageflip.local_stack import config, supervisor
from pageflip.local_stack.airflow_client import AirflowClient, TaskState
from pageflip.local_stack.config import Places
from pageflip.local_stack.dag_runs import run_dag
from pageflip.params.load import load_section
from pageflip.params.promote import Promote
from pageflip.params.scoring import ScoreUploads
from pageflip.runs.data_versions import raw_has_changed, track_raw
from pageflip.runs.run_stage import fetch_outputs

RUN_PREFIX = "main-job-"
RETRAIN_SECONDS = 30 * 24 * 3600.0  # dags/retrain.py ends a run long before, its wait for a person included
SCORE_SECONDS = 6 * 3600.0
# an Airflow that is started for this job only must not start scheduled runs beside the job's
ENVIRONMENT = {"PAGEFLIP_RETRAIN_SCHEDULE": "none", "PAGEFLIP_SCORE_SCHEDULE": "none"}
NOT_APPROVED = {
    "version": "under the alias candidate",
    "aliases": ["candidate"],
    "reason": "not approved: the log of approve_promotion says by whom",
}

Report = Callable[[str], None]


@dataclass
class Steps:
    """Steps of the job, in order: wall time in seconds, and the task states of a step that runs a DAG."""

    report: Report
    seconds: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, list[TaskState]] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Announce and time a step."""
        self.report(f"== {name}")
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


@dataclass(frozen=True)
class MainJobResult:
    """Result of the job, as tables for a terminal and as lines."""

    tables: list[Table]
    lines: list[str]


def run_main_job(report: Report) -> MainJobResult:
    """Run the job; what exists is kept, such as frames in data/raw, uploads, and results of unchanged stages.

    Uses the Airflow that is up, or starts one and stops it at the end.

    Raises:
        ConfigError: another main job with the same PAGEFLIP_HOME is running.
        DagRunError: a task failed.
    """
    places = config.find_places()
    with _lock(places.home), ExitStack() as stack:
        return _run(places, Steps(report), stack)


def _run(places: Places, steps: Steps, stack: ExitStack) -> MainJobResult:
    run_id = f"{RUN_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    report, params = steps.report, places.project / "params.yaml"
    with steps.time("sample frames"):
        make_frames(places, report)
    with steps.time("start Airflow"):
        airflow = stack.enter_context(supervisor.airflow_for_a_job(ENVIRONMENT, report))
        client = AirflowClient(airflow.airflow_url, airflow.user, airflow.password)
        client.ensure_gpu_pool()

    def run(dag_id: str, timeout: float) -> None:
        logs = places.airflow_home / "logs"
        with steps.time(dag_id):
            steps.tasks[dag_id] = run_dag(
                client, dag_id, run_id, timeout=timeout, run_prefix=RUN_PREFIX, log_folder=logs
            )

    if load_section(params, "promote", Promote).approval == "manual":
        report(
            f"You will be asked at {airflow.airflow_url}: log in as {airflow.user}, password in {airflow.password_file}"
        )
    run("retrain", RETRAIN_SECONDS)
    with steps.time("sample uploads"):
        _pageflip(places, "synthesize", "uploads")
        time.sleep(load_section(params, "score_uploads", ScoreUploads).settle_seconds)  # younger files are not scored
    run("score_uploads", SCORE_SECONDS)
    with steps.time("results"):
        approved = all(task.state == "success" for task in steps.tasks["retrain"] if task.name == "promote")
        results = _fetch_results(run_id, places.home / "latest", approved)
    airflow_url, mlflow_url = supervisor.addresses()
    lines = [
        f"Evaluation report  {results['report']}",
        f"Scoring report     {results['scoring']['report']}",
        f"`make up` opens the pages of Airflow ({airflow_url}) and MLflow ({mlflow_url}).",
    ]
    return MainJobResult([_result_table(results), _time_table(steps)], lines)


def make_frames(places: Places, report: Report) -> None:
    """Provide data/raw: draw sample frames where there are none, and track what is there with DVC."""
    project = places.project
    frames = project / "data" / "raw"
    tracked = frames.with_suffix(".dvc").exists()
    if not frames.exists():
        if tracked:
            report(f"The frames of data version {data_version(project)} come from the DVC remote.")
        else:
            _pageflip(places, "synthesize", "frames", "--out", "data/raw")
    elif not tracked:
        report(f"The frames in data/raw are now tracked as data version {track_raw(project)}.")
    elif raw_has_changed(project):
        report(f"The frames in data/raw have changed: they are now tracked as data version {track_raw(project)}.")
    else:
        report(f"There are frames in data/raw already, of data version {data_version(project)}.")


def _pageflip(places: Places, *arguments: str) -> None:
    """Run `pageflip ARGUMENTS...` in the project, with its output on this one's.

    Raises:
        PageflipError: the command failed; the exit code is the command's.
    """
    command = [str(places.python), "-m", "pageflip", *arguments]
    code = subprocess.run(command, cwd=places.project, check=False).returncode
    if code != 0:
        error = PageflipError(f"`pageflip {' '.join(arguments)}` ended with exit code {code}", "see its output above.")
        error.exit_code = code
        raise error


def _fetch_results(run_id: str, latest: Path, approved: bool) -> dict[str, Any]:
    """Copy the run's reports to `latest`, and read the content of the result table.

    Args:
        run_id: name of the run.
        latest: folder to copy to.
        approved: whether `promote` ran; it does not after a person's rejection.
    """
    fetch_outputs(run_id, ["models/package/card.json"], latest)
    promotion = latest / "reports" / "promotion.json"
    promotion.unlink(missing_ok=True)  # of an earlier run
    if approved:
        fetch_outputs(run_id, ["reports/promotion.json"], latest)
    model = read_json(latest / "models" / "package" / "card.json")["network"]
    details, page = f"reports/evaluation/{model}/details.json", f"reports/report/{model}/report.html"
    fetch_outputs(run_id, [details, page], latest)
    summary = storage.read_bytes(storage.join(settings.store_url(), run_id, "score", "summary.json"))
    return {
        "run_id": run_id,
        "model": model,
        "metrics": read_json(latest / details),
        "promotion": read_json(promotion) if approved else NOT_APPROVED,
        "scoring": json.loads(summary),
        "report": latest / page,
    }


def _result_table(results: dict[str, Any]) -> Table:
    metrics, promotion, scoring = results["metrics"], results["promotion"], results["scoring"]
    counts = metrics["confusion"]
    confusion = ", ".join(f"{counts[name]} {name.upper()}" for name in ("tp", "fp", "fn", "tn"))
    table = Table("result", "value", title=f"Run {results['run_id']}", title_justify="left")
    table.add_row(
        "F1 of flip (95% interval)", f"{metrics['f1']:.3f} ({metrics['f1_low']:.3f} to {metrics['f1_high']:.3f})"
    )
    around = metrics["in_sequence"]
    table.add_row("with the frames around", f"{around['f1']:.3f} ({around['f1_low']:.3f} to {around['f1_high']:.3f})")
    table.add_row("confusion counts", f"{confusion} on {metrics['n']} test frames")
    table.add_row("model", f"{results['model']}, version {promotion['version']}")
    table.add_row("alias", ", ".join(promotion["aliases"]) or "none")
    table.add_row("promotion", promotion["reason"])
    table.add_row("uploads scored", f"{scoring['scored']} now, {scoring['already_scored']} before")
    table.add_row("uploads in quarantine", str(scoring["quarantined"]))
    table.add_row("flip events found", f"{scoring['flips']} in {scoring['frames']} frames")
    return table


def _time_table(steps: Steps) -> Table:
    table = Table("step", "seconds", title="Wall time", title_justify="left")
    for step, seconds in steps.seconds.items():
        table.add_row(step, f"{seconds:.1f}")
        for task in steps.tasks.get(step, ()):
            table.add_row(f"  {task.label}", f"{task.seconds:.1f}" if task.seconds is not None else task.state or "")
    table.add_row("total", f"{sum(steps.seconds.values()):.1f}")
    return table


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Let only one main job at a time use this PAGEFLIP_HOME.

    Raises:
        ConfigError: another one does.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "main_job.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_file(path))
        except filelock.Timeout:
            owner = path.read_text(encoding="utf-8") if path.exists() else ""
            raise ConfigError(
                f"a main job is running already, process {owner or 'unknown'}",
                "wait for it, or end it, or set PAGEFLIP_HOME to another folder for a second one.",
            ) from None
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
