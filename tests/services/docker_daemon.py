"""A Docker daemon of the tests' own, and a Debian image made on the spot: no registry is needed, nothing is kept but
the bare Debian system, which takes a minute to make.

It needs root, dockerd and debootstrap (`apt-get install docker.io debootstrap`), and a Debian mirror at the first use.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SITE_PACKAGES = "/packages"  # where the base image's Python looks for the packages that are mounted at run time
SUITE = "bookworm"  # its python3 is 3.11, as in .venv
MIRROR = "http://deb.debian.org/debian"
INCLUDED = "ca-certificates,python3,python3-venv,tini"
START_S, STOP_S = 60, 30


class Docker:
    """The client of one daemon."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, *arguments: str, expect: int | None = 0, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGUMENTS`; its exit code must be `expect`, unless that is None."""
        command = ["docker", "--host", self.address, *arguments]
        env = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=timeout)
        if expect is not None:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            assert done.returncode == expect, f"{' '.join(command)} ended with {done.returncode}:\n{said}"
        return done

    def build(self, dockerfile: str, context: Path, tag: str, network: str = "none", **arguments: str) -> None:
        """Build an image; without a network, unless one is named."""
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        file = str(context / dockerfile)
        self.call("build", "--file", file, "--network", network, "--tag", tag, *options, str(context))

    def inspect(self, name: str) -> dict:
        """What the daemon knows of an image or a container."""
        return json.loads(self.call("inspect", name).stdout)[0]


def why_not() -> str | None:
    """Why no daemon can be started here; None when one can be tried."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a Docker daemon of the tests' own needs Linux and root"
    if sys.version_info[:2] != (3, 11):
        return "the images have Debian's Python 3.11, and these packages are another's"
    missing = [name for name in ("docker", "dockerd", "debootstrap") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} cannot be found (apt-get install docker.io debootstrap)"
    return None


@contextmanager
def running_daemon(folder: Path) -> Iterator[Docker]:
    """A daemon with all its state below `folder`, without a bridge: containers have no network, or the host's.

    Raises:
        RuntimeError: it does not start; the message holds the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address, log = f"unix://{folder}/docker.sock", folder / "dockerd.log"
    command = [
        *("dockerd", "--host", address, "--pidfile", str(folder / "pid")),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    ]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        docker = Docker(address)
        _await(daemon, docker, log)
        yield docker
    finally:
        _stop(daemon, Docker(address))


def _await(daemon: subprocess.Popen, docker: Docker, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while docker.call("info", expect=None).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"dockerd did not start; its log ends:\n{log.read_text()[-1500:]}")
        time.sleep(0.3)


def _stop(daemon: subprocess.Popen, docker: Docker) -> None:
    """End the containers that tests left, the daemon and its containerd, and what it mounted."""
    if daemon.poll() is None:
        left = docker.call("ps", "--all", "--quiet", expect=None).stdout.split()
        if left:
            docker.call("rm", "--force", *left, expect=None)
        daemon.terminate()
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, 9)  # with the containerd that it started
            daemon.wait()
    folder = docker.address.removeprefix("unix://").removesuffix("/docker.sock")
    for mount in reversed(_mounts_below(folder)):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _mounts_below(folder: str) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return sorted(point for line in lines if (point := line.split()[1]).startswith(f"{folder}/"))


def base_image(docker: Docker, cache: Path, tag: str) -> None:
    """Import a minimal Debian whose Python takes packages from SITE_PACKAGES too.

    Raises:
        RuntimeError: there is no archive in `cache`, and no Debian mirror answers.
    """
    archive = cache / f"debian-{SUITE}.tar"
    if not archive.exists():
        _bootstrap(cache, archive)
    docker.call("import", str(archive), tag)


def _bootstrap(cache: Path, archive: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / f"root-{os.getpid()}"
    try:
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, str(root), MIRROR]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"debootstrap failed:\n{done.stdout[-1500:]}")
        _arrange(root)
        temporary = archive.with_suffix(f".{os.getpid()}")
        left_out = [f"--exclude=./{name}/*" for name in ("dev", "proc", "sys", "var/cache/apt", "var/lib/apt/lists")]
        subprocess.run(["tar", "-C", str(root), *left_out, "-cf", str(temporary), "."], check=True)
        temporary.rename(archive)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _arrange(root: Path) -> None:
    """What a company's base image would bring: packages at a place of its own, its certificates, its pip.conf."""
    (root / SITE_PACKAGES.lstrip("/")).mkdir()
    dist = root / "usr/local/lib/python3.11/dist-packages"
    dist.mkdir(parents=True, exist_ok=True)
    (dist / "mounted.pth").write_text(f"{SITE_PACKAGES}\n")
    bundle = Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")
    if bundle.is_file():
        shutil.copy(bundle, root / "etc/ssl/certs/ca-certificates.crt")
        (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
