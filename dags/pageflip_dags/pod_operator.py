"""Run a task's command in a pod: what PAGEFLIP_RUNNER=kubernetes means.

Beside the variables of task_places.py:

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_POD_TEMPLATE | PROJECT/docker/pod-template.yaml | what every pod has |
| PAGEFLIP_POD_NAMESPACE | the template's, or the connection's | where pods run |
| PAGEFLIP_POD_SECRET | | the Secret whose entries become the tasks' environment (S3 keys and such) |
| PAGEFLIP_POD_NODES | | node selector, as key=value,key=value |
| PAGEFLIP_POD_TOLERATIONS | | taints to tolerate, as key[=value][:effect], with commas |
| PAGEFLIP_POD_GPU_NODES, PAGEFLIP_POD_GPU_TOLERATIONS | , nvidia.com/gpu | the same, added for stages with a GPU |
| PAGEFLIP_POD_START_SECONDS | 600 | how long a pod may wait for a node and its image |
| PAGEFLIP_KUBERNETES_CONNECTION | the cluster around, or KUBECONFIG | an Airflow connection to the cluster |
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.container import get_container_termination_message
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s

from pageflip_dags import task_places
from pageflip_dags.mlflow_link import MlflowLink
from pageflip_dags.task_command import (
    TAIL_LINES,
    container_command,
    failure,
    full_verb,
    orchestrator_environment,
    project_root,
    task_id,
)

GPU_RESOURCE = "nvidia.com/gpu"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
CONTAINER = "base"


class PodOperator(KubernetesPodOperator):
    """Run `python -m VERB... --run RUN [--index INDEX]` in a pod of its own, which is deleted when the task ends.

    Exit codes 65 and 78 fail the task for good, any other but 0 may be retried. With `gpus`, CUDA is probed first.
    """

    template_fields: Sequence[str] = ()  # nothing to render, so nothing of the environment on any page
    operator_extra_links = (MlflowLink(),)
    ui_color = "#e8f1f2"

    def __init__(
        self, *, verb: Sequence[str], index: int | None = None, gpus: int = 0, memory: str = "", **kwargs: Any
    ) -> None:
        gpus = task_places.gpus_asked(gpus)
        start = _positive("PAGEFLIP_POD_START_SECONDS", 600)
        super().__init__(
            image=task_places.required("PAGEFLIP_TASK_IMAGE", *task_places.ADDRESSES)["PAGEFLIP_TASK_IMAGE"],
            kubernetes_conn_id=os.environ.get("PAGEFLIP_KUBERNETES_CONNECTION") or None,
            namespace=os.environ.get("PAGEFLIP_POD_NAMESPACE") or None,
            pod_template_file=os.environ.get("PAGEFLIP_POD_TEMPLATE")
            or str(project_root() / "docker" / "pod-template.yaml"),
            container_resources=_resources(gpus, task_places.memory_bytes(memory)),
            node_selector=_nodes(gpus) or None,
            tolerations=_tolerations(gpus) or None,
            env_from=_secrets(),
            schedule_timeout_seconds=start,
            startup_timeout_seconds=start,
            base_container_name=CONTAINER,
            on_finish_action="delete_pod",
            on_kill_action="delete_pod",
            termination_message_policy="FallbackToLogsOnError",
            container_name_log_prefix_enabled=False,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            do_xcom_push=False,
            **{key: value for key, value in kwargs.items() if key != "do_xcom_push"},
        )
        self.verb = list(verb)
        self.index = index
        self.gpus = gpus
        self.start_seconds = start
        _refuse_folders()

    def build_pod_request_obj(self, context: Mapping[str, Any] | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """The pod for this run.

        Raises:
            AirflowSkipException: the run's form leaves this task out.
        """
        verb = full_verb(self.verb, self.index, context or {"run_id": "dry-run"}, published=True)
        seconds = self.execution_timeout.total_seconds()
        # arguments, not a command of its own: the image's entry point hands signals on
        self.arguments = container_command(verb, seconds=seconds, gpus=self.gpus)
        self.active_deadline_seconds = round(seconds) + self.start_seconds  # the kubelet's, should all else fail
        self.name = f"pageflip-{task_id(self.task_id)}".replace("_", "-").replace(".", "-").lower()[:40].rstrip("-")
        told = _environment() | orchestrator_environment(context or {})
        self.env_vars = [k8s.V1EnvVar(name=name, value=value) for name, value in sorted(told.items())]
        return super().build_pod_request_obj(context, dry_run=dry_run)

    def cleanup(self, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, *args: Any, **kwargs: Any) -> None:
        """Delete the pod; what its exit code stands for is what fails the task."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowException as error:
            code = exit_code(remote_pod)
            if code:
                said = get_container_termination_message(remote_pod, CONTAINER) or ""
                raise failure(code, str(said).splitlines()[-TAIL_LINES:]) from error
            raise


def exit_code(pod: k8s.V1Pod | None) -> int | None:
    """What the task's container ended with; None while it has not, or where nobody knows."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    for status in statuses:
        if status.name == CONTAINER and status.state and status.state.terminated:
            return status.state.terminated.exit_code
    return None


def _environment() -> dict[str, str]:
    """Addresses and settings. Secrets come out of the cluster's own Secret, never through a pod's definition."""
    values = task_places.plain_environment()
    hidden = sorted(set(task_places.ADDRESSES) - set(values))
    if hidden and not os.environ.get("PAGEFLIP_POD_SECRET"):
        raise ValueError(f"{', '.join(hidden)} holds a password: put it into the Secret that PAGEFLIP_POD_SECRET names")
    return values


def _refuse_folders() -> None:
    folders = task_places.folders()
    if folders:
        raise ValueError(
            f"PAGEFLIP_RUNNER=kubernetes cannot use the folders {', '.join(map(str, folders))}: pods run on any node, "
            "so give s3:// addresses and the address of an MLflow server"
        )


def _resources(gpus: int, memory: int) -> k8s.V1ResourceRequirements:
    limits = {"memory": str(memory)} | ({GPU_RESOURCE: str(gpus)} if gpus else {})
    return k8s.V1ResourceRequirements(limits=limits, requests={**limits, "cpu": f"{task_places.cpus():g}"})


def _nodes(gpus: int) -> dict[str, str]:
    names = ["PAGEFLIP_POD_NODES", *(["PAGEFLIP_POD_GPU_NODES"] if gpus else [])]
    found: dict[str, str] = {}
    for name in names:
        for part in _parts(name):
            key, separator, value = part.partition("=")
            if not key or not separator:
                raise ValueError(f"{name} has {part!r}; write it as key=value,key=value")
            found[key] = value
    return found


def _tolerations(gpus: int) -> list[k8s.V1Toleration]:
    parts = _parts("PAGEFLIP_POD_TOLERATIONS")
    if gpus:
        parts += _parts("PAGEFLIP_POD_GPU_TOLERATIONS", GPU_RESOURCE)
    return [_toleration(part) for part in parts]


def _toleration(text: str) -> k8s.V1Toleration:
    taint, _, effect = text.partition(":")
    key, separator, value = taint.partition("=")
    if not key or (effect and effect not in EFFECTS):
        raise ValueError(f"{text!r} is no taint to tolerate; write it as key[=value][:effect], one of {EFFECTS}")
    return k8s.V1Toleration(
        key=key,
        operator="Equal" if separator else "Exists",
        value=value if separator else None,
        effect=effect or None,
    )


def _secrets() -> list[k8s.V1EnvFromSource]:
    name = os.environ.get("PAGEFLIP_POD_SECRET")
    return [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name))] if name else []


def _parts(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _positive(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} is {text!r}; it must be a number of seconds, 1 or more")
    return int(text)
