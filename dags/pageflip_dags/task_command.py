"""What every runner needs to know of a task: its command, its name, and what its exit code means."""

import hashlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pageflip_dags import run_form

RUN_STAGE = "tasks.run_stage"
FINAL_EXIT_CODES = (65, 78)  # bad data, bad configuration: a retry would fail the same way (pageflip/errors.py)
TIMED_OUT = 124  # what timeout(1) ends with
KILLED = 128 + signal.SIGKILL  # what a shell and a container say of a command that the kernel killed
TAIL_LINES = 15
RUN_KEY_LENGTH = 120
NAME_LENGTH = 50
KILL_AFTER_SECONDS = 30
PROBE_SECONDS = 50  # a stage that gets no GPU must have failed a minute after it began
# $@ is the command that follows. Its exit code, or the probe's, is that of the whole.
PROBE = f'timeout {PROBE_SECONDS} python -m pageflip doctor --cuda && exec "$@"'


def project_root() -> Path:
    """The project's root folder."""
    return Path(os.environ.get("PAGEFLIP_PROJECT") or Path(__file__).absolute().parents[2])


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
    return f"{safe[:RUN_KEY_LENGTH] or 'run'}-{_digest(run_id)[:8]}"


def full_verb(verb: Sequence[str], index: int | None, context: Mapping[str, Any], *, published: bool = False) -> list:
    """The module and the arguments that a task runs in this run, with what its form asks of a stage.

    Args:
        published: the run reads the data version published last, where neither form nor event names one.

    Raises:
        AirflowSkipException: the form leaves this stage out.
    """
    command = [*verb, "--run", run_key(context["run_id"])]
    if index is not None:
        command += ["--index", str(index)]
    if verb[0] == RUN_STAGE:
        command += run_form.stage_arguments(verb[1], context, project_root(), published=published)
    return command


def container_command(verb: Sequence[str], *, seconds: float, gpus: int) -> list[str]:
    """A command for a container: it ends at its time limit even when nobody watches it, and asks for CUDA first."""
    probe = ["sh", "-c", PROBE, "sh"] if gpus else []
    return ["timeout", f"--kill-after={KILL_AFTER_SECONDS}", f"{seconds:.0f}", *probe, "python", "-m", *verb]


def identity(context: Mapping[str, Any]) -> dict[str, str]:
    """What tells a task instance apart from all others, but not its tries from each other."""
    instance = context["ti"]
    index = getattr(instance, "map_index", -1)
    parts = {"dag": instance.dag_id, "task": instance.task_id, "run": context["run_id"], "index": str(index)}
    return {key: str(value) for key, value in parts.items()}


def unique_name(context: Mapping[str, Any]) -> str:
    """A container name that no other task, run or try has: letters, digits, `_`, `.` and `-`."""
    parts = identity(context)
    shown = "-".join(parts[key] for key in ("dag", "task", "run"))
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", shown)[:NAME_LENGTH].rstrip("._-")
    return f"pageflip-{safe}-{identity_digest(context)}-{context['ti'].try_number}"


def orchestrator_environment(context: Mapping[str, Any]) -> dict[str, str]:
    """What a task is told of itself, to note on the MLflow run that it works on, and who has approved of a promotion.

    pageflip/settings.py reads both.

    Raises:
        AirflowSkipException: this is `promote`, and nobody has approved of it.
    """
    instance = context.get("ti")
    if instance is None:
        return {}
    told = {"DAG": instance.dag_id, "RUN": context["run_id"], "TASK": instance.task_id}
    told["URL"] = getattr(instance, "log_url", None)
    approver = run_form.approved_by(context) if instance.task_id == run_form.APPROVED_STAGE else None
    environment = {f"PAGEFLIP_ORCHESTRATOR_{name}": str(value) for name, value in told.items() if value}
    return environment | ({"PAGEFLIP_APPROVED_BY": approver} if approver else {})


def identity_digest(context: Mapping[str, Any]) -> str:
    """The identity in 12 letters."""
    return _digest("\n".join(f"{key}={value}" for key, value in sorted(identity(context).items())))[:12]


def failure(code: int, tail: Sequence[str]) -> AirflowException:
    """The exception that a command's exit code stands for; `tail` are the last lines that it printed.

    A negative code is that of a process which a signal ended, as `subprocess` gives it.
    """
    said = "\n".join(tail) or "(it printed nothing)"
    if code in FINAL_EXIT_CODES:
        return AirflowFailException(f"exit code {code}: a retry would not help. The last lines were:\n{said}")
    reason = f"exit code {code}"
    if code < 0:
        reason = f"killed by {signal.Signals(-code).name}"
    elif code == TIMED_OUT:
        reason += " (over its time limit)"
    if code in (KILLED, -signal.SIGKILL):
        reason += " (out of memory?)"
    return AirflowException(f"{reason}. The last lines were:\n{said}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
