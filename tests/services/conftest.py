"""A real S3 server (SeaweedFS) and a real Docker daemon for these tests, which are skipped where one cannot run."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pipeline.conftest import ROOT
from services import postgres as postgres_server
from services.docker_daemon import Docker, free_port, running_daemon, why_not
from services.postgres import Postgres

BUCKET, KEY, SECRET = "pageflip-test", "test-key", "test-secret"
START_S = 180


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    """Ports whose number plus 10000 is free, too: SeaweedFS takes that one for gRPC."""
    ports: list[int] = []
    for port in range(20_000 + os.getpid() % 5_000, 30_000):
        if len(ports) == count:
            break
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        ports.append(port)
    return ports


def _config(folder: Path) -> None:
    user = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [user]}))


class SeaweedFS:
    """A server in a folder of its own, which a test may kill, and start again with what it held."""

    def __init__(self, weed: str, folder: Path) -> None:
        self._weed, self._folder, self._ports = weed, folder, _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self._ports[3]}"
        (folder / "data").mkdir()
        _config(folder)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it can be written to."""
        log = self._folder / "log"
        with log.open("ab") as output:
            command = _command(self._weed, self._folder, self._ports)
            self._server = subprocess.Popen(command, cwd=self._folder, stdout=output, stderr=output)
        try:
            _make_bucket(self.endpoint, self._server, log)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End the server at once: an orderly end takes 15 seconds."""
        self._server.kill()
        self._server.wait()


def _command(weed: str, folder: Path, ports: list[int]) -> list[str]:
    master, volume, filer, s3 = ports
    return [
        weed,
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        "-master.volumeSizeLimitMB=64",
        f"-volume.port={volume}",
        "-volume.max=200",
        "-volume.preStopSeconds=1",
        f"-filer.port={filer}",
        "-s3",
        f"-s3.port={s3}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
    ]


def _make_bucket(endpoint: str, server: subprocess.Popen, log: Path) -> None:
    """Make the bucket and write to it, as soon as the server can; the volumes come up last."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    quick = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1})
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=quick,
    )
    deadline = time.monotonic() + START_S
    while True:
        try:
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
            return
        except (BotoCoreError, ClientError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not start: {error}\n{log.read_text()[-2000:]}")
            time.sleep(0.3)


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An S3 server of the module's own."""
    weed = _weed()
    if weed is None:
        pytest.skip("there is no SeaweedFS here (`make test-services` installs it)")
    server = SeaweedFS(weed, tmp_path_factory.mktemp("seaweedfs"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def s3_server(seaweedfs: SeaweedFS) -> Iterator[str]:
    """The address of an S3 server of the module's own; AWS_* and PAGEFLIP_TEST_BUCKET name it and its bucket."""
    endpoint = seaweedfs.endpoint
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "PAGEFLIP_TEST_BUCKET": BUCKET,
        }.items():
            patch.setenv(name, value)
        yield endpoint


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the module's own."""
    reason = postgres_server.why_not()
    if reason:
        pytest.skip(reason)
    with postgres_server.running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with requirements/servers.txt installed, which the local environment does without."""
    folder = tmp_path_factory.mktemp("drivers")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command = [*pip, "--target", str(folder), "--requirement", str(ROOT / "requirements" / "servers.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the drivers cannot be installed: {done.stderr[-500:]}")
    return folder


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """The client of a Docker daemon of the tests' own."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        try:
            client = stack.enter_context(running_daemon(tmp_path_factory.mktemp("docker")))
        except RuntimeError as error:
            pytest.skip(str(error))
        yield client


@pytest.fixture(scope="session")
def proxied(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """The daemon as Airflow's worker sees it: through HAProxy with docker/docker-proxy.cfg."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy cannot be found (apt-get install haproxy)")
    port, config = free_port(), tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    text = (ROOT / "docker" / "docker-proxy.cfg").read_text()
    for old, new in (("bind :2375", f"bind 127.0.0.1:{port}"), ("/run/docker.sock", docker.address[len("unix://") :])):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    proxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.DEVNULL)
    try:
        client = Docker(f"tcp://127.0.0.1:{port}")
        deadline = time.monotonic() + 20
        while client.call("version", expect=None).returncode != 0:
            assert proxy.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield client
    finally:
        proxy.terminate()
        proxy.wait()
