"""Processes of the local services: finding all of them, and ending them.

A process belongs to the services if it descends from the supervisor, is in the session that the supervisor made, or has
the variable MARK in its environment. One sign alone would miss some: Airflow's workers overwrite their environment with
a title, and its tasks make sessions of their own.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from pageflip.base.errors import UnavailableError
from pageflip.local_stack.config import MARK, Places

STOP_SECONDS = 120.0
KILL_SECONDS = 5.0
CLOCK_SECONDS = 5.0  # by how much the times of files and processes may disagree


@dataclass(frozen=True)
class _Session:
    """Session that supervisord made, and when (seconds since 1970)."""

    number: int
    started: float


def find_supervisor(places: Places) -> psutil.Process | None:
    """Return the supervisord of these places; None when it is not alive."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(places.pidfile.read_text(encoding="utf-8")))
        if str(places.config) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def find_processes(places: Places) -> set[psutil.Process]:
    """Return every live process that the services started, other than this one."""
    found, session = set(), _find_session(places)
    supervisor = find_supervisor(places)
    if supervisor is not None:
        found.add(supervisor)
        with suppress(psutil.Error):
            found.update(supervisor.children(recursive=True))
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if _is_in_session(process, session) or process.environ().get(MARK) == str(places.folder):
                found.add(process)
    return {process for process in found if is_alive(process) and process.pid != os.getpid()}


def end_processes(places: Places, report: Callable[[str], None]) -> int:
    """End the supervisor, which ends its services in order, then what is left; return how many processes there were.

    Raises:
        UnavailableError: a process outlived even SIGKILL.
    """
    supervisor, start = find_supervisor(places), time.monotonic()
    processes = find_processes(places)
    if supervisor is not None:
        report(f"Stopping {len(processes)} processes")
        with suppress(psutil.Error):
            supervisor.send_signal(signal.SIGTERM)
            if wait_until_ended([supervisor], STOP_SECONDS):
                report("The supervisor does not end by itself; killing it")
                supervisor.kill()
                wait_until_ended([supervisor], KILL_SECONDS)
    _end_strays(places, processes, report)
    if processes:
        report(f"All {len(processes)} processes have ended, after {time.monotonic() - start:.0f} s.")
    return len(processes)


def _end_strays(places: Places, processes: set[psutil.Process], report: Callable[[str], None]) -> None:
    for end in (psutil.Process.terminate, psutil.Process.kill):
        alive = [process for process in processes | find_processes(places) if is_alive(process)]
        if alive:
            report(f"Ending {len(alive)} processes that were left over")
        for process in alive:
            with suppress(psutil.Error):
                end(process)
        wait_until_ended(alive, KILL_SECONDS)
    pids = [process.pid for process in processes | find_processes(places) if is_alive(process)]
    if pids:
        raise UnavailableError(f"these processes cannot be ended: {pids}", "look at them with `ps`.")


def wait_until_ended(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait up to `seconds` for the end of the processes, and return those that are still alive."""
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie, which only waits for its parent, does not."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def describe_own_process() -> dict[str, float]:
    """Return what `is_same_process_alive` needs to know of this process, later and in another one."""
    process = psutil.Process()
    return {"pid": process.pid, "started": process.create_time()}


def is_same_process_alive(description: Mapping[str, float]) -> bool:
    """Return whether a process that described itself is alive; its number may have gone to another since."""
    with suppress(psutil.Error):
        process = psutil.Process(int(description["pid"]))
        return is_alive(process) and abs(process.create_time() - description["started"]) < CLOCK_SECONDS
    return False


def _find_session(places: Places) -> _Session | None:
    """Return the session of supervisord, dead or alive; None when its number may belong to another one by now."""
    with suppress(OSError, ValueError):
        number, written = int(places.pidfile.read_text(encoding="utf-8")), places.pidfile.stat().st_mtime
        if number <= 0 or written < psutil.boot_time():
            return None
        if find_supervisor(places) is None and _is_number_in_use(number):
            return None
        return _Session(number, written)
    return None


def _is_number_in_use(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _is_in_session(process: psutil.Process, session: _Session | None) -> bool:
    return (
        session is not None
        and os.getsid(process.pid) == session.number
        and process.create_time() >= session.started - CLOCK_SECONDS
        and process.uids().real == os.getuid()
    )
