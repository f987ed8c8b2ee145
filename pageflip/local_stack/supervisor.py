"""Start, health and stop of the local services: Airflow and the MLflow server, supervised by supervisord.

`up` returns when every service answers; `down` when every process has ended, those of running tasks included.
"""

import hashlib
import http.client
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import filelock
import requests

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.files import lock_file, read_json, write_json
from pageflip.local_stack import config
from pageflip.local_stack.config import HOST, Places
from pageflip.local_stack.processes import (
    describe_own_process,
    end_processes,
    find_supervisor,
    is_same_process_alive,
)

# part of Airflow's health page -> program whose log explains why it is unhealthy
AIRFLOW_PARTS = {
    "metadatabase": "airflow-api-server",
    "scheduler": "airflow-scheduler",
    "dag_processor": "airflow-dag-processor",
    "triggerer": "airflow-triggerer",
}
START_SECONDS = 180.0
TAIL_LINES = 25
POLL_SECONDS = 0.5

Report = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """Services that are up. `mlflow_url` is None when the MLflow server was left out."""

    airflow_url: str
    mlflow_url: str | None
    user: str
    password: str
    password_file: str
    logs: str


@dataclass(frozen=True)
class Status:
    """Health of one service: `state` is healthy, unhealthy or down."""

    name: str
    state: str
    url: str


@dataclass(frozen=True)
class _Start:
    """Settings of one start.

    Attributes:
        airflow_port: port of Airflow's API server.
        mlflow_port: port of the MLflow server; None leaves it out.
        environment: variables for the services and their tasks.
        job: description of the process that owns the services; None when a user does.
    """

    airflow_port: int
    mlflow_port: int | None
    environment: Mapping[str, str]
    job: Mapping[str, float] | None = None

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str | None:
        return f"http://{HOST}:{self.mlflow_port}" if self.mlflow_port else None


def find_running() -> Running | None:
    """Return the services that are up; None when there are none."""
    places = config.find_places()
    if find_supervisor(places) is None or not places.state.exists():
        return None
    state = _read_state(places)
    return _running(places, state["airflow_url"], state["mlflow_url"])


def addresses() -> tuple[str, str]:
    """Return the addresses of Airflow's and MLflow's pages, now or after the next `up` without arguments."""
    running = find_running()
    if running is not None and _read_state(config.find_places())["owner"] != "user":
        running = None
    airflow = running.airflow_url if running else f"http://{HOST}:{settings.airflow_port()}"
    mlflow = running.mlflow_url if running else None
    external = settings.hide_passwords(settings.configured_tracking_uri() or "")
    return airflow, mlflow or external or f"http://{HOST}:{settings.mlflow_port()}"


def up(
    airflow_port: int | None = None,
    mlflow_port: int | None = None,
    *,
    with_mlflow: bool = True,
    extra: Mapping[str, str] | None = None,
    report: Report = print,
) -> Running:
    """Start the services and wait until they are healthy; do nothing when they are up already.

    Args:
        airflow_port: default PAGEFLIP_AIRFLOW_PORT, or 8080.
        mlflow_port: default PAGEFLIP_MLFLOW_PORT, or 5000.
        with_mlflow: whether to start the MLflow server too; it is not when MLFLOW_TRACKING_URI names another.
        extra: environment variables for the services and their tasks.
        report: called with each line of progress.

    Raises:
        ConfigError: a port is taken, the orchestrator environment is missing, or a job runs its own services.
        UnavailableError: a service did not become healthy; nothing is left running.
    """
    places = config.find_places()
    with _lock(places):
        running = _find_owned(places)
        if running is None:
            _stop(places, _ignore)  # leftovers may hold the ports
            airflow_port = _check_port(settings.airflow_port() if airflow_port is None else airflow_port, "Airflow")
            mlflow_port = _mlflow_port(mlflow_port, report) if with_mlflow else None
            return _start(places, _Start(airflow_port, mlflow_port, extra or {}), report)
        if _read_state(places)["owner"] == "job":
            raise ConfigError("the main job runs its own Airflow", "wait for it.")
        report("The services are up already.")
        if with_mlflow and running.mlflow_url is None:
            report("They were started without the MLflow server: run `make down` and `make up` to have it too.")
        return running


def down(report: Report = print) -> bool:
    """Stop the services and wait until all their processes have ended; return whether there were any.

    Raises:
        UnavailableError: a process outlived even SIGKILL.
    """
    places = config.find_places()
    with _lock(places):
        stopped = _stop(places, report)
    if not stopped:
        report("No services are running.")
    return stopped


def status() -> list[Status]:
    """Return the health of each service."""
    running = find_running()
    if running is None:
        return [Status(name, "down", "") for name in ("airflow", "mlflow")]
    health = _airflow_health(running.airflow_url)
    states = [
        Status(f"airflow {part}", "healthy" if health.get(part) else "unhealthy", running.airflow_url)
        for part in AIRFLOW_PARTS
    ]
    if running.mlflow_url is None:
        return [*states, Status("mlflow", "down", "")]
    state = "healthy" if _mlflow_healthy(running.mlflow_url) else "unhealthy"
    return [*states, Status("mlflow", state, running.mlflow_url)]


@contextmanager
def airflow_for_a_job(extra: Mapping[str, str], report: Report = print) -> Iterator[Running]:
    """Yield the Airflow that is up, or start one on a free port, without MLflow, and stop it after the block."""
    places = config.find_places()
    with _lock(places):
        found = running = _find_owned(places)
        if running is None:
            _stop(places, _ignore)
            running = _start(places, _Start(_free_port(), None, extra, describe_own_process()), report)
    try:
        yield running
    finally:
        if found is None:
            down(report)


def _read_state(places: Places) -> dict[str, Any]:
    """Return what `_start` wrote: the addresses, the owner ("user" or "job") and, of a job's, the job's process."""
    return {"owner": "user", **read_json(places.state)}


def _find_owned(places: Places) -> Running | None:
    """Return the services that are up and belong to a user or a living job; None for leftovers."""
    running = find_running()
    if running is None:
        return None
    state = _read_state(places)
    return running if state["owner"] == "user" or is_same_process_alive(state["job"]) else None


def _start(places: Places, start: _Start, report: Report) -> Running:
    """Start the services and wait until they are healthy; on failure, leave nothing running."""
    try:
        _start_supervisor(places, start, report)
        _await_health(places, start, report)
        urls = {"airflow_url": start.airflow_url, "mlflow_url": start.mlflow_url}
        write_json(places.state, {**urls, "owner": "job", "job": start.job} if start.job else {**urls, "owner": "user"})
    except BaseException:
        _stop(places, _ignore)
        raise
    return _running(places, start.airflow_url, start.mlflow_url)


def _ignore(line: str) -> None:
    pass


def _stop(places: Places, report: Report) -> bool:
    ended = end_processes(places, report)
    places.state.unlink(missing_ok=True)
    if ended:
        places.pidfile.unlink(missing_ok=True)
    return ended > 0


def _start_supervisor(places: Places, start: _Start, report: Report) -> None:
    env = config.environment(places, start.airflow_port, start.mlflow_url, start.environment)
    config.render(places, config.programs(places, start.mlflow_port), _free_port())
    _migrate(places, env, report)
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(places.config)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"supervisord did not start: {done.stdout}{done.stderr}", f"look at {places.config}.")


def _running(places: Places, airflow_url: str, mlflow_url: str | None) -> Running:
    return Running(
        airflow_url=airflow_url,
        mlflow_url=mlflow_url,
        user=config.USER,
        password=config.password(places),
        password_file=str(places.password_file),
        logs=str(places.logs),
    )


def _migrate(places: Places, env: Mapping[str, str], report: Report) -> None:
    """Bring Airflow's database to its release's schema, unless that was done to this database before."""
    packages = places.project.glob(".venv-airflow/lib/*/site-packages/apache_airflow-*.dist-info")
    address = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    done = f"{''.join(path.name for path in packages)} {hashlib.sha256(address.encode()).hexdigest()}"
    mark = places.airflow_home / "migrated"
    lost = address.startswith(settings.SQLITE) and not Path(address.removeprefix(settings.SQLITE)).exists()
    if not lost and mark.exists() and mark.read_text(encoding="utf-8") == done:
        return
    report("Preparing Airflow's database")
    log = places.logs / "db-migrate.log"
    with log.open("w", encoding="utf-8") as file:
        command = [str(places.airflow), "db", "migrate"]
        code = subprocess.run(command, env=env, stdout=file, stderr=file, cwd=places.project, check=False).returncode
    if code != 0:
        raise UnavailableError(f"`airflow db migrate` failed; its last lines:\n{_tail(log)}", f"read {log}.")
    mark.write_text(done, encoding="utf-8")


def _await_health(places: Places, start: _Start, report: Report) -> None:
    began, healthy = time.monotonic(), set[str]()
    programs = {f"airflow {part}": program for part, program in AIRFLOW_PARTS.items()}
    if start.mlflow_url:
        programs["mlflow"] = "mlflow"
    report(f"Waiting for {len(programs)} services to become healthy")
    while True:
        time.sleep(POLL_SECONDS)
        found = {f"airflow {part}" for part, good in _airflow_health(start.airflow_url).items() if good}
        if start.mlflow_url and _mlflow_healthy(start.mlflow_url):
            found.add("mlflow")
        for name in sorted(found - healthy):
            report(f"  {name} is healthy after {time.monotonic() - began:.0f} s")
        healthy |= found
        if healthy == set(programs):
            return
        failed = _find_failed_program(places)
        if failed is None and time.monotonic() - began > START_SECONDS:
            failed = programs[min(set(programs) - healthy)]
        if failed is None and find_supervisor(places) is None:
            failed = "supervisord"
        if failed is not None:
            log = places.logs / f"{failed}.log"
            raise UnavailableError(f"{failed} did not start; its log ends:\n{_tail(log)}", f"read {log}.")


def _find_failed_program(places: Places) -> str | None:
    """Ask supervisord for a program that it no longer restarts; None when there is none, or no answer."""
    with (
        suppress(OSError, http.client.HTTPException, xmlrpc.client.Error),
        xmlrpc.client.ServerProxy(config.control_url(places)) as server,
    ):
        for process in cast("list[dict[str, Any]]", server.supervisor.getAllProcessInfo()):
            if process["statename"] == "FATAL":
                return str(process["name"])
    return None


def _airflow_health(url: str) -> dict[str, bool]:
    health = _get_json(f"{url}/api/v2/monitor/health")
    return {part: (health.get(part) or {}).get("status") == "healthy" for part in AIRFLOW_PARTS}


def _mlflow_healthy(url: str) -> bool:
    return _get(f"{url}/health") is not None


def _get_json(url: str) -> dict[str, Any]:
    response = _get(url)
    with suppress(ValueError):
        return dict(response.json()) if response is not None else {}
    return {}


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False  # loopback is never behind a proxy
        try:
            response = session.get(url, timeout=5)
        except requests.RequestException:
            return None
        return response if response.ok else None


def _mlflow_port(port: int | None, report: Report) -> int | None:
    """Return the port for the MLflow server; None where MLFLOW_TRACKING_URI names another server."""
    external = settings.configured_tracking_uri()
    if external:
        place = settings.hide_passwords(external)
        report(f"MLFLOW_TRACKING_URI is set: using {place}, and starting no MLflow server here.")
        return None
    return _check_port(settings.mlflow_port() if port is None else port, "MLflow")


def _check_port(port: int, service: str) -> int:
    """Return the port if it is free.

    Raises:
        ConfigError: it is not, or is no port.
    """
    if not 1 <= port <= 65535:
        raise ConfigError(f"the port {port} for {service} is not a number from 1 to 65535", "choose another.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} for {service} cannot be used: {error.strerror}",
                f"stop what uses it, or choose another with --{service.lower()}-port or "
                f"PAGEFLIP_{service.upper()}_PORT.",
            ) from None
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _lock(places: Places) -> Iterator[None]:
    """Let only one command at a time start or stop the services.

    Raises:
        UnavailableError: another one does.
    """
    places.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_file(places.folder / "lock"))
        except filelock.Timeout:
            raise UnavailableError(
                "another command is starting or stopping the services", "wait for it to end."
            ) from None
        yield


def _tail(path: Path) -> str:
    if not path.exists():
        return "(there is no log)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]) or "(it is empty)"
