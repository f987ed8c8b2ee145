"""The one house operator: run a verb of tasks/ as an Airflow task, wherever PAGEFLIP_RUNNER says.

    stage_task(stage)                                        # python -m tasks.run_stage STAGE --run RUN
    verb_task("plan", ["tasks.score_uploads", "plan"])       # python -m tasks.score_uploads plan --run RUN
    mapped_task("score", [...], index=XComArg)               # the same once for each index, with --index I

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_RUNNER | process | where a task's command runs |
| PAGEFLIP_PROJECT | the folder above dags/ | the project's root, where commands run |
| PAGEFLIP_PYTHON | PROJECT/.venv/bin/python | the pipeline environment's Python |
"""

import hashlib
import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dvc_graph import GraphError, Stage

OWNER = "pageflip"
GPU_POOL = "gpu"  # tasks whose meta asks for GPUs take that many of its slots, so they never share a device
FINAL_EXIT_CODES = (65, 78)  # bad data, bad configuration: a retry would fail the same way (pageflip/errors.py)
DEFAULT_TIMEOUT = timedelta(hours=1)
STOP_SECONDS = 3.0  # shorter than the 5 s after which Airflow kills the process that does the stopping
TAIL_LINES = 15
RUN_KEY_LENGTH = 120

DEFAULT_ARGS = {
    "owner": OWNER,
    "retries": 2,  # for what a later try may cure; errors of data and configuration fail at once
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


def project_root() -> Path:
    """The project's root folder."""
    return Path(os.environ.get("PAGEFLIP_PROJECT") or Path(__file__).absolute().parent.parent)


def task_id(stage_name: str) -> str:
    """A stage's name as an Airflow task id: `train@cnn` -> `train.cnn` (ids hold no `@`)."""
    return re.sub(r"[^\w.-]", "-", stage_name.replace("@", "."), flags=re.ASCII)


def run_key(run_id: str) -> str:
    """An Airflow run id as a name that is safe for files and S3 keys; a safe one stays as it is.

    Where a character had to be replaced, part of the id's SHA-256 keeps two different ids apart.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", run_id).lstrip("._-")
    if safe == run_id and len(safe) <= RUN_KEY_LENGTH:
        return safe
    return f"{safe[:RUN_KEY_LENGTH] or 'run'}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


class ProcessOperator(BaseOperator):
    """Run `PAGEFLIP_PYTHON -m VERB... --run RUN [--index INDEX]` in the project's root, as a process group.

    Its output is the task's log. Exit codes 65 and 78 fail the task for good, any other but 0 may be retried.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f1f2"

    def __init__(self, *, verb: Sequence[str], index: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verb = list(verb)
        self.index = index
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the command to its end; the context's `run_id` names the run."""
        command = [_python(), "-m", *self.verb, "--run", run_key(context["run_id"])]
        if self.index is not None:
            command += ["--index", str(self.index)]
        self.log.info("Running %s in %s", command, project_root())
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        code = self._stream(command, tail)
        if code != 0:
            raise _failure(code, tail)

    def _stream(self, command: list[str], tail: deque[str]) -> int:
        self._process = subprocess.Popen(
            command,
            cwd=project_root(),
            env=_environment(),
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
            self.log.info("%s", line)
            if line:
                tail.append(line)

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


def _failure(code: int, tail: Sequence[str]) -> AirflowException:
    said = "\n".join(tail) or "(it printed nothing)"
    if code in FINAL_EXIT_CODES:
        return AirflowFailException(f"exit code {code}: a retry would not help. The last lines were:\n{said}")
    reason = f"exit code {code}"
    if code < 0:
        reason = f"killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            reason += " (out of memory?)"
    return AirflowException(f"{reason}. The last lines were:\n{said}")


# Where a task runs -> its operator class. Each takes verb, index and BaseOperator's arguments.
RUNNERS: dict[str, Callable[..., BaseOperator]] = {"process": ProcessOperator}


def runner() -> Callable[..., BaseOperator]:
    """The operator class that PAGEFLIP_RUNNER names.

    Raises:
        ValueError: it names none.
    """
    name = os.environ.get("PAGEFLIP_RUNNER") or "process"
    if name not in RUNNERS:
        raise ValueError(f"PAGEFLIP_RUNNER is {name!r}; it must be one of: {', '.join(sorted(RUNNERS))}")
    return RUNNERS[name]


def stage_task(stage: Stage) -> BaseOperator:
    """The task of one DVC stage, with the time limit and the GPU slots that its `meta` asks for.

    Raises:
        GraphError: a value in `meta` is out of range.
    """
    return runner()(
        task_id=task_id(stage.name),
        task_display_name=stage.name,
        doc_md=stage.desc or None,
        verb=["tasks.run_stage", stage.name],
        **_house(timeout=_timeout(stage), **_slots(stage)),
    )


def verb_task(name: str, verb: Sequence[str], *, timeout: timedelta = DEFAULT_TIMEOUT, **kwargs: Any) -> BaseOperator:
    """The task `name` that runs `python -m VERB... --run RUN`."""
    return runner()(task_id=name, verb=list(verb), **_house(timeout=timeout, **kwargs))


def mapped_task(
    name: str, verb: Sequence[str], *, index: Any, timeout: timedelta = DEFAULT_TIMEOUT, **kwargs: Any
) -> Any:
    """The task `name` once for each number in `index` (a list or an XComArg), with `--index I`."""
    house = _house(timeout=timeout, map_index_template="{{ task.index }}", **kwargs)
    return runner().partial(task_id=name, verb=list(verb), **house).expand(index=index)


def _house(*, timeout: timedelta, **kwargs: Any) -> dict[str, Any]:
    """What every task of the house has: a time limit, and nothing pushed to XCom."""
    return {"execution_timeout": timeout, "do_xcom_push": False, **kwargs}


def _timeout(stage: Stage) -> timedelta:
    minutes = stage.meta.get("timeout_minutes")
    if minutes is None:
        return DEFAULT_TIMEOUT
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0:
        raise GraphError(f"meta.timeout_minutes of stage {stage.name} is {minutes!r}; it must be a positive number")
    return timedelta(minutes=minutes)


def _slots(stage: Stage) -> dict[str, Any]:
    devices = stage.meta.get("gpu", 0)
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 0:
        raise GraphError(f"meta.gpu of stage {stage.name} is {devices!r}; it must be a number of devices, 0 or more")
    return {"pool": GPU_POOL, "pool_slots": devices} if devices else {}
