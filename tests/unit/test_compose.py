"""docker/compose.yaml keeps the rules of docker/check_compose.py, and each rule is one that can be broken."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
Broken = Callable[..., list[str]]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    """docker/check_compose.py as a module."""
    spec = importlib.util.spec_from_file_location("check_compose", DOCKER / "check_compose.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def broken(checker: ModuleType, tmp_path: Path) -> Broken:
    """A function that changes a text of compose.yaml (or .env.example) and returns what is found wrong then."""

    def find(old: str, new: str, file: str = "compose.yaml") -> list[str]:
        folder = tmp_path / "docker"
        shutil.copytree(DOCKER, folder)
        content = (folder / file).read_text(encoding="utf-8")
        assert old in content
        (folder / file).write_text(content.replace(old, new, 1), encoding="utf-8")
        return checker.check(folder / "compose.yaml", folder / ".env.example")

    return find


def test_the_compose_file_is_sound() -> None:
    command = [sys.executable, str(DOCKER / "check_compose.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "services, sound" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('["127.0.0.1:${PAGEFLIP_MLFLOW', '["${PAGEFLIP_MLFLOW', "not published on 127.0.0.1 alone"),
        ('["127.0.0.1:${PAGEFLIP_MLFLOW', '["0.0.0.0:${PAGEFLIP_MLFLOW', "not published on 127.0.0.1 alone"),
        ("chrislusf/seaweedfs:4.48", "chrislusf/seaweedfs:latest", "s3: the image 'chrislusf/seaweedfs:latest' is not"),
        ("chrislusf/seaweedfs:4.48", "chrislusf/seaweedfs", "s3: the image 'chrislusf/seaweedfs' is not pinned"),
        ("${REDIS_PASSWORD:?see docker/.env.example}", "${REDIS_PASSWORD:-redis}", "REDIS_PASSWORD} is a secret"),
        ("${PAGEFLIP_GPU_SLOTS:-1}", "${PAGEFLIP_GPUS:-1}", "${PAGEFLIP_GPUS} is not in .env.example"),
        ("${PAGEFLIP_GPU_SLOTS:-1}", "${PAGEFLIP_GPU_SLOTS}", "neither demanded (:?) nor has a default"),
        ("docker-proxy: { condition", "docker-porxy: { condition", "depends on docker-porxy, which does not exist"),
        ("s3: { condition: service_healthy", "s3: { condition: healthy", "unknown condition 'healthy'"),
        ("networks: [docker-api] #", "networks: [dokcer-api] #", "the network dokcer-api is not declared"),
        ('["redis-data:/data"]', '["redis:/data"]', "redis: the volume redis is not declared"),
        ("./docker-proxy.cfg", "./proxy.cfg", "there is no ./proxy.cfg"),
        ("dockerfile: docker/mlflow", "dockerfile: docker/mlfow", "there is no docker/mlfow.Dockerfile"),
        ("    command: [airflow, scheduler]", "    comand: [airflow, scheduler]", "'comand' is no key of a service"),
        ("    shm_size: 256m", "    privileged: true", "postgres: privileged is not allowed"),
        ('security_opt: ["no-new-privileges:true"]', "security_opt: []", "lacks no-new-privileges"),
        ("  restart: unless-stopped\n", "", "redis: has no restart policy"),
        ('cpus: "1", memory: 128m', 'cpus: "1"', "docker-proxy: has no limit of memory"),
        ("networks:\n  data:", "netwroks:\n  data:", "'netwroks' is no key of a compose file"),
        ("services:", "services: [", "is not valid YAML"),
    ],
)
def test_a_broken_rule_is_named(broken: Broken, old: str, new: str, finding: str) -> None:
    assert any(finding in found for found in broken(old, new))


def test_a_service_without_a_health_check_is_named(broken: Broken) -> None:
    found = broken("    healthcheck:\n      test: [CMD-SHELL, wget", "    x:\n      test: [CMD-SHELL, wget")
    assert "s3: has no health check" in found
    assert "s3-init: waits for the health of s3, which has no health check" in found


def test_the_docker_socket_is_for_the_proxy_alone(broken: Broken) -> None:
    found = broken('["redis-data:/data"]', '["/var/run/docker.sock:/var/run/docker.sock"]')
    assert found == ["redis: only docker-proxy may hold the Docker socket"]


def test_the_example_of_the_environment_gives_no_password_away(broken: Broken) -> None:
    found = broken("REDIS_PASSWORD=", "REDIS_PASSWORD=redis", ".env.example")
    assert found == ["REDIS_PASSWORD of .env.example is a secret and must be left empty"]


def test_the_example_of_the_environment_holds_what_is_used(broken: Broken) -> None:
    assert broken("S3_ACCESS_KEY=\n", "", ".env.example")[0] == "${S3_ACCESS_KEY} is not in .env.example"


def test_the_example_of_the_environment_holds_nothing_else(broken: Broken) -> None:
    found = broken("REDIS_PASSWORD=", "REDIS_PASSWORD=\nFLOWER_PORT=5555", ".env.example")
    assert found == ["FLOWER_PORT of .env.example is used nowhere"]
