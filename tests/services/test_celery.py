"""The DAG `retrain` under CeleryExecutor: PostgreSQL and Redis of Debian, two workers, one of which dies.

It needs root, PostgreSQL and Redis (`apt-get install postgresql redis-server`), and a package index for the drivers.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
import yaml
from pipeline.conftest import ROOT, call, make_project, tiny_params, write_params
from services.docker_daemon import free_port
from services.real_airflow import ORCHESTRATOR, airflow, needs_orchestrator

from pageflip import service_config
from pageflip.dag_runs import run_dag

PASSWORD = "test-secret"
STAGES = ("prepare", "validate", "split", "train@cnn", "evaluate@cnn", "register", "promote")

pytestmark = [pytest.mark.timeout(900), needs_orchestrator]


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Host, port and database of a PostgreSQL server, as an address without scheme."""
    programs = _postgres_programs()
    if programs is None or os.geteuid() != 0:
        pytest.skip("PostgreSQL cannot be found (apt-get install postgresql), or this is not root")
    user, port = pwd.getpwnam("postgres"), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pageflip-postgres-"))  # its user may not enter pytest's folders
    os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
        **as_user, check=True, capture_output=True,
    )  # fmt: skip
    options = ["-k", folder, "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", data, *options], **as_user, stdout=log, stderr=log)
    try:
        sql = [programs / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", "create database airflow"]
        deadline = time.monotonic() + 30
        while subprocess.run(sql, capture_output=True, check=False).returncode != 0:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield f"postgres@127.0.0.1:{port}/airflow"
    finally:
        server.send_signal(2)  # fast shutdown: connections are closed
        server.wait(60)
        shutil.rmtree(folder)


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


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with requirements/servers.txt installed, which the local environment does without."""
    folder = tmp_path_factory.mktemp("drivers")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--target", str(folder), "--requirement", str(ROOT / "requirements" / "servers.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the drivers cannot be installed: {done.stderr[-500:]}")
    return folder


@pytest.fixture
def told(postgres: str, redis: str, drivers: Path) -> dict[str, str]:
    """What Airflow is told beside what `make up` tells it; dead tasks are noticed within seconds."""
    return {
        "PYTHONPATH": str(drivers),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres}",
        "AIRFLOW__CELERY__BROKER_URL": redis,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{postgres}",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "93600",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
        "PAGEFLIP_RETRAIN_SCHEDULE": "none",
    }


@contextmanager
def _workers(names: tuple[str, ...], port: int, extra: Mapping[str, str], logs: Path) -> Iterator[list[psutil.Process]]:
    """Celery workers of one machine, each its own process group."""
    env = service_config.environment(service_config.places(), port, None, extra)
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
            _kill_tree(worker.pid)
            worker.wait()


def _kill_tree(pid: int) -> None:
    """SIGKILL a process and all that it started, as when a machine goes down."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()  # so that it starts nothing more meanwhile
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _kill_the_trainer(workers: list[psutil.Process], log: Path, killed: list[int], over: Event) -> None:
    """Once the training's log tells of epoch 3, kill the worker that trains."""
    while not (log.exists() and "train: epoch 3" in log.read_text()):
        if over.wait(0.1):
            return
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            if any("tasks.train" in child.cmdline() for child in worker.children(recursive=True)):
                _kill_tree(worker.pid)
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
        stage: ("success", 2 if stage == "train@cnn" else 1) for stage in STAGES
    }
    second = (training / "attempt=2.log").read_text()
    assert "going on from the checkpoint" in second
    assert "train: epoch 0" not in second
    assert _outs_of_run(home, "evaluate@cnn") == _outs_of_repro(project, "evaluate@cnn")


def _outs_of_run(home: Path, stage: str) -> list[dict]:
    return json.loads((home / f"runs/one/lock/{stage}.json").read_text())["outs"]


def _outs_of_repro(project: Path, stage: str) -> list[dict]:
    """What the same stage gives on the laptop, where nothing was killed; nothing is taken from the run's cache."""
    call(project, "dvc", "repro", "--no-run-cache", "--force", stage)
    return yaml.safe_load((project / "dvc.lock").read_text())["stages"][stage]["outs"]
