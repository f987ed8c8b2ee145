"""Run a task's command in a Kubernetes pod (PAGEFLIP_RUNNER=kubernetes).

Besides the variables of task_environment.py:

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_POD_TEMPLATE | PROJECT/docker/pod-template.yaml | what all pods have in common |
| PAGEFLIP_POD_NAMESPACE | the template's, or the connection's | the namespace of the pods |
| PAGEFLIP_POD_SECRET | | the Secret whose entries become environment variables (S3 keys and such) |
| PAGEFLIP_POD_NODES | | node selector, as key=value,key=value |
| PAGEFLIP_POD_TOLERATIONS | | tolerations, as a comma-separated list of key[=value][:effect] |
| PAGEFLIP_POD_GPU_NODES, PAGEFLIP_POD_GPU_TOLERATIONS | , nvidia.com/gpu | the same, added for stages with a GPU |
| PAGEFLIP_POD_START_SECONDS | 600 | how long a pod may wait for a node and its image |
| PAGEFLIP_KUBERNETES_CONNECTION | the surrounding cluster, or KUBECONFIG | an Airflow connection to the cluster |
"""

import os
from collections.abc import Mapping
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.container import get_container_termination_message
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s

from pageflip_dags import task_environment
from pageflip_dags.task_command import (
    TAIL_LINES,
    container_command,
    failure,
    module_arguments,
    orchestrator_environment,
    project_root,
    task_id,
)
from pageflip_dags.task_environment import Resources
from pageflip_dags.verb_operator import VerbOperator

GPU_RESOURCE = "nvidia.com/gpu"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
CONTAINER = "base"
MAX_NAME_LENGTH = 40  # Airflow adds a suffix; pod names have at most 63 characters


class PodOperator(VerbOperator, KubernetesPodOperator):
    """Run a verb in a pod of its own, which is deleted when the task ends. With `gpus`, probe CUDA first."""

    def __init__(self, *, gpus: int = 0, memory: str = "", **kwargs: Any) -> None:
        resources = task_environment.task_resources(gpus, memory)
        start_seconds = _positive("PAGEFLIP_POD_START_SECONDS", 600)
        super().__init__(
            image=task_environment.task_image(),
            kubernetes_conn_id=os.environ.get("PAGEFLIP_KUBERNETES_CONNECTION") or None,
            namespace=os.environ.get("PAGEFLIP_POD_NAMESPACE") or None,
            pod_template_file=os.environ.get("PAGEFLIP_POD_TEMPLATE")
            or str(project_root() / "docker" / "pod-template.yaml"),
            container_resources=_resource_requirements(resources),
            node_selector=_node_selector(resources.gpus) or None,
            tolerations=_tolerations(resources.gpus) or None,
            env_from=_secret_source(),
            schedule_timeout_seconds=start_seconds,
            startup_timeout_seconds=start_seconds,
            base_container_name=CONTAINER,
            on_finish_action="delete_pod",
            on_kill_action="delete_pod",
            termination_message_policy="FallbackToLogsOnError",
            container_name_log_prefix_enabled=False,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            **kwargs,
        )
        self.gpus = resources.gpus
        self.start_seconds = start_seconds
        _reject_local_folders()

    def build_pod_request_obj(self, context: Mapping[str, Any] | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """Return the pod for this run.

        Raises:
            AirflowSkipException: The trigger form excludes this task.
        """
        arguments = module_arguments(self.verb, self.index, context or {"run_id": "dry-run"}, published=True)
        seconds = self.execution_timeout.total_seconds()
        # as arguments, so that the image's entry point still runs: it forwards signals
        self.arguments = container_command(arguments, seconds=seconds, gpus=self.gpus)
        self.active_deadline_seconds = round(seconds) + self.start_seconds  # enforced by the kubelet as a last resort
        name = f"pageflip-{task_id(self.task_id)}".replace("_", "-").replace(".", "-").lower()
        self.name = name[:MAX_NAME_LENGTH].rstrip("-")
        environment = _public_environment() | orchestrator_environment(context or {})
        self.env_vars = [k8s.V1EnvVar(name=name, value=value) for name, value in sorted(environment.items())]
        return super().build_pod_request_obj(context, dry_run=dry_run)

    def cleanup(self, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, *args: Any, **kwargs: Any) -> None:
        """Delete the pod, and raise the exception for the exit code of the task's container."""
        try:
            super().cleanup(pod, remote_pod, *args, **kwargs)
        except AirflowException as error:
            code = exit_code(remote_pod)
            if code:
                message = get_container_termination_message(remote_pod, CONTAINER) or ""
                raise failure(code, str(message).splitlines()[-TAIL_LINES:]) from error
            raise


def exit_code(pod: k8s.V1Pod | None) -> int | None:
    """Return the exit code of the task's container; None if it has not ended, or if its status is unknown."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    for status in statuses:
        if status.name == CONTAINER and status.state and status.state.terminated:
            return status.state.terminated.exit_code
    return None


def _public_environment() -> dict[str, str]:
    """Return addresses and settings. Secrets come from a Secret of the cluster, never from a pod's definition."""
    environment = task_environment.public_environment()
    secret = sorted(set(task_environment.ADDRESSES) - set(environment))
    if secret and not os.environ.get("PAGEFLIP_POD_SECRET"):
        raise ValueError(
            f"{', '.join(secret)} contains a password: put it into the Secret that PAGEFLIP_POD_SECRET names"
        )
    return environment


def _reject_local_folders() -> None:
    folders = task_environment.local_folders()
    if folders:
        raise ValueError(
            f"PAGEFLIP_RUNNER=kubernetes cannot use the folders {', '.join(map(str, folders))}: pods run on any node, "
            "so set s3:// addresses and the address of an MLflow server"
        )


def _resource_requirements(resources: Resources) -> k8s.V1ResourceRequirements:
    limits = {"memory": str(resources.memory)} | ({GPU_RESOURCE: str(resources.gpus)} if resources.gpus else {})
    return k8s.V1ResourceRequirements(limits=limits, requests={**limits, "cpu": f"{resources.cpus:g}"})


def _node_selector(gpus: int) -> dict[str, str]:
    variables = ["PAGEFLIP_POD_NODES", *(["PAGEFLIP_POD_GPU_NODES"] if gpus else [])]
    selector: dict[str, str] = {}
    for variable in variables:
        for part in _parts(variable):
            key, separator, value = part.partition("=")
            if not key or not separator:
                raise ValueError(f"{variable} has {part!r}; write it as key=value,key=value")
            selector[key] = value
    return selector


def _tolerations(gpus: int) -> list[k8s.V1Toleration]:
    parts = _parts("PAGEFLIP_POD_TOLERATIONS")
    if gpus:
        parts += _parts("PAGEFLIP_POD_GPU_TOLERATIONS", GPU_RESOURCE)
    return [_parse_toleration(part) for part in parts]


def _parse_toleration(text: str) -> k8s.V1Toleration:
    taint, _, effect = text.partition(":")
    key, separator, value = taint.partition("=")
    if not key or (effect and effect not in EFFECTS):
        raise ValueError(f"{text!r} is not a toleration; write it as key[=value][:effect], with one of {EFFECTS}")
    return k8s.V1Toleration(
        key=key,
        operator="Equal" if separator else "Exists",
        value=value if separator else None,
        effect=effect or None,
    )


def _secret_source() -> list[k8s.V1EnvFromSource]:
    name = os.environ.get("PAGEFLIP_POD_SECRET")
    return [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name))] if name else []


def _parts(variable: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(variable, default).split(",") if part.strip()]


def _positive(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} is {text!r}; it must be a number of seconds, 1 or more")
    return int(text)
