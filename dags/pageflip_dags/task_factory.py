"""Create Airflow tasks that run the verbs of tasks/, where PAGEFLIP_RUNNER says.

    stage_task(stage)                                        # python -m tasks.run_stage STAGE --run RUN
    verb_task("plan", ["tasks.score_uploads", "plan"])       # python -m tasks.score_uploads plan --run RUN
    mapped_task("score", [...], index=XComArg)               # the same once for each index, with --index I

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_RUNNER | process | where commands run: process, docker or kubernetes |
| PAGEFLIP_PROJECT | the folder that holds dags/ | the project's root, where commands run |
| PAGEFLIP_PYTHON | PROJECT/.venv/bin/python | the pipeline environment's Python (process only) |
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import BaseOperator

from pageflip_dags.alerts import alert_task_failure
from pageflip_dags.dvc_graph import GraphError, Stage
from pageflip_dags.task_command import RUN_STAGE, task_id
from pageflip_dags.task_environment import memory_bytes

OWNER = "pageflip"
GPU_POOL = "gpu"  # a task takes as many slots as it requests GPUs, so that no two tasks share a device
DEFAULT_TIMEOUT = timedelta(hours=1)

DEFAULT_ARGS = {
    "owner": OWNER,
    "retries": 2,  # for transient errors; errors in data or configuration fail at once
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "on_failure_callback": alert_task_failure,
}

# Module and class of each runner's operator. The module is imported only if chosen: the clients of Docker and
# Kubernetes are heavy. Operators take verb, index, gpus, memory and the arguments of BaseOperator.
RUNNERS = {
    "process": ("pageflip_dags.process_operator", "ProcessOperator"),
    "docker": ("pageflip_dags.container_operator", "ContainerOperator"),
    "kubernetes": ("pageflip_dags.pod_operator", "PodOperator"),
}


def stage_task(stage: Stage) -> BaseOperator:
    """Create the task of a DVC stage, with time limit, memory and GPUs from its `meta`.

    It runs after skipped stages (of a dry run, say), but not after a failed one.

    Raises:
        GraphError: A value in `meta` is out of range.
    """
    gpus = _gpus(stage)
    pool = {"pool": GPU_POOL, "pool_slots": gpus} if gpus else {}
    return _operator_class()(
        task_id=task_id(stage.name),
        task_display_name=stage.name,
        doc_md=stage.desc or None,
        verb=[RUN_STAGE, stage.name],
        gpus=gpus,
        memory=_memory(stage),
        trigger_rule="none_failed",
        **_common_arguments(_timeout(stage), **pool),
    )


def verb_task(name: str, verb: Sequence[str], *, timeout: timedelta = DEFAULT_TIMEOUT, **kwargs: Any) -> BaseOperator:
    """Create the task `name` that runs `python -m VERB... --run RUN`; `kwargs` go to the operator."""
    return _operator_class()(task_id=name, verb=list(verb), **_common_arguments(timeout, **kwargs))


def mapped_task(
    name: str, verb: Sequence[str], *, index: Any, timeout: timedelta = DEFAULT_TIMEOUT, **kwargs: Any
) -> Any:
    """Create the task `name` once for each number in `index` (a list or an XComArg), run with `--index I`."""
    arguments = _common_arguments(timeout, map_index_template="{{ task.index }}", **kwargs)
    return _operator_class().partial(task_id=name, verb=list(verb), **arguments).expand(index=index)


def _operator_class() -> type[BaseOperator]:
    name = os.environ.get("PAGEFLIP_RUNNER") or "process"
    if name not in RUNNERS:
        raise ValueError(f"PAGEFLIP_RUNNER is {name!r}; it must be one of: {', '.join(sorted(RUNNERS))}")
    module, operator = RUNNERS[name]
    return getattr(import_module(module), operator)


def _common_arguments(timeout: timedelta, **kwargs: Any) -> dict[str, Any]:
    return {"execution_timeout": timeout, "do_xcom_push": False, **kwargs}


def _timeout(stage: Stage) -> timedelta:
    minutes = stage.meta.get("timeout_minutes")
    if minutes is None:
        return DEFAULT_TIMEOUT
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0:
        raise GraphError(f"meta.timeout_minutes of stage {stage.name} is {minutes!r}; it must be a positive number")
    return timedelta(minutes=minutes)


def _gpus(stage: Stage) -> int:
    gpus = stage.meta.get("gpu", 0)
    if isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 0:
        raise GraphError(f"meta.gpu of stage {stage.name} is {gpus!r}; it must be a number of devices, 0 or more")
    return gpus


def _memory(stage: Stage) -> str:
    memory = stage.meta.get("memory", "")
    try:
        memory_bytes(memory)
    except (ValueError, AttributeError):
        raise GraphError(f"meta.memory of stage {stage.name} is {memory!r}; it must be a size such as 8g") from None
    return memory
