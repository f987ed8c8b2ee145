"""Run a task's command in a container of one Docker host: what PAGEFLIP_RUNNER=docker means.

Beside the variables of task_places.py:

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_DOCKER_URL | DOCKER_HOST, or the local socket | the Docker daemon (or list of them, with commas) |
| PAGEFLIP_DOCKER_CERTS | | a folder with ca.pem, cert.pem, key.pem for a daemon behind TLS |
| PAGEFLIP_DOCKER_NETWORK | Docker's own | what containers join; `host`: for servers on this host's loopback |
| PAGEFLIP_DOCKER_CONNECTION | | the Airflow connection with the registry's log-in |
| PAGEFLIP_TASK_VOLUME | pageflip-task | the volume with the state that tasks share: DVC's cache, above all |
| PAGEFLIP_TASK_USER | the image's | uid:gid, needed where folders are mounted that the image's user may not write |
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from airflow.providers.docker.exceptions import DockerContainerFailedException
from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount

from pageflip_dags import task_places
from pageflip_dags.mlflow_link import MlflowLink
from pageflip_dags.task_command import (
    TAIL_LINES,
    container_command,
    failure,
    full_verb,
    identity_digest,
    orchestrator_environment,
    unique_name,
)

LABEL = "org.pageflip.task"
STATE = "/var/lib/pageflip"  # the image's PAGEFLIP_HOME
SCRATCH = "/tmp/pageflip"
SHM_BYTES = 2**30  # what data loaders hand pictures over in
STOP_SECONDS = 2  # with all else within the 5 s after which Airflow kills the process that does the stopping
NO_GPU = re.compile(r"could not select device driver|nvidia-container-cli|unresolvable CDI", re.IGNORECASE)


class ContainerOperator(DockerOperator):
    """Run `python -m VERB... --run RUN [--index INDEX]` in a container of its own, which is gone when the task ends.

    Exit codes 65 and 78 fail the task for good, any other but 0 may be retried. With `gpus`, CUDA is probed first.
    """

    template_fields: Sequence[str] = ()  # nothing to render, so nothing of the environment on any page
    operator_extra_links = (MlflowLink(),)
    ui_color = "#e8f1f2"

    def __init__(
        self, *, verb: Sequence[str], index: int | None = None, gpus: int = 0, memory: str = "", **kwargs: Any
    ) -> None:
        gpus = task_places.gpus_asked(gpus)
        certificates = os.environ.get("PAGEFLIP_DOCKER_CERTS")
        urls = [url for url in (os.environ.get("PAGEFLIP_DOCKER_URL") or "").split(",") if url]
        super().__init__(
            image=task_places.required("PAGEFLIP_TASK_IMAGE", *task_places.ADDRESSES)["PAGEFLIP_TASK_IMAGE"],
            docker_url=urls or None,
            docker_conn_id=os.environ.get("PAGEFLIP_DOCKER_CONNECTION") or None,
            tls_ca_cert=f"{certificates}/ca.pem" if certificates else None,
            tls_client_cert=f"{certificates}/cert.pem" if certificates else None,
            tls_client_key=f"{certificates}/key.pem" if certificates else None,
            network_mode=os.environ.get("PAGEFLIP_DOCKER_NETWORK") or None,
            user=os.environ.get("PAGEFLIP_TASK_USER") or None,
            device_requests=[DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else None,
            mem_limit=task_places.memory_bytes(memory),
            cpus=task_places.cpus(),
            shm_size=SHM_BYTES,
            mount_tmp_dir=False,
            auto_remove="force",
            **kwargs,
        )
        self.verb = list(verb)
        self.index = index
        self.gpus = gpus
        self.do_xcom_push = False

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the command to its end in a new container."""
        self.prepare(context)
        self._remove_earlier_tries()
        self.log.info("Container %s of %s: %s", self.container_name, self.image, self.command)
        try:
            super().execute(context)
        except DockerContainerFailedException as error:
            match = re.search(r"'StatusCode': (\d+)", str(error))
            raise failure(int(match[1]) if match else 1, _tail(error.logs)) from None
        except APIError as error:
            raise self._explained(error) from error

    def prepare(self, context: Mapping[str, Any]) -> None:
        """Fill in what only the run knows: command, name, environment, mounts.

        Raises:
            AirflowSkipException: the run's form leaves this task out.
        """
        verb = full_verb(self.verb, self.index, context, published=True)
        self.command = container_command(verb, seconds=self.execution_timeout.total_seconds(), gpus=self.gpus)
        self.container_name = unique_name(context)
        self.labels = {LABEL: identity_digest(context)}
        told = orchestrator_environment(context)
        self.environment = task_places.plain_environment() | self._state_environment() | told
        self._private_environment = task_places.private_environment()
        self.mounts = self._mounts()

    def _state_environment(self) -> dict[str, str]:
        """Where the container keeps its own state, if not where its image does."""
        own = {"PAGEFLIP_HOME": SCRATCH, "PAGEFLIP_CACHE": f"{SCRATCH}/cache", "HOME": "/tmp"} if self.user else {}
        folder = task_places.sqlite_folder(os.environ["MLFLOW_TRACKING_URI"])
        # a local MLflow keeps artifacts in a folder of PAGEFLIP_HOME, which must be the same for all
        return own | ({"PAGEFLIP_HOME": str(folder)} if folder else {})

    def _mounts(self) -> list[Mount]:
        """Local folders at their own paths, and a place for the container's state that no anonymous volume takes."""
        for folder in task_places.folders():
            folder.mkdir(parents=True, exist_ok=True)
        mounts = [Mount(target=str(folder), source=str(folder), type="bind") for folder in task_places.folders()]
        if self.user:
            return [*mounts, Mount(target=STATE, source=None, type="tmpfs")]
        volume = os.environ.get("PAGEFLIP_TASK_VOLUME") or "pageflip-task"
        return [*mounts, Mount(target=STATE, source=volume, type="volume")]

    def _remove_earlier_tries(self) -> None:
        """Remove what is left of tries whose worker died: two trainings on one GPU would both run out of memory."""
        for container in self.cli.containers(all=True, filters={"label": f"{LABEL}={self.labels[LABEL]}"}):
            self.log.info("Removing %s, left over from an earlier try", container["Names"])
            with suppress(NotFound):
                self.cli.remove_container(container["Id"], force=True)

    def _explained(self, error: APIError) -> AirflowException:
        said = str(error.explanation or error)
        if self.gpus and NO_GPU.search(said):
            return AirflowFailException(
                f"this stage asks for {self.gpus} GPU(s) and the Docker host offers none: {said}. Install the NVIDIA "
                "container toolkit there, or set PAGEFLIP_TASK_GPU=off to run on the CPU"
            )
        if isinstance(error, ImageNotFound):
            return AirflowFailException(
                f"there is no image {self.image}: build it from docker/task.Dockerfile, or correct PAGEFLIP_TASK_IMAGE"
            )
        return AirflowException(f"the Docker daemon refused the container or lost it: {said}")

    def on_kill(self) -> None:
        """End and remove the container, also one that was only just made.

        Airflow calls this from a signal handler, perhaps in the middle of a request or of a write to the log: it asks
        the daemon through a client of its own, and does not log.
        """
        if not self.container_name:
            return
        with suppress(DockerException, AirflowException):
            client = type(self).hook.func(self).api_client
            with suppress(APIError):
                client.stop(self.container_name, timeout=STOP_SECONDS)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:  # a daemon still at making it knows no such name yet
                try:
                    client.remove_container(self.container_name, force=True)
                except NotFound:
                    return
                except APIError:
                    time.sleep(0.2)
                else:
                    return


def _tail(lines: Sequence[str | bytes] | None) -> list[str]:
    texts = [line.decode(errors="replace") if isinstance(line, bytes) else line for line in lines or ()]
    return [text for text in texts if text][-TAIL_LINES:]
