"""The main job, end to end through Airflow: sample frames, the DAG `retrain`, sample uploads, the DAG `score_uploads`.

    python -m tasks.main_job

It uses the Airflow that is up (`make up`), or starts one for as long as the job lasts. What exists is kept: frames in
data/raw, uploads, and the results of stages whose inputs did not change.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pageflip.base import settings, storage
from pageflip.base.console import run_main
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.provenance import data_version
from pageflip.local_stack import config, supervisor
from pageflip.local_stack.airflow_client import AirflowClient, TaskState
from pageflip.local_stack.config import Places
from pageflip.local_stack.dag_runs import run_dag
from pageflip.params.all import load_params
from pageflip.runs import run_stage
from pageflip.runs.data_versions import track_raw

RUN_PREFIX = "main-job-"
RETRAIN_SECONDS = 30 * 24 * 3600.0  # dags/retrain.py ends a run long before, its wait for a person included
SCORE_SECONDS = 6 * 3600.0
# An Airflow that lives for this job only must not start runs of its own beside the job's.
ENVIRONMENT = {"PAGEFLIP_RETRAIN_SCHEDULE": "none", "PAGEFLIP_SCORE_SCHEDULE": "none"}
NOT_APPROVED = {
    "version": "under the alias candidate",
    "aliases": ["candidate"],
    "reason": "not approved: the log of approve_promotion says by whom",
}


class Clock:
    """Wall time of each step, in seconds, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step."""
        _say(f"== {name}")
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


def main() -> None:
    """Run the job, one at a time for each PAGEFLIP_HOME."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as after Ctrl-C: stop what was started
    where = config.places()
    with _only_one(where.home), ExitStack() as stack:
        _run(where, stack)


def _run(where: Places, stack: ExitStack) -> None:
    clock, tasks = Clock(), {}
    run_id = f"{RUN_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with clock.step("sample frames"):
        _make_frames(where)
    with clock.step("start Airflow"):
        up = stack.enter_context(supervisor.airflow_for_a_job(ENVIRONMENT, _say))
        client = AirflowClient(up.airflow_url, up.user, up.password)
        client.ensure_gpu_pool()
    logs = where.airflow_home / "logs"
    with clock.step("retrain"):
        if load_params(where.project / "params.yaml").promote.approval == "manual":
            _say(f"You will be asked at {up.airflow_url}: log in as {up.user}, password in {up.password_file}")
        tasks["retrain"] = run_dag(client, "retrain", run_id, timeout=RETRAIN_SECONDS, ours=RUN_PREFIX, log_folder=logs)
    with clock.step("sample uploads"):
        _make_uploads(where)
    with clock.step("score_uploads"):
        tasks["score_uploads"] = run_dag(
            client, "score_uploads", run_id, timeout=SCORE_SECONDS, ours=RUN_PREFIX, log_folder=logs
        )
    with clock.step("results"):
        approved = all(task.state == "success" for task in tasks["retrain"] if task.name == "promote")
        results = _fetch_results(run_id, where.home / "latest", approved)
    _show(results, clock, tasks)


def _make_frames(where: Places) -> None:
    frames = where.project / "data" / "raw"
    tracked = frames.with_suffix(".dvc").exists()
    if not frames.exists():
        if tracked:
            _say(f"The frames of data version {data_version(where.project)} come from the DVC remote.")
        else:
            _pageflip(where, "synthesize", "frames", "--out", "data/raw")
    elif not tracked:
        _say(f"The frames in data/raw are now tracked as data version {track_raw(where.project)}.")
    elif _changed(where.project):
        _say(f"The frames in data/raw have changed: they are now tracked as data version {track_raw(where.project)}.")
    else:
        _say(f"There are frames in data/raw already, of data version {data_version(where.project)}.")


def _changed(project: Path) -> bool:
    """Whether data/raw holds something else than data/raw.dvc says.

    Raises:
        UnavailableError: DVC cannot tell.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            return bool(repo.status(targets=[str(project / "data" / "raw.dvc")]))
    except DvcException as error:
        raise UnavailableError(
            f"DVC cannot compare data/raw with data/raw.dvc: {error}", "see `dvc status data/raw.dvc`."
        ) from error


def _make_uploads(where: Places) -> None:
    _pageflip(where, "synthesize", "uploads")
    time.sleep(load_params(where.project / "params.yaml").score_uploads.settle_seconds)  # younger files are left alone


def _pageflip(where: Places, *arguments: str) -> None:
    """Run `pageflip ARGUMENTS...` in the project; its output is the user's."""
    command = [str(where.python), "-m", "pageflip", *arguments]
    code = subprocess.run(command, cwd=where.project, check=False).returncode
    if code != 0:
        error = UnavailableError(
            f"`pageflip {' '.join(arguments)}` ended with exit code {code}", "see its output above."
        )
        error.exit_code = code
        raise error


def _fetch_results(run_id: str, latest: Path, approved: bool) -> dict[str, Any]:
    """Copy the run's reports to `latest`, and read what the closing table shows.

    Args:
        approved: whether `promote` ran; it does not after a person's rejection.
    """
    run_stage.fetch_outputs(run_id, ["models/package/card.json"], latest)
    promotion = latest / "reports" / "promotion.json"
    promotion.unlink(missing_ok=True)  # of an earlier run
    if approved:
        run_stage.fetch_outputs(run_id, ["reports/promotion.json"], latest)
    model = _read(latest / "models" / "package" / "card.json")["network"]
    details, page = f"reports/evaluation/{model}/details.json", f"reports/report/{model}/report.html"
    run_stage.fetch_outputs(run_id, [details, page], latest)
    summary = storage.read_bytes(storage.join(settings.store_url(), run_id, "score", "summary.json"))
    return {
        "run_id": run_id,
        "model": model,
        "metrics": _read(latest / details),
        "promotion": _read(promotion) if approved else NOT_APPROVED,
        "scoring": json.loads(summary),
        "report": latest / page,
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _show(results: dict[str, Any], clock: Clock, tasks: dict[str, list[TaskState]]) -> None:
    console = Console()
    console.print(_result_table(results), _time_table(clock, tasks))
    _say(f"Evaluation report  {results['report']}")
    _say(f"Scoring report     {results['scoring']['report']}")
    airflow, mlflow = supervisor.addresses()
    _say(f"`make up` opens the pages of Airflow ({airflow}) and MLflow ({mlflow}).")


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


def _time_table(clock: Clock, tasks: dict[str, list[TaskState]]) -> Table:
    table = Table("step", "seconds", title="Wall time", title_justify="left")
    for step, seconds in clock.seconds.items():
        table.add_row(step, f"{seconds:.1f}")
        for task in tasks.get(step, ()):
            table.add_row(f"  {task.label}", f"{task.seconds:.1f}" if task.seconds is not None else task.state or "")
    table.add_row("total", f"{sum(clock.seconds.values()):.1f}")
    return table


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of the main job; it goes with the process.

    Raises:
        ConfigError: another main job holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "main_job.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"a main job is running already, process {file.read().strip() or 'unknown'}",
                "wait for it, or end it, or set PAGEFLIP_HOME to another folder for a second one.",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_main(main)
