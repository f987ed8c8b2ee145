"""Run a task's command as a process of this machine: what PAGEFLIP_RUNNER=process means."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from pageflip_dags.mlflow_link import MlflowLink
from pageflip_dags.task_command import TAIL_LINES, failure, full_verb, orchestrator_environment, project_root

STOP_SECONDS = 3.0  # shorter than the 5 s after which Airflow kills the process that does the stopping


class ProcessOperator(BaseOperator):
    """Run `PAGEFLIP_PYTHON -m VERB... --run RUN [--index INDEX]` in the project's root, as a process group.

    It may use all memory and GPUs of the machine: `gpus` and `memory` bind containers only.
    Its output is the task's log. Exit codes 65 and 78 fail the task for good, any other but 0 may be retried.
    """

    template_fields: Sequence[str] = ()
    operator_extra_links = (MlflowLink(),)
    ui_color = "#e8f1f2"

    def __init__(
        self, *, verb: Sequence[str], index: int | None = None, gpus: int = 0, memory: str = "", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.verb = list(verb)
        self.index = index
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the command to its end; the context's `run_id` names the run."""
        command = [_python(), "-m", *full_verb(self.verb, self.index, context)]
        self.log.info("Running %s in %s", command, project_root())
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        code = self._stream(command, tail, orchestrator_environment(context))
        if code != 0:
            raise failure(code, tail)

    def _stream(self, command: list[str], tail: deque[str], told: Mapping[str, str]) -> int:
        self._process = subprocess.Popen(
            command,
            cwd=project_root(),
            env={**_environment(), **told},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )
        # Airflow's timeout is an exception out of a signal: the main thread must be waiting when it comes, not writing
        # to the log, where it may be swallowed
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
            # When the scheduler dies, nobody takes the log any more. The command goes on; unread, it would wait for
            # ever at a full pipe.
            with suppress(OSError, ValueError):
                self.log.info("%s", line)

    def on_kill(self) -> None:
        """End the command and everything it started: SIGTERM, and SIGKILL to what is left.

        Airflow calls this from a signal handler, perhaps in the middle of a write to the log: it must not log.
        """
        process = self._process
        if process is None:
            return
        for name in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, name)
            except (ProcessLookupError, PermissionError):  # nothing is left, or nothing that is ours
                return
            if _group_ends(process):
                return


def _group_ends(process: subprocess.Popen[str]) -> bool:
    """Wait up to STOP_SECONDS for the end of the process group that `process` leads."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        process.poll()  # reaps the leader, unless this interrupts the `wait` that will
        if not _group_lives(process.pid):
            return True
        time.sleep(0.05)
    return False


def _group_lives(group: int) -> bool:
    """Whether a process of the group runs; a zombie, which its parent or PID 1 has yet to reap, does not."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    for stat in stats:
        with suppress(OSError, ValueError):
            # "PID (NAME) STATE PARENT GROUP ..."; the name may hold anything
            state, _, member_of = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:3]
            if int(member_of) == group and state not in "ZX":
                return True
    return not stats  # without /proc there is no telling a zombie


def _python() -> str:
    python = os.environ.get("PAGEFLIP_PYTHON") or str(project_root() / ".venv" / "bin" / "python")
    if not Path(python).is_file():
        raise AirflowFailException(
            f"the pipeline's Python {python} does not exist: set PAGEFLIP_PYTHON, or `make setup`"
        )
    return python


def _environment() -> dict[str, str]:
    """Airflow's own environment without what is Airflow's, its keys above all."""
    kept = {k: v for k, v in os.environ.items() if not k.lstrip("_").startswith("AIRFLOW") and k != "PYTHONPATH"}
    return {**kept, "PYTHONUNBUFFERED": "1"}
