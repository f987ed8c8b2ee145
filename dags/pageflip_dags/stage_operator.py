"""The one house operator: run a verb of tasks/ as an Airflow task, wherever PAGEFLIP_RUNNER says.

    stage_task(stage)                                        # python -m tasks.run_stage STAGE --run RUN
    verb_task("plan", ["tasks.score_uploads", "plan"])       # python -m tasks.score_uploads plan --run RUN
    mapped_task("score", [...], index=XComArg)               # the same once for each index, with --index I

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_RUNNER | process | where a task's command runs: process, docker or kubernetes |
| PAGEFLIP_PROJECT | the folder above dags/ | the project's root, where commands run |
| PAGEFLIP_PYTHON | PROJECT/.venv/bin/python | the pipeline environment's Python (process only) |
"""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow.sdk import BaseOperator

from pageflip_dags import task_places
from pageflip_dags.alerts import task_failed
from pageflip_dags.dvc_graph import GraphError, Stage
from pageflip_dags.task_command import RUN_STAGE, task_id

OWNER = "pageflip"
GPU_POOL = "gpu"  # tasks whose meta asks for GPUs take that many of its slots, so they never share a device
DEFAULT_TIMEOUT = timedelta(hours=1)

DEFAULT_ARGS = {
    "owner": OWNER,
    "retries": 2,  # for what a later try may cure; errors of data and configuration fail at once
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "on_failure_callback": task_failed,
}


# Where a task runs -> module and class of its operator, imported only when chosen: Docker's and Kubernetes' clients are
# heavy. Each takes verb, index, gpus, memory and BaseOperator's arguments.
RUNNERS = {
    "process": ("pageflip_dags.process_operator", "ProcessOperator"),
    "docker": ("pageflip_dags.container_operator", "ContainerOperator"),
    "kubernetes": ("pageflip_dags.pod_operator", "PodOperator"),
}


def runner() -> Callable[..., BaseOperator]:
    """The operator class that PAGEFLIP_RUNNER names.

    Raises:
        ValueError: it names none.
    """
    name = os.environ.get("PAGEFLIP_RUNNER") or "process"
    if name not in RUNNERS:
        raise ValueError(f"PAGEFLIP_RUNNER is {name!r}; it must be one of: {', '.join(sorted(RUNNERS))}")
    module, operator = RUNNERS[name]
    return getattr(import_module(module), operator)


def stage_task(stage: Stage) -> BaseOperator:
    """The task of one DVC stage, with the time limit, the memory and the GPUs that its `meta` asks for.

    It runs after stages that were left out (of a dry run, say), but not after one that failed.

    Raises:
        GraphError: a value in `meta` is out of range.
    """
    return runner()(
        task_id=task_id(stage.name),
        task_display_name=stage.name,
        doc_md=stage.desc or None,
        verb=[RUN_STAGE, stage.name],
        gpus=_gpus(stage),
        memory=_memory(stage),
        trigger_rule="none_failed",
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


def _gpus(stage: Stage) -> int:
    devices = stage.meta.get("gpu", 0)
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 0:
        raise GraphError(f"meta.gpu of stage {stage.name} is {devices!r}; it must be a number of devices, 0 or more")
    return devices


def _slots(stage: Stage) -> dict[str, Any]:
    return {"pool": GPU_POOL, "pool_slots": _gpus(stage)} if _gpus(stage) else {}


def _memory(stage: Stage) -> str:
    memory = stage.meta.get("memory", "")
    try:
        task_places.memory_bytes(memory)
    except (ValueError, AttributeError):
        raise GraphError(f"meta.memory of stage {stage.name} is {memory!r}; it must be a size such as 8g") from None
    return memory
