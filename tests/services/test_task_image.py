"""docker/task.Dockerfile, built and run on a real Docker daemon, on a Debian base image that is made on the spot.

The image is made without a network; the packages, several GB, are mounted from the environment that runs these tests.
"""

import json
import os
import shutil
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipeline.conftest import ROOT, call, make_project
from services.docker_daemon import SITE_PACKAGES, Docker, base_image
from services.real_airflow import STAGES

USER = 10001
TOOLS = ("gcc", "cc", "g++", "ld", "make", "cmake", "git", "pip", "pip3", "nvcc")
Build = Callable[[Path, str], None]

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Place:
    """What all containers of a test share: the DVC remote, the run store, and MLflow's database and artifacts."""

    docker: Docker
    folder: Path

    def options(self) -> list[str]:
        """Options of `docker run`, as strict as a stage can bear."""
        packages = sysconfig.get_path("purelib")
        variables = {
            "PAGEFLIP_REMOTE": "/remote",
            "PAGEFLIP_STORE": "/store",
            "MLFLOW_TRACKING_URI": "sqlite:////mlflow/mlflow.db",
        }
        mounts = {
            "remote": "/remote",
            "store": "/store",
            "mlflow": "/mlflow",
            "artifacts": "/var/lib/pageflip/mlartifacts",  # where MLflow without a server keeps them
        }
        return [
            *("--rm", "--read-only", "--tmpfs=/tmp", "--network=none", "--cap-drop=ALL", "--shm-size=256m"),
            "--security-opt=no-new-privileges",
            f"--volume={packages}:{SITE_PACKAGES}:ro",
            *(f"--volume={self.folder / name}:{target}" for name, target in mounts.items()),
            *(f"--env={name}={value}" for name, value in variables.items()),
        ]

    def run(self, *command: str, expect: int = 0) -> str:
        """What a command prints in a container of its own, which must be gone afterwards."""
        done = self.docker.call("run", *self.options(), "task:test", *command, expect=expect)
        assert self.docker.call("ps", "--all", "--quiet").stdout == ""
        return done.stdout + done.stderr

    def stage(self, name: str, run: str, expect: int = 0) -> str:
        """What a stage prints."""
        return self.run("python", "-m", "tasks.run_stage", name, "--run", run, expect=expect)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with what its images are made of."""
    folder = make_project(tmp_path_factory.mktemp("image") / "project")
    for name in ("docker", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / ".dockerignore", folder)
    (folder / "docker" / ".env").write_text("REDIS_PASSWORD=secret\n")
    return folder


@pytest.fixture(scope="module")
def image(docker: Docker, project: Path, pytestconfig: pytest.Config) -> Docker:
    """The daemon, with the image task:test built from the project."""
    try:
        base_image(docker, pytestconfig.cache.mkdir("docker"), "base:test")
    except RuntimeError as error:
        pytest.skip(str(error))
    bases = {"BASE_IMAGE": "base:test", "PYTHON_IMAGE": "base:test", "SYSTEM_PACKAGES": "", "INSTALL": "none"}
    docker.build("docker/task.Dockerfile", project, "task:test", GIT_REVISION="f00d", **bases)
    return docker


@pytest.fixture
def place(image: Docker, project: Path, tmp_path: Path) -> Place:
    """Stores of the test's own; the remote holds the project's raw frames."""
    shutil.copytree(project / ".pageflip" / "remote", tmp_path / "remote")
    for name in ("store", "mlflow", "artifacts"):
        (tmp_path / name).mkdir()
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, USER, USER)
    return Place(image, tmp_path)


def test_the_image_says_what_it_is(image: Docker) -> None:
    config = image.inspect("task:test")["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["WorkingDir"] == "/app"
    assert config["Labels"]["org.opencontainers.image.revision"] == "f00d"
    assert "PAGEFLIP_GIT_REVISION=f00d" in config["Env"]
    assert config["Healthcheck"]["Test"] == ["NONE"]
    assert list(config["Volumes"]) == ["/var/lib/pageflip"]


def test_nothing_to_build_with_and_nothing_secret_is_in_the_image(place: Place) -> None:
    script = f"id -u; for tool in {' '.join(TOOLS)}; do command -v $tool; done; find / -name .env -not -path '/proc/*'"
    assert place.run("sh", "-c", script + " 2>/dev/null; true").split() == [str(USER)]
    assert place.run("pageflip", "--version").startswith("pageflip ")
    assert place.run("sh", "-c", "ls -A /app").split() == [
        ".dvc",
        "data",
        "dvc.yaml",
        "pageflip",
        "params.yaml",
        "tasks",
    ]


def test_the_code_is_compiled_and_cannot_be_changed(place: Place) -> None:
    options = [option for option in place.options() if option != "--read-only"]  # the image itself must see to it
    script = """
        set -u
        for place in /app /app/tasks /app/pageflip /opt/pageflip /opt/pageflip/bin /usr/local/bin; do
            touch $place/new 2>/dev/null && echo "$place can be written"
        done
        find /app /opt/pageflip -writable -not -type l
        for module in $(find /app/pageflip /app/tasks -name '*.py'); do
            name=$(basename $module .py)
            [ -f $(dirname $module)/__pycache__/$name.cpython-311.pyc ] || echo "$name is not compiled"
        done
    """
    assert place.docker.call("run", *options, "task:test", "bash", "-c", script, expect=None).stdout == ""


def test_a_stage_gives_what_dvc_repro_gives_and_a_second_run_takes_it_over(place: Place, project: Path) -> None:
    assert "prepare: computed" in place.stage("prepare", "one")
    lock = json.loads((place.folder / "store/one/lock/prepare.json").read_text())
    assert json.loads((place.folder / "store/one/inputs.json").read_text())["git_revision"] == "f00d"
    call(project, "dvc", "repro", "--single-item", "prepare")
    at_home = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["prepare"]
    assert (lock["deps"], lock["outs"]) == (at_home["deps"], at_home["outs"])
    assert "prepare: unchanged, restored" in place.stage("prepare", "two")


def test_a_whole_run_with_a_container_for_each_stage(place: Place) -> None:
    for stage in STAGES:
        assert f"{stage}: computed" in place.stage(stage, "one")
    locks = sorted(path.stem for path in (place.folder / "store/one/lock").iterdir())
    assert locks == sorted(STAGES)


def test_the_exit_code_of_a_stage_is_the_container_s(place: Place) -> None:
    assert "dvc.yaml has no stage 'prepaer'" in place.stage("prepaer", "one", expect=78)
    assert "which has not run" in place.stage("split", "one", expect=78)


def test_a_container_ends_when_it_is_told_to(place: Place) -> None:
    sleep = ("python", "-c", "import time; print('up', flush=True); time.sleep(600)")
    name = place.docker.call("run", "--detach", *place.options(), "task:test", *sleep).stdout.strip()
    deadline = time.monotonic() + 60
    while "up" not in place.docker.call("logs", name).stdout and time.monotonic() < deadline:
        time.sleep(0.2)
    started = time.monotonic()
    place.docker.call("stop", "--time=60", name)
    assert time.monotonic() - started < 20
    while place.docker.call("ps", "--all", "--quiet").stdout and time.monotonic() - started < 40:
        time.sleep(0.2)  # the daemon removes it in its own time
    assert place.docker.call("ps", "--all", "--quiet").stdout == ""


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this host has a GPU")
def test_a_gpu_that_is_not_there_fails_at_once(place: Place) -> None:
    started = time.monotonic()
    done = place.docker.call("run", "--gpus=all", *place.options(), "task:test", "true", expect=125)
    assert "could not select device driver" in done.stderr
    assert time.monotonic() - started < 60
    for name in place.docker.call("ps", "--all", "--quiet").stdout.split():
        place.docker.call("rm", name)  # created, but never started: --rm does not hold for it
