"""Run a task's command in a container on a Docker host (PAGEFLIP_RUNNER=docker).

Besides the variables of task_environment.py:

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_DOCKER_URL | DOCKER_HOST, or the local socket | the Docker daemon, or a comma-separated list of them |
| PAGEFLIP_DOCKER_CERTS | | a folder with ca.pem, cert.pem, key.pem for a daemon behind TLS |
| PAGEFLIP_DOCKER_NETWORK | Docker's default | the containers' network; `host`: for servers on this host's loopback |
| PAGEFLIP_DOCKER_CONNECTION | | the Airflow connection with the registry's login |
| PAGEFLIP_TASK_VOLUME | pageflip-task | the volume with the state that tasks share, such as DVC's cache |
| PAGEFLIP_TASK_USER | the image's | uid:gid, needed if the image's user may not write to the mounted folders |
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.hooks.docker import DockerHook
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount

from pageflip_dags import task_environment
from pageflip_dags.task_command import (
    TAIL_LINES,
    container_command,
    failure,
    identity_digest,
    module_arguments,
    orchestrator_environment,
    unique_name,
)
from pageflip_dags.verb_operator import VerbOperator

LABEL = "org.pageflip.task"
STATE = "/var/lib/pageflip"  # the image's PAGEFLIP_HOME
SCRATCH = "/tmp/pageflip"
SHM_BYTES = 2**30  # data loaders pass pictures through shared memory
STOP_SECONDS = 2  # with removal, within the 5 s after which Airflow kills the process that runs on_kill
NO_GPU = re.compile(r"could not select device driver|nvidia-container-cli|unresolvable CDI", re.IGNORECASE)


class ContainerOperator(VerbOperator, DockerOperator):
    """Run a verb in a container of its own, which is removed when the task ends. With `gpus`, probe CUDA first."""

    def __init__(self, *, gpus: int = 0, memory: str = "", **kwargs: Any) -> None:
        resources = task_environment.task_resources(gpus, memory)
        certificates = os.environ.get("PAGEFLIP_DOCKER_CERTS")
        urls = [url for url in (os.environ.get("PAGEFLIP_DOCKER_URL") or "").split(",") if url]
        super().__init__(
            image=task_environment.task_image(),
            docker_url=urls or None,
            docker_conn_id=os.environ.get("PAGEFLIP_DOCKER_CONNECTION") or None,
            tls_ca_cert=f"{certificates}/ca.pem" if certificates else None,
            tls_client_cert=f"{certificates}/cert.pem" if certificates else None,
            tls_client_key=f"{certificates}/key.pem" if certificates else None,
            network_mode=os.environ.get("PAGEFLIP_DOCKER_NETWORK") or None,
            user=os.environ.get("PAGEFLIP_TASK_USER") or None,
            device_requests=[DeviceRequest(count=resources.gpus, capabilities=[["gpu"]])] if resources.gpus else None,
            mem_limit=resources.memory,
            cpus=resources.cpus,
            shm_size=SHM_BYTES,
            mount_tmp_dir=False,
            auto_remove="force",
            **kwargs,
        )
        self.gpus = resources.gpus

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the command in a new container and wait for its end."""
        self._configure(context)
        self._remove_earlier_tries()
        self.log.info("Container %s of %s: %s", self.container_name, self.image, self.command)
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            match = re.search(r"'StatusCode': (\d+)", str(error))
            raise failure(int(match[1]) if match else 1, _tail(error.logs)) from None
        except APIError as error:
            raise self._explain(error) from error

    def _configure(self, context: Mapping[str, Any]) -> None:
        """Set what depends on the run: command, name, environment, mounts."""
        arguments = module_arguments(self.verb, self.index, context, published=True)
        self.command = container_command(arguments, seconds=self.execution_timeout.total_seconds(), gpus=self.gpus)
        self.container_name = unique_name(context)
        self.labels = {LABEL: identity_digest(context)}
        self.environment = (
            task_environment.public_environment() | self._state_environment() | orchestrator_environment(context)
        )
        self._private_environment = task_environment.private_environment()
        self.mounts = self._mounts()

    def _state_environment(self) -> dict[str, str]:
        """Return where the container keeps its state, if that differs from the image's default."""
        own = {"PAGEFLIP_HOME": SCRATCH, "PAGEFLIP_CACHE": f"{SCRATCH}/cache", "HOME": "/tmp"} if self.user else {}
        folder = task_environment.sqlite_folder(os.environ["MLFLOW_TRACKING_URI"])
        # a local MLflow keeps artifacts in a folder of PAGEFLIP_HOME, which must be the same for all tasks
        return own | ({"PAGEFLIP_HOME": str(folder)} if folder else {})

    def _mounts(self) -> list[Mount]:
        """Mount local folders at their own paths, and a named place for the state, instead of an anonymous volume."""
        folders = task_environment.local_folders()
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        mounts = [Mount(target=str(folder), source=str(folder), type="bind") for folder in folders]
        if self.user:
            return [*mounts, Mount(target=STATE, source=None, type="tmpfs")]
        volume = os.environ.get("PAGEFLIP_TASK_VOLUME") or "pageflip-task"
        return [*mounts, Mount(target=STATE, source=volume, type="volume")]

    def _remove_earlier_tries(self) -> None:
        """Remove containers of tries whose worker died: two trainings on one GPU would both run out of memory."""
        for container in self.cli.containers(all=True, filters={"label": f"{LABEL}={self.labels[LABEL]}"}):
            self.log.info("Removing %s, left over from an earlier try", container["Names"])
            with suppress(NotFound):
                self.cli.remove_container(container["Id"], force=True)

    def _explain(self, error: APIError) -> AirflowException:
        message = str(error.explanation or error)
        if self.gpus and NO_GPU.search(message):
            return AirflowFailException(
                f"this stage requests {self.gpus} GPU(s), but the Docker host has none: {message}. Install the NVIDIA "
                "container toolkit there, or set PAGEFLIP_TASK_GPU=off to run on the CPU"
            )
        if isinstance(error, ImageNotFound):
            return AirflowFailException(
                f"there is no image {self.image}: build it from docker/task.Dockerfile, or correct PAGEFLIP_TASK_IMAGE"
            )
        return AirflowException(f"the Docker daemon could not start the container, or lost it: {message}")

    def on_kill(self) -> None:
        """Stop and remove the container.

        The provider's own method does not suffice. It waits up to 10 s for the container to stop, but Airflow kills
        this process after 5 s; it ignores a container whose creation is still under way; after a timeout, it raises
        NotFound for the container that was removed just before; and it logs and uses the operator's client. Airflow
        calls this method from a signal handler, possibly during a write to the log or a request of that client.
        """
        if not self.container_name:
            return
        with suppress(DockerException, AirflowException):
            client = self._new_hook().api_client
            with suppress(APIError):
                client.stop(self.container_name, timeout=STOP_SECONDS)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                try:
                    client.remove_container(self.container_name, force=True)
                except NotFound:
                    if self.container is not None:  # else the daemon may still be creating it
                        return
                    time.sleep(0.2)
                except APIError:
                    time.sleep(0.2)
                else:
                    return

    def _new_hook(self) -> DockerHook:
        return type(self).hook.func(self)


def _tail(lines: Sequence[str | bytes] | None) -> list[str]:
    texts = [line.decode(errors="replace") if isinstance(line, bytes) else line for line in lines or ()]
    return [text for text in texts if text][-TAIL_LINES:]
