"""A PostgreSQL server of a test's own, which it may stop as a crash would, and start again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.docker_daemon import free_port

START_S, STOP_S = 60, 60


class Postgres:
    """A server with one database, `airflow`, in a folder that its user may enter."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._port = programs, folder, free_port()
        user = pwd.getpwnam("postgres")  # it refuses to run as root
        os.chown(folder, user.pw_uid, user.pw_gid)
        self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}
        self.address = f"postgres@127.0.0.1:{self._port}/airflow"  # without a scheme, which names the driver
        command = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        subprocess.run([*command, "--no-sync"], **self._as_user, check=True, capture_output=True)
        self.start()
        self._sql("create database airflow")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["-k", self._folder, "-h", "127.0.0.1", "-p", str(self._port), "-c", "fsync=off"]
        # as in docker/compose.yaml: a scheduler that died in a transaction keeps its locks as long as a process that it
        # forked lives, and its successor would never schedule a task
        options += ["-c", "idle_in_transaction_session_timeout=60s"]
        command = [self._programs / "postgres", "-D", self._folder / "data", *options]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(command, **self._as_user, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._sql("select 1"):
            assert self._server.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.3)

    def crash(self) -> None:
        """Immediate shutdown: connections are cut, nothing is saved, and the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Fast shutdown: connections are closed first."""
        if self._server.poll() is None:
            self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        self._server.send_signal(how)
        self._server.wait(STOP_S)

    def _sql(self, text: str) -> bool:
        command = [self._programs / "psql", "-h", "127.0.0.1", "-p", str(self._port), "-U", "postgres", "-c", text]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def why_not() -> str | None:
    """Why there can be no server; None when one can be started."""
    if _programs() is None or os.geteuid() != 0:
        return "PostgreSQL cannot be found (apt-get install postgresql), or this is not root"
    return None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="pageflip-postgres-"))  # its user may not enter pytest's folders
    server = None
    try:
        server = Postgres(_programs(), folder)
        yield server
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(folder)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None
