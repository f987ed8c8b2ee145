"""Start, watch and stop the local services: Airflow and the MLflow server, supervised by supervisord.

`up` returns when everything answers; `down` when every process has gone, those of running tasks included.
"""

import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.files import write_json
from pageflip.local_stack import config
from pageflip.local_stack.config import HOST, MARK, Places

AIRFLOW_PORT, MLFLOW_PORT = 8080, 5000
AIRFLOW_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
START_SECONDS = 180.0
STOP_SECONDS = 120.0
KILL_SECONDS = 5.0
TAIL_LINES = 25
POLL_SECONDS = 0.5
CLOCK_SECONDS = 5.0  # by how much the times of files and processes may disagree

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
    """One service: `state` is healthy, unhealthy or down."""

    name: str
    state: str
    url: str


def find_running() -> Running | None:
    """What is up, by the state that `up` left behind and the supervisor that is alive; None when nothing is."""
    where = config.places()
    if _supervisor(where) is None or not where.state.exists():
        return None
    state = _state(where)
    return _running(where, state["airflow_url"], state["mlflow_url"])


def addresses() -> tuple[str, str]:
    """Where the pages of Airflow and MLflow are, or will be once `up` has been called without arguments."""
    running = find_running()
    found = running if running is not None and _state(config.places())["owner"] == "user" else None
    airflow = os.environ.get("PAGEFLIP_AIRFLOW_PORT") or AIRFLOW_PORT
    mlflow = os.environ.get("PAGEFLIP_MLFLOW_PORT") or MLFLOW_PORT
    elsewhere = settings.shown(os.environ.get("MLFLOW_TRACKING_URI") or "")
    return (
        found.airflow_url if found else f"http://{HOST}:{airflow}",
        (found.mlflow_url if found else None) or elsewhere or f"http://{HOST}:{mlflow}",
    )


def up(
    airflow_port: int | None = None,
    mlflow_port: int | None = None,
    *,
    with_mlflow: bool = True,
    extra: Mapping[str, str] | None = None,
    report: Report = print,
) -> Running:
    """Start the services and wait until they are healthy; when they are up already, say so.

    Args:
        airflow_port: default PAGEFLIP_AIRFLOW_PORT, or 8080.
        mlflow_port: default PAGEFLIP_MLFLOW_PORT, or 5000.
        with_mlflow: whether to start the MLflow server too; it is not when MLFLOW_TRACKING_URI names another.
        extra: environment variables for the services and their tasks.
        report: takes each line of progress.

    Raises:
        ConfigError: a port is taken, the orchestrator environment is missing, or a job runs its own services.
        UnavailableError: a service did not become healthy; nothing is left running.
    """
    where = config.places()
    with _lock(where):
        found = _found(where)
        if found is None:
            return _start_clean(where, airflow_port, mlflow_port, with_mlflow, extra or {}, report)
        if _state(where)["owner"] == "job":
            raise ConfigError("the main job runs its own Airflow", "wait for it.")
        report("The services are up already.")
        if with_mlflow and found.mlflow_url is None:
            report("They were started without the MLflow server: run `make down` and `make up` to have it too.")
        return found


def down(report: Report = print) -> bool:
    """Stop the services and wait until all their processes have gone; True when there was anything to stop.

    Raises:
        UnavailableError: a process outlived even SIGKILL.
    """
    where = config.places()
    with _lock(where):
        return _stop(where, report)


def status() -> list[Status]:
    """The health of each service."""
    running = find_running()
    if running is None:
        return [Status(name, "down", "") for name in ("airflow", "mlflow")]
    health = _airflow_health(running.airflow_url)
    found = [
        Status(f"airflow {part}", "healthy" if health.get(part) else "unhealthy", running.airflow_url)
        for part in AIRFLOW_PARTS
    ]
    if running.mlflow_url is None:
        return [*found, Status("mlflow", "down", "")]
    state = "healthy" if _mlflow_healthy(running.mlflow_url) else "unhealthy"
    return [*found, Status("mlflow", state, running.mlflow_url)]


@contextmanager
def airflow_for_a_job(extra: Mapping[str, str], report: Report = print) -> Iterator[Running]:
    """Use the Airflow that is up, or start one on a free port, without MLflow, for as long as the block lasts."""
    where = config.places()
    with _lock(where):
        found = running = _found(where)
        if running is None:
            me = psutil.Process()
            job = {"pid": me.pid, "started": me.create_time()}
            running = _start_clean(where, _any_port(), None, False, extra, report, job)
    try:
        yield running
    finally:
        if found is None:
            down(report)


def _state(where: Places) -> dict[str, Any]:
    """What `_start` wrote: the addresses, the owner ("user" or "job") and, of a job's, the job's process."""
    return {"owner": "user", **json.loads(where.state.read_text(encoding="utf-8"))}


def _found(where: Places) -> Running | None:
    """What is up and stays up; when it is nothing, whatever earlier commands and jobs left behind is ended first."""
    found = find_running()
    if found is not None and ((state := _state(where))["owner"] == "user" or _job_lives(state["job"])):
        return found
    _stop(where, lambda line: None)
    return None


def _job_lives(job: Mapping[str, float]) -> bool:
    with suppress(psutil.Error):
        process = psutil.Process(int(job["pid"]))
        return _alive(process) and abs(process.create_time() - job["started"]) < CLOCK_SECONDS
    return False


def _start_clean(
    where: Places,
    airflow_port: int | None,
    mlflow_port: int | None,
    with_mlflow: bool,
    extra: Mapping[str, str],
    report: Report,
    job: Mapping[str, float] | None = None,
) -> Running:
    """Find the ports and start the services; when that fails, nothing is left running."""
    airflow_port = _free(airflow_port, "PAGEFLIP_AIRFLOW_PORT", AIRFLOW_PORT, "--airflow-port", "Airflow")
    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if with_mlflow and elsewhere:
        report(f"MLFLOW_TRACKING_URI is set: using {settings.shown(elsewhere)}, and starting no MLflow server here.")
    if with_mlflow and not elsewhere:
        mlflow_port = _free(mlflow_port, "PAGEFLIP_MLFLOW_PORT", MLFLOW_PORT, "--mlflow-port", "MLflow")
    else:
        mlflow_port = None
    try:
        running = _start(where, airflow_port, mlflow_port, extra, report)
        urls = {"airflow_url": running.airflow_url, "mlflow_url": running.mlflow_url}
        write_json(where.state, {**urls, "owner": "job", "job": job} if job else {**urls, "owner": "user"})
    except BaseException:
        _stop(where, lambda line: None)
        raise
    return running


def _start(
    where: Places, airflow_port: int, mlflow_port: int | None, extra: Mapping[str, str], report: Report
) -> Running:
    airflow_url = f"http://{HOST}:{airflow_port}"
    mlflow_url = f"http://{HOST}:{mlflow_port}" if mlflow_port else None
    env = config.environment(where, airflow_port, mlflow_url, extra)
    config.render(where, config.programs(where, mlflow_port))
    _migrate(where, env, report)
    (where.logs / "supervisord.log").unlink(missing_ok=True)
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(where.config)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"supervisord did not start: {done.stdout}{done.stderr}", f"look at {where.config}.")
    _await_health(where, airflow_url, mlflow_url, report)
    return _running(where, airflow_url, mlflow_url)


def _running(where: Places, airflow_url: str, mlflow_url: str | None) -> Running:
    return Running(
        airflow_url=airflow_url,
        mlflow_url=mlflow_url,
        user=config.USER,
        password=config.password(where),
        password_file=str(where.password_file),
        logs=str(where.logs),
    )


def _migrate(where: Places, env: Mapping[str, str], report: Report) -> None:
    """Bring Airflow's database to its version's schema; skipped when that was done to this one before."""
    version = "".join(
        p.name for p in where.project.glob(".venv-airflow/lib/*/site-packages/apache_airflow-*.dist-info")
    )
    address = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    done = f"{version} {hashlib.sha256(address.encode()).hexdigest()}"
    mark = where.airflow_home / "migrated"
    lost = address.startswith(settings.SQLITE) and not Path(address.removeprefix(settings.SQLITE)).exists()
    if not lost and mark.exists() and mark.read_text(encoding="utf-8") == done:
        return
    report("Preparing Airflow's database")
    log = where.logs / "db-migrate.log"
    with log.open("w", encoding="utf-8") as file:
        command = [str(where.airflow), "db", "migrate"]
        code = subprocess.run(command, env=env, stdout=file, stderr=file, cwd=where.project, check=False).returncode
    if code != 0:
        raise UnavailableError(f"`airflow db migrate` failed; its last lines:\n{_tail(log)}", f"read {log}.")
    mark.write_text(done, encoding="utf-8")


def _await_health(where: Places, airflow_url: str, mlflow_url: str | None, report: Report) -> None:
    start, told = time.monotonic(), set()
    wanted = {f"airflow {part}" for part in AIRFLOW_PARTS} | ({"mlflow"} if mlflow_url else set())
    report(f"Waiting for {len(wanted)} services to become healthy")
    while told != wanted:
        time.sleep(POLL_SECONDS)
        healthy = {f"airflow {part}" for part, good in _airflow_health(airflow_url).items() if good}
        if mlflow_url and _mlflow_healthy(mlflow_url):
            healthy.add("mlflow")
        for name in sorted(healthy - told):
            report(f"  {name} is healthy after {time.monotonic() - start:.0f} s")
        told |= healthy
        failed = _given_up(where)
        if failed is None and time.monotonic() - start > START_SECONDS:
            failed = _log_name(min(wanted - told))
        if failed is None and _supervisor(where) is None:
            failed = "supervisord"
        if failed is not None:
            log = where.logs / f"{failed}.log"
            raise UnavailableError(f"{failed} did not start; its log ends:\n{_tail(log)}", f"read {log}.")


def _log_name(service: str) -> str:
    if service == "mlflow":
        return service
    return "airflow-" + service.split()[1].replace("_", "-").replace("metadatabase", "api-server")


def _given_up(where: Places) -> str | None:
    """The program that supervisord no longer restarts."""
    log = where.logs / "supervisord.log"
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        if "entered FATAL state" in line:
            return line.split("gave up: ")[-1].split()[0]
    return None


def _airflow_health(url: str) -> dict[str, bool]:
    health = _get_json(f"{url}/api/v2/monitor/health")
    return {part: (health.get(part) or {}).get("status") == "healthy" for part in AIRFLOW_PARTS}


def _mlflow_healthy(url: str) -> bool:
    return _get(f"{url}/health") is not None


def _get_json(url: str) -> dict:
    response = _get(url)
    with suppress(ValueError):
        return response.json() if response is not None else {}
    return {}


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False  # loopback is never behind a proxy
        try:
            response = session.get(url, timeout=5)
        except requests.RequestException:
            return None
        return response if response.ok else None


def _free(port: int | None, variable: str, default: int, option: str, name: str) -> int:
    text = str(port) if port is not None else os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ConfigError(f"the port {text!r} for {name} is not a number from 1 to 65535", f"correct {variable}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except OSError as error:
            raise ConfigError(
                f"port {text} for {name} cannot be had: {error.strerror}",
                f"stop what uses it, or choose another with {option} or {variable}.",
            ) from None
    return int(text)


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextmanager
def _lock(where: Places) -> Iterator[None]:
    """One `up` or `down` at a time; the lock goes with the process that holds it."""
    where.folder.mkdir(parents=True, exist_ok=True)
    with (where.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                "another command is starting or stopping the services", "wait for it to end."
            ) from None
        yield


def _supervisor(where: Places) -> psutil.Process | None:
    """The supervisord of these places, if alive."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(where.pidfile.read_text(encoding="utf-8")))
        if str(where.config) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _stop(where: Places, report: Report) -> bool:
    supervisor, start = _supervisor(where), time.monotonic()
    processes = _processes(where)
    if supervisor is None and not processes:
        report("No services are running.")
        where.state.unlink(missing_ok=True)
        return False
    if supervisor is not None:
        report(f"Stopping {len(processes)} processes")
        with suppress(psutil.Error):
            supervisor.send_signal(signal.SIGTERM)
            if _wait([supervisor], STOP_SECONDS):
                report("The supervisor does not end by itself; killing it")
                supervisor.kill()
                _wait([supervisor], KILL_SECONDS)
    _end_strays(where, processes, report)
    where.state.unlink(missing_ok=True)
    where.pidfile.unlink(missing_ok=True)
    report(f"All {len(processes)} processes have gone, after {time.monotonic() - start:.0f} s.")
    return True


def _end_strays(where: Places, processes: set[psutil.Process], report: Report) -> None:
    for act in (psutil.Process.terminate, psutil.Process.kill):
        alive = [process for process in processes | _processes(where) if _alive(process)]
        if alive:
            report(f"Ending {len(alive)} processes that were left over")
        for process in alive:
            with suppress(psutil.Error):
                act(process)
        _wait(alive, KILL_SECONDS)
    alive = [process.pid for process in processes | _processes(where) if _alive(process)]
    if alive:
        raise UnavailableError(f"these processes cannot be ended: {alive}", "look at them with `ps`.")


def _wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the processes to end, up to `seconds`; those that live on. A zombie, left by its parent, does not."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _processes(where: Places) -> set[psutil.Process]:
    """Everything the services started: the supervisor's session, its descendants, and whatever bears the mark.

    Airflow's workers overwrite their environment with a title, and its tasks make sessions of their own: one sign alone
    would miss some.
    """
    found, session = set(), _session(where)
    supervisor = _supervisor(where)
    if supervisor is not None:
        found.add(supervisor)
        with suppress(psutil.Error):
            found.update(supervisor.children(recursive=True))
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if _in_session(process, session) or process.environ().get(MARK) == str(where.folder):
                found.add(process)
    return {process for process in found if _alive(process) and process.pid != os.getpid()}


@dataclass(frozen=True)
class _Session:
    """A session that supervisord made, and when (seconds since 1970)."""

    number: int
    started: float


def _session(where: Places) -> _Session | None:
    """supervisord's session: its own, or that of a dead one, unless the number may be another's by now."""
    with suppress(OSError, ValueError):
        number, written = int(where.pidfile.read_text(encoding="utf-8")), where.pidfile.stat().st_mtime
        if number <= 0 or written < psutil.boot_time() or (_supervisor(where) is None and _taken(number)):
            return None
        return _Session(number, written)
    return None


def _taken(number: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False


def _in_session(process: psutil.Process, session: _Session | None) -> bool:
    return (
        session is not None
        and os.getsid(process.pid) == session.number
        and process.create_time() >= session.started - CLOCK_SECONDS
        and process.uids().real == os.getuid()
    )


def _tail(path: Path) -> str:
    if not path.exists():
        return "(there is no log)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]) or "(it is empty)"
