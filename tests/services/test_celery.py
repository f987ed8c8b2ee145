"""The DAG `retrain` under CeleryExecutor: PostgreSQL and Redis of Debian, two workers, one of which dies.

It needs root, PostgreSQL and Redis (`apt-get install postgresql redis-server`), and a package index for the drivers.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from pageflip.local_stack import config
from pageflip.local_stack.dag_runs import run_dag
from pipeline.conftest import make_project, tiny_params, write_params
from services.docker_daemon import free_port
from services.postgres import Postgres
from services.real_airflow import (
    ALL_WELL,
    ORCHESTRATOR,
    airflow,
    kill_tree,
    needs_orchestrator,
    outs_of_repro,
    outs_of_run,
)

PASSWORD = "test-secret"

pytestmark = [pytest.mark.timeout(900), needs_orchestrator]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server cannot be found (apt-get install redis-server)")
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--requirepass", PASSWORD, "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
    yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    server.terminate()
    server.wait(30)


@pytest.fixture
def told(postgres: Postgres, redis: str, drivers: Path) -> dict[str, str]:
    """What Airflow is told beside what `make up` tells it; dead tasks are noticed within seconds."""
    return {
        "PYTHONPATH": str(drivers),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres.address}",
        "AIRFLOW__CELERY__BROKER_URL": redis,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{postgres.address}",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "93600",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
        "PAGEFLIP_RETRAIN_SCHEDULE": "none",
    }


@contextmanager
def _workers(names: tuple[str, ...], port: int, extra: Mapping[str, str], logs: Path) -> Iterator[list[psutil.Process]]:
    """Celery workers of one machine, each its own process group."""
    env = config.environment(config.find_places(), port, None, extra)
    command = [str(ORCHESTRATOR / "bin" / "airflow"), "celery", "worker", "--skip-serve-logs", "--concurrency", "1"]
    workers = []
    try:
        for name in names:
            more = ["--celery-hostname", f"{name}@%h", "--pid", str(logs / f"{name}.pid")]
            with (logs / f"{name}.log").open("wb") as log:
                workers.append(
                    subprocess.Popen([*command, *more], env=env, stdout=log, stderr=log, start_new_session=True)
                )
        yield [psutil.Process(worker.pid) for worker in workers]
    finally:
        for worker in workers:
            kill_tree(worker.pid)
            worker.wait()


def _kill_the_trainer(workers: list[psutil.Process], log: Path, killed: list[int], over: Event) -> None:
    """Once the training's log tells of epoch 3, kill the worker that trains."""
    while not (log.exists() and "train: epoch 3" in log.read_text()):
        if over.wait(0.1):
            return
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            if any("tasks.train" in child.cmdline() for child in worker.children(recursive=True)):
                kill_tree(worker.pid)
                killed.append(worker.pid)


def _slow_project(folder: Path) -> Path:
    """A small project whose training takes long enough to be killed in the middle."""
    project = make_project(folder)
    params = tiny_params()
    params["train"]["fit"] |= {"epochs": 40, "patience": 40}
    write_params(project, params)
    return project


def test_a_worker_that_dies_in_a_training_costs_nothing_but_time(told: dict[str, str], tmp_path: Path) -> None:
    project = _slow_project(tmp_path / "project")
    home, logs, killed, over = project / ".pageflip", tmp_path, [], Event()
    training = home / "airflow/logs/dag_id=retrain/run_id=one/task_id=train.cnn"
    with airflow(project, home, told) as (client, running):
        port = int(running.airflow_url.rsplit(":", 1)[1])
        with _workers(("one", "two"), port, told, logs) as workers:
            first = training / "attempt=1.log"
            killer = Thread(target=_kill_the_trainer, args=(workers, first, killed, over), daemon=True)
            killer.start()
            try:
                tasks = run_dag(client, "retrain", "one", timeout=400, ours="old", log_folder=home / "airflow/logs")
            finally:
                over.set()
                killer.join()
    assert len(killed) == 1
    assert {task.name: (task.state, task.try_number) for task in tasks} == {
        stage: (state, 2 if stage == "train@cnn" else 1) for stage, state in ALL_WELL.items()
    }
    second = (training / "attempt=2.log").read_text()
    assert "resuming from the checkpoint" in second
    assert "train: epoch 0" not in second
    assert outs_of_run(home, "one", "evaluate@cnn") == outs_of_repro(project, "evaluate@cnn")
