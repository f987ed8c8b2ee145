"""The DAG `retrain` with PAGEFLIP_RUNNER=docker: Airflow, docker/docker-proxy.cfg, a real daemon, the task image.

Each stage runs in a container of its own; between them are the DVC remote, the run store and MLflow's folder.
"""

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from pageflip.local_stack.dag_runs import DagRunError, run_dag
from pipeline.conftest import ROOT, make_project
from services.docker_daemon import Docker, base_image
from services.real_airflow import ALL_WELL, ORCHESTRATOR, STAGES, airflow, needs_orchestrator

PACKAGES = sysconfig.get_path("purelib")
USER = 10001
# what Airflow's task runner does on SIGTERM and at the time limit of a task, on a container that ignores SIGTERM
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
STOPPED = f"""
import json, os, signal, sys, threading, time
from datetime import timedelta
from types import SimpleNamespace
from airflow.sdk.execution_time.timeout import timeout
from pageflip_dags.container_operator import ContainerOperator
verb = ["timeit", "--number=1", {DEAF!r}]
operator = ContainerOperator(task_id="task", verb=verb, execution_timeout=timedelta(minutes=2), do_xcom_push=False)
instance = SimpleNamespace(dag_id="dag", task_id="task", map_index=-1, try_number=1)
context = {{"run_id": "run", "ti": instance, "params": {{}}}}
seconds = []
def stop(*_):
    start = time.monotonic()
    operator.on_kill()
    seconds.append(time.monotonic() - start)
signal.signal(signal.SIGTERM, stop)
error = ""
try:
    with timeout(int(sys.argv[2])):
        if sys.argv[1] == "SIGTERM":
            threading.Timer(5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        operator.execute(context)
except BaseException as caught:
    error = type(caught).__name__
    if error == "AirflowTaskTimeout":
        stop()
print(json.dumps([error, seconds]))
"""

pytestmark = [pytest.mark.timeout(900), needs_orchestrator]


@pytest.fixture
def project(docker: Docker, tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """A small project and its image runner:test, whose Python finds the packages where the host has them."""
    folder = make_project(tmp_path / "project")
    for name in ("docker", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    try:
        base_image(docker, pytestconfig.cache.mkdir("docker"), "base:test")
    except RuntimeError as error:
        pytest.skip(str(error))
    (folder / "docker" / "base").mkdir()
    site = "/usr/local/lib/python3.11/dist-packages/host.pth"
    (folder / "docker/base/Dockerfile").write_text(f"FROM base:test\nRUN echo {PACKAGES} >{site}\n")
    docker.build("Dockerfile", folder / "docker" / "base", "runner-base:test")
    bases = {"BASE_IMAGE": "runner-base:test", "PYTHON_IMAGE": "runner-base:test"}
    docker.build("docker/task.Dockerfile", folder, "runner:test", **bases, SYSTEM_PACKAGES="", INSTALL="none")
    return folder


def _places(project: Path, place: Path) -> dict[str, str]:
    """What Airflow is told; all that the containers share is below `place`, and theirs to write."""
    for name in ("store", "uploads", "mlflow"):
        (place / name).mkdir(parents=True)
    shutil.copytree(project / ".pageflip" / "remote", place / "remote")
    for path in [place, *place.rglob("*")]:
        os.chown(path, USER, USER)
    return {
        "PAGEFLIP_RUNNER": "docker",
        "PAGEFLIP_RETRAIN_SCHEDULE": "none",
        "PAGEFLIP_DOCKER_NETWORK": "none",
        "PAGEFLIP_TASK_IMAGE": "runner:test",
        "PAGEFLIP_REMOTE": str(place / "remote"),
        "PAGEFLIP_STORE": str(place / "store"),
        "PAGEFLIP_UPLOADS": str(place / "uploads"),
        "PAGEFLIP_RESULTS": PACKAGES,  # a local folder is mounted where it is: several GB less to copy
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow/mlflow.db",
    }


def test_the_whole_dag_runs_with_a_container_for_each_stage(proxied: Docker, project: Path, tmp_path: Path) -> None:
    extra = _places(project, tmp_path / "place") | {"PAGEFLIP_DOCKER_URL": proxied.address, "PAGEFLIP_TASK_GPU": "off"}
    with airflow(project, tmp_path / "home", extra) as (client, _):
        logs = tmp_path / "home" / "airflow" / "logs"
        tasks = run_dag(client, "retrain", "one", timeout=300, run_prefix="old", log_folder=logs)
        assert {task.name: task.state for task in tasks} == ALL_WELL
        assert "Container pageflip-retrain-prepare-one" in "\n".join(client.log_tail("retrain", "one", tasks[0], 1000))
    locks = tmp_path / "place" / "store" / "one" / "lock"
    assert sorted(path.stem for path in locks.iterdir()) == sorted(STAGES)
    assert proxied.call("ps", "--all", "--quiet").stdout == ""
    assert not (project / "data" / "frames").exists()  # nothing of it was made in the working tree


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this host has a GPU")
def test_a_stage_that_asks_for_a_gpu_fails_at_once_without_one(proxied: Docker, project: Path, tmp_path: Path) -> None:
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text().replace("memory: 4g,", "gpu: 1,", 1))
    extra = _places(project, tmp_path / "place") | {"PAGEFLIP_DOCKER_URL": proxied.address}
    with airflow(project, tmp_path / "home", extra) as (client, _):
        with pytest.raises(DagRunError, match=r"requests 1 GPU\(s\), but the Docker host has none"):
            run_dag(client, "retrain", "one", timeout=120, run_prefix="old", log_folder=tmp_path)
        (prepare,) = (task for task in client.task_states("retrain", "one") if task.name == "prepare")
        assert prepare.try_number == 1  # a retry would find no GPU either
    assert proxied.call("ps", "--all", "--quiet").stdout == ""


@pytest.mark.parametrize(
    ("cause", "limit", "error"), [("SIGTERM", 60, "AirflowException"), ("time limit", 8, "AirflowTaskTimeout")]
)
def test_a_container_that_ignores_sigterm_is_removed_before_airflow_kills_the_one_who_removes_it(
    docker: Docker, tmp_path: Path, pytestconfig: pytest.Config, cause: str, limit: int, error: str
) -> None:
    try:
        base_image(docker, pytestconfig.cache.mkdir("docker"), "base:test")
    except RuntimeError as missing:
        pytest.skip(str(missing))
    (tmp_path / "Dockerfile").write_text("FROM base:test\nRUN ln -sf /usr/bin/python3 /usr/local/bin/python\n")
    docker.build("Dockerfile", tmp_path, "python:test")
    addresses = ("PAGEFLIP_REMOTE", "PAGEFLIP_STORE", "PAGEFLIP_UPLOADS", "PAGEFLIP_RESULTS")
    env = {
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "dags"),
        "PAGEFLIP_PROJECT": str(ROOT),
        "PAGEFLIP_TASK_IMAGE": "python:test",
        "PAGEFLIP_DOCKER_URL": docker.address,
        "PAGEFLIP_DOCKER_NETWORK": "none",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        **dict.fromkeys(addresses, "s3://bucket/folder"),
    }
    command = [ORCHESTRATOR / "bin" / "python", "-c", STOPPED, cause, str(limit)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "deaf" in done.stdout
    found, seconds = json.loads(done.stdout.splitlines()[-1])
    assert found == error
    assert max(seconds) < 5  # then Airflow sends SIGKILL
    assert docker.call("ps", "--all", "--quiet").stdout == ""
