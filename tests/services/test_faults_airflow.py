"""The DAG `retrain` while the scheduler and the database of Airflow die and come back.

It needs root, PostgreSQL (`apt-get install postgresql`), and a package index for its driver. Airflow is the one of
`make up` with its LocalExecutor, on PostgreSQL: supervisord restarts what dies.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from pageflip.local_stack.airflow_client import AirflowClient, TaskState
from pageflip.local_stack.dag_runs import run_dag
from pipeline.conftest import make_project, tiny_params, write_params
from services.postgres import Postgres
from services.real_airflow import (
    ALL_WELL,
    STAGES,
    airflow,
    attempts,
    kill_tree,
    needs_orchestrator,
    outs_of_repro,
    outs_of_run,
    task_logs,
)

DOWN_S = 8
RUN_S = 1800
DISTURBED, COMPARED = "train@cnn", "evaluate@cnn"

pytestmark = [pytest.mark.timeout(3600), needs_orchestrator]


@dataclass(frozen=True)
class Place:
    """A project, the Airflow that runs its DAGs, and what the last of its stages gives when nothing disturbs it."""

    client: AirflowClient
    home: Path
    expected: list[dict]


@pytest.fixture(scope="module")
def place(postgres: Postgres, drivers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Airflow on PostgreSQL; dead tasks and schedulers are noticed within seconds."""
    told = {
        "PYTHONPATH": str(drivers),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres.address}",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "PAGEFLIP_RETRAIN_SCHEDULE": "none",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    }
    project = make_project(tmp_path_factory.mktemp("faults") / "project")
    home = project / ".pageflip"
    params = tiny_params()
    params["train"]["fit"] |= {"epochs": 40, "patience": 40}  # long enough to be disturbed
    write_params(project, params)
    expected = outs_of_repro(project, COMPARED)
    with airflow(project, home, told) as (client, _):
        yield Place(client, home, expected)


def _run_disturbed(place: Place, run_id: str, disturb: Callable[[], None]) -> list[TaskState]:
    """A run of `retrain` in which `disturb` is called once the training's log tells of epoch 3."""
    for folder in ("cache", "remote"):  # so that no stage is restored from an earlier run
        shutil.rmtree(place.home / folder / "runs", ignore_errors=True)
    over, done = Event(), []

    def wait_and_disturb() -> None:
        while "train: epoch 3" not in task_logs(place.home, run_id, DISTURBED):
            if over.wait(0.1):
                return
        disturb()
        done.append(True)

    thread = Thread(target=wait_and_disturb, daemon=True)
    thread.start()
    try:
        logs = place.home / "airflow/logs"
        tasks = run_dag(place.client, "retrain", run_id, timeout=RUN_S, ours="old", log_folder=logs)
    finally:
        over.set()
        thread.join()
    assert done == [True]
    return tasks


def _require_the_results_of_a_repro(place: Place, run_id: str, tasks: list[TaskState]) -> None:
    """All stages ended well, those that were not disturbed ran once, and the hashes are those of the laptop."""
    assert {task.name: task.state for task in tasks} == ALL_WELL
    for stage in STAGES:
        if stage != DISTURBED:  # whose first attempt may live on beside the second
            assert attempts(place.home, run_id, stage) == 1
            assert task_logs(place.home, run_id, stage).count(f"{stage}: computed in") == 1
    assert sorted(file.name for file in (place.home / "runs" / run_id / "lock").iterdir()) == sorted(
        f"{stage}.json" for stage in STAGES
    )
    assert outs_of_run(place.home, run_id, COMPARED) == place.expected


def _scheduler(home: Path) -> psutil.Process:
    """The scheduler's own process, which supervisord started."""
    supervisor = psutil.Process(int((home / "services/supervisord.pid").read_text()))
    (found,) = [child for child in supervisor.children() if "scheduler" in " ".join(child.cmdline())]
    return found


def test_a_scheduler_that_is_killed_in_a_training_costs_nothing_but_time(place: Place) -> None:
    tasks = _run_disturbed(place, "scheduler", lambda: _scheduler(place.home).kill())
    _require_the_results_of_a_repro(place, "scheduler", tasks)


def test_a_scheduler_that_is_killed_with_its_tasks_has_them_go_on_from_the_checkpoint(place: Place) -> None:
    tasks = _run_disturbed(place, "machine", lambda: kill_tree(_scheduler(place.home).pid))
    _require_the_results_of_a_repro(place, "machine", tasks)
    log = task_logs(place.home, "machine", DISTURBED)
    assert "resuming from the checkpoint" in log
    assert log.count("train: epoch 0") == 1


def test_a_database_that_crashes_in_a_training_costs_nothing_but_time(place: Place, postgres: Postgres) -> None:
    def crash() -> None:
        postgres.crash()
        time.sleep(DOWN_S)
        postgres.start()

    tasks = _run_disturbed(place, "database", crash)
    _require_the_results_of_a_repro(place, "database", tasks)
