"""Run a task's command as a process on this machine (PAGEFLIP_RUNNER=process)."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from pageflip_dags.task_command import (
    TAIL_LINES,
    failure,
    module_arguments,
    orchestrator_environment,
    project_root,
)
from pageflip_dags.verb_operator import VerbOperator

STOP_SECONDS = 3.0  # Airflow kills the process that runs on_kill after 5 s


class ProcessOperator(VerbOperator):
    """Run a verb with PAGEFLIP_PYTHON in the project's root, as a process group; its output is the task's log.

    It may use all memory and GPUs of the machine: `gpus` and `memory` limit containers only.
    """

    def __init__(self, *, gpus: int = 0, memory: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the command and wait for its end."""
        command = [_python(), "-m", *module_arguments(self.verb, self.index, context)]
        self.log.info("Running %s in %s", command, project_root())
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        code = self._run(command, tail, {**_inherited_environment(), **orchestrator_environment(context)})
        if code != 0:
            raise failure(code, tail)

    def _run(self, command: list[str], tail: deque[str], environment: Mapping[str, str]) -> int:
        self._process = subprocess.Popen(
            command,
            cwd=project_root(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )
        # Airflow's timeout is an exception raised by a signal handler in the main thread. Raised while that thread
        # writes to the log, it could be swallowed; so a second thread writes the log, and the main thread only waits.
        reader = Thread(target=self._log_lines, args=(self._process.stdout, tail), daemon=True)
        try:
            reader.start()
            code = self._process.wait()
        finally:  # a command that the kernel killed for its memory leaves its children behind
            self.on_kill()
        reader.join(STOP_SECONDS)  # a grandchild in a session of its own may keep the pipe open
        return code

    def _log_lines(self, lines: Iterable[str], tail: deque[str]) -> None:
        for line in lines:
            line = line.rstrip()
            if line:
                tail.append(line)
            # After the scheduler has died, logging fails. Keep reading: otherwise the pipe fills up and the command
            # blocks forever.
            with suppress(OSError, ValueError):
                self.log.info("%s", line)

    def on_kill(self) -> None:
        """Stop the command and all processes it started: SIGTERM, then SIGKILL for the rest.

        Airflow calls this from a signal handler, possibly during a write to the log, so it must not log.
        """
        process = self._process
        if process is None:
            return
        for name in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, name)
            except (ProcessLookupError, PermissionError):  # the group has ended, or its id was reused
                return
            if _wait_for_group(process):
                return


def _wait_for_group(process: subprocess.Popen[str]) -> bool:
    """Wait up to STOP_SECONDS for the process group led by `process`; return whether it has ended."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        process.poll()  # reaps the leader, unless this call interrupted the `wait` that does
        if not _group_is_alive(process.pid):
            return True
        time.sleep(0.05)
    return False


def _group_is_alive(group: int) -> bool:
    """Return whether a process of the group is running; zombies, not yet reaped by their parent, do not count."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    for stat in stats:
        with suppress(OSError, ValueError):
            # "PID (NAME) STATE PARENT GROUP ..."; the name may contain any character
            state, _, member_of = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:3]
            if int(member_of) == group and state not in "ZX":
                return True
    return not stats  # without /proc, zombies cannot be recognised


def _python() -> str:
    python = os.environ.get("PAGEFLIP_PYTHON") or str(project_root() / ".venv" / "bin" / "python")
    if not Path(python).is_file():
        raise AirflowFailException(
            f"the pipeline's Python {python} does not exist: set PAGEFLIP_PYTHON, or run `make setup`"
        )
    return python


def _inherited_environment() -> dict[str, str]:
    """Return this process's environment without Airflow's own variables, which include its secret keys."""
    own = {k: v for k, v in os.environ.items() if not k.lstrip("_").startswith("AIRFLOW") and k != "PYTHONPATH"}
    return {**own, "PYTHONUNBUFFERED": "1"}
