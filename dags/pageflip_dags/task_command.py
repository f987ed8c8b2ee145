"""Commands, names, environment and exit codes of tasks: what all three runners share."""

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
FINAL_EXIT_CODES = (65, 78)  # bad data, bad configuration: a retry would fail in the same way
TIMEOUT_EXIT_CODE = 124  # of timeout(1)
KILLED_EXIT_CODE = 128 + signal.SIGKILL  # what shells and containers return for a process that was killed
TAIL_LINES = 15
MAX_RUN_KEY_LENGTH = 120
MAX_NAME_LENGTH = 50
KILL_AFTER_SECONDS = 30
PROBE_SECONDS = 50  # a stage without its GPU must fail within a minute
# "$@" is the command that follows; if the probe fails, its exit code becomes that of the container.
CUDA_PROBE = f'timeout {PROBE_SECONDS} python -m pageflip doctor --cuda && exec "$@"'


def project_root() -> Path:
    """Return the project's root folder: PAGEFLIP_PROJECT, or the folder that holds dags/."""
    return Path(os.environ.get("PAGEFLIP_PROJECT") or Path(__file__).absolute().parents[2])


def task_id(stage_name: str) -> str:
    """Convert a stage name to an Airflow task id, which may not contain `@`: `train@cnn` becomes `train.cnn`."""
    return re.sub(r"[^\w.-]", "-", stage_name.replace("@", "."), flags=re.ASCII)


def run_key(run_id: str) -> str:
    """Convert an Airflow run id to a name that is safe in file names and S3 keys; a safe id stays as it is.

    If characters had to be replaced, part of the id's SHA-256 keeps different ids apart.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", run_id).lstrip("._-")
    if safe == run_id and len(safe) <= MAX_RUN_KEY_LENGTH:
        return safe
    return f"{safe[:MAX_RUN_KEY_LENGTH] or 'run'}-{_sha256(run_id)[:8]}"


def module_arguments(
    verb: Sequence[str], index: int | None, context: Mapping[str, Any], *, published: bool = False
) -> list[str]:
    """Return what follows `python -m` in a task's command.

    Args:
        verb: Module and first arguments, such as `["tasks.run_stage", "prepare"]`.
        index: Index of a mapped task; None otherwise.
        context: Airflow's task context.
        published: Read the data version published last if neither form nor event names one.

    Raises:
        AirflowSkipException: The trigger form excludes this stage.
    """
    arguments = [*verb, "--run", run_key(context["run_id"])]
    if index is not None:
        arguments += ["--index", str(index)]
    if verb[0] == RUN_STAGE:
        arguments += run_form.stage_arguments(verb[1], context, project_root(), published=published)
    return arguments


def container_command(arguments: Sequence[str], *, seconds: float, gpus: int) -> list[str]:
    """Return the command of a container or pod.

    It enforces the time limit itself, in case the worker that watches it dies, and probes CUDA first if it has GPUs.
    """
    probe = ["sh", "-c", CUDA_PROBE, "sh"] if gpus else []
    return ["timeout", f"--kill-after={KILL_AFTER_SECONDS}", f"{seconds:.0f}", *probe, "python", "-m", *arguments]


def unique_name(context: Mapping[str, Any]) -> str:
    """Return a container name that is unique to this task, run and try: letters, digits, `_`, `.` and `-`."""
    identity = _identity(context)
    readable = "-".join(identity[key] for key in ("dag", "task", "run"))
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", readable)[:MAX_NAME_LENGTH].rstrip("._-")
    return f"pageflip-{safe}-{identity_digest(context)}-{context['ti'].try_number}"


def identity_digest(context: Mapping[str, Any]) -> str:
    """Return 12 hex digits that identify a task instance; all of its tries have the same."""
    return _sha256("\n".join(f"{key}={value}" for key, value in sorted(_identity(context).items())))[:12]


def orchestrator_environment(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that name DAG, run and task, for the tags of the MLflow run, and who approved a promotion.

    `pageflip`'s settings module reads them.

    Raises:
        AirflowSkipException: The task is `promote`, and its promotion is not approved.
    """
    instance = context.get("ti")
    if instance is None:
        return {}
    values = {
        "PAGEFLIP_ORCHESTRATOR_DAG": instance.dag_id,
        "PAGEFLIP_ORCHESTRATOR_RUN": context["run_id"],
        "PAGEFLIP_ORCHESTRATOR_TASK": instance.task_id,
        "PAGEFLIP_ORCHESTRATOR_URL": getattr(instance, "log_url", None),
    }
    if instance.task_id == run_form.APPROVED_STAGE:
        values["PAGEFLIP_APPROVED_BY"] = run_form.promotion_approver(context)
    return {name: str(value) for name, value in values.items() if value}


def failure(code: int, tail: Sequence[str]) -> AirflowException:
    """Return the exception for a command that failed: AirflowFailException if a retry would not help.

    Args:
        code: Exit code; negative for the signal that ended a process, as `subprocess` reports it.
        tail: The last lines of its output.
    """
    output = "\n".join(tail) or "(no output)"
    if code in FINAL_EXIT_CODES:
        return AirflowFailException(f"exit code {code}: a retry would not help. Last lines of the output:\n{output}")
    reason = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
    if code == TIMEOUT_EXIT_CODE:
        reason += " (over its time limit)"
    elif code in (KILLED_EXIT_CODE, -signal.SIGKILL):
        reason += " (out of memory?)"
    return AirflowException(f"{reason}. Last lines of the output:\n{output}")


def _identity(context: Mapping[str, Any]) -> dict[str, str]:
    instance = context["ti"]
    return {
        "dag": str(instance.dag_id),
        "task": str(instance.task_id),
        "run": str(context["run_id"]),
        "index": str(getattr(instance, "map_index", -1)),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
