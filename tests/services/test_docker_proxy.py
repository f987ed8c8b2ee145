"""docker/docker-proxy.cfg with a real HAProxy in front of a real Docker daemon: what a worker may do, and what not."""

import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from pipeline.conftest import ROOT
from services.docker_daemon import Docker

ORCHESTRATOR = ROOT / ".venv-airflow" / "bin" / "python"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def sleeper(docker: Docker) -> str:
    """An image that holds nothing but a program that sleeps and one that prints."""
    folder = Path(docker.address.removeprefix("unix://")).parent / "image"
    folder.mkdir()
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox cannot be found (apt-get install busybox-static)")
    shutil.copy(busybox, folder / "busybox")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox"]\n')
    docker.build("Dockerfile", folder, "busybox:test")
    return "busybox:test"


def test_a_worker_can_run_a_container_to_its_end(proxied: Docker, sleeper: str) -> None:
    done = proxied.call("run", "--rm", "--network=none", sleeper, "echo", "hello")
    assert done.stdout == "hello\n"
    assert proxied.call("run", "--rm", "--network=none", sleeper, "sh", "-c", "exit 78", expect=78)
    assert proxied.call("ps", "--all", "--quiet").stdout == ""


def test_a_worker_can_do_what_the_docker_operator_does(proxied: Docker, sleeper: str) -> None:
    script = f"""
        import docker
        api = docker.APIClient(base_url="{proxied.address}", version="auto")
        assert api.images(name="{sleeper}")
        command = ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 1; done; exit 65"]
        host = api.create_host_config(auto_remove=False, network_mode="none", shm_size=1 << 26)
        name = api.create_container("{sleeper}", command, name="run-1.stage", host_config=host)["Id"]
        stream = api.attach(name, stdout=True, stderr=True, stream=True)
        api.start(name)
        print(b"".join(stream).decode(), end="")
        print(api.wait(name)["StatusCode"], len(list(api.logs(name, stream=True))))
        api.remove_container(name, force=True)
    """
    done = subprocess.run([ORCHESTRATOR, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.stdout == "line 1\nline 2\nline 3\n65 3\n", done.stderr
    assert proxied.call("ps", "--all", "--quiet").stdout == ""


@pytest.mark.parametrize(
    "command",
    [
        ("exec", "NAME", "/bin/busybox", "true"),
        ("cp", "NAME:/bin/busybox", "-"),
        ("export", "NAME"),
        ("commit", "NAME", "mine:test"),
        ("rename", "NAME", "other"),
        ("update", "--memory=64m", "NAME"),
        ("volume", "create"),
        ("volume", "ls"),
        ("network", "ls"),
        ("system", "df"),
        ("events", "--until=1s"),
        ("rmi", "busybox:test"),
        ("tag", "busybox:test", "busybox:mine"),
        ("save", "busybox:test"),
        ("plugin", "ls"),
        ("swarm", "init"),
        ("container", "prune", "--force"),
    ],
    ids=" ".join,
)
def test_a_worker_is_refused_all_else(docker: Docker, proxied: Docker, sleeper: str, command: tuple[str, ...]) -> None:
    name = docker.call("run", "--detach", "--rm", "--network=none", sleeper, "sleep", "60").stdout.strip()
    try:
        done = proxied.call(*(part.replace("NAME", name) for part in command), expect=None)
        assert done.returncode != 0
        assert "403" in done.stderr or "forbidden" in done.stderr.lower(), done.stderr
    finally:
        docker.call("rm", "--force", name)
