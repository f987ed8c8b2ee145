"""Environment variables, secrets, volume mounts and resource limits of task containers and pods.

Containers share no working tree, so each of these addresses must be set:

| variable | what |
| --- | --- |
| PAGEFLIP_TASK_IMAGE | the image built from docker/task.Dockerfile |
| PAGEFLIP_REMOTE, PAGEFLIP_STORE, PAGEFLIP_UPLOADS, PAGEFLIP_RESULTS, MLFLOW_TRACKING_URI | addresses |
| PAGEFLIP_TASK_CONNECTION | optional: the Airflow connection with the S3 keys and other secrets |
| PAGEFLIP_TASK_MEMORY | memory limit of tasks whose stage sets none (4g) |
| PAGEFLIP_TASK_CPUS | CPU shares of a task, in cores (2) |
| PAGEFLIP_TASK_GPU | `off`: stages that request a GPU run without one |
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

IMAGE = "PAGEFLIP_TASK_IMAGE"
ADDRESSES = (
    "PAGEFLIP_REMOTE",
    "PAGEFLIP_STORE",
    "PAGEFLIP_UPLOADS",
    "PAGEFLIP_RESULTS",
    "MLFLOW_TRACKING_URI",
)
SETTINGS = (
    "MLFLOW_EXPERIMENT_NAME",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "MLFLOW_S3_ENDPOINT_URL",
    "PAGEFLIP_TRACEBACK",
)
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
SQLITE = "sqlite:///"
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
DEFAULT_MEMORY = "4g"


@dataclass(frozen=True)
class Resources:
    """Resource limits of a task's container: number of GPUs, bytes of memory, and cores as CPU shares."""

    gpus: int
    memory: int
    cpus: float


def task_image() -> str:
    """Return the task image, after checking that every variable that a container needs is set.

    Raises:
        ValueError: Variables are missing; the message lists them.
    """
    return _required(IMAGE, *ADDRESSES)[IMAGE]


def task_resources(gpus: int, memory: str) -> Resources:
    """Return the resource limits for what a stage requests.

    Args:
        gpus: Number of GPUs; none are used if PAGEFLIP_TASK_GPU is `off`.
        memory: Size such as 8g; empty for PAGEFLIP_TASK_MEMORY.

    Raises:
        ValueError: PAGEFLIP_TASK_GPU, PAGEFLIP_TASK_MEMORY, PAGEFLIP_TASK_CPUS or `memory` is malformed.
    """
    return Resources(gpus=gpus if _gpus_enabled() else 0, memory=memory_bytes(memory), cpus=_cpus())


def memory_bytes(text: str) -> int:
    """Convert a size such as 8g or 512m to bytes; an empty one stands for PAGEFLIP_TASK_MEMORY.

    Raises:
        ValueError: The text is not a size.
    """
    size = text or os.environ.get("PAGEFLIP_TASK_MEMORY") or DEFAULT_MEMORY
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg])b?", size.strip().lower())
    if not match:
        raise ValueError(f"the memory {size!r} is not a size: write it as 8g or 512m")
    return round(float(match[1]) * UNITS[match[2]])


def public_environment() -> dict[str, str]:
    """Return the addresses and settings, except for values that contain a password."""
    return {name: value for name, value in _addresses_and_settings().items() if not _has_password(value)}


def private_environment() -> dict[str, str]:
    """Return the secrets of this process, overridden by those of the Airflow connection PAGEFLIP_TASK_CONNECTION.

    The connection's login and password are the S3 keys; its extra may hold endpoint_url, region_name,
    aws_session_token, and an object `environment` with more variables.
    """
    private = {name: value for name, value in _addresses_and_settings().items() if _has_password(value)}
    private |= _set_variables(SECRETS)
    connection_id = os.environ.get("PAGEFLIP_TASK_CONNECTION")
    return private | _connection_environment(connection_id) if connection_id else private


def local_folders() -> list[Path]:
    """Return the local folders among the addresses (for an SQLite database, the one that contains it).

    Folders inside another one of them are left out: mounting the outer one suffices.
    """
    folders = []
    for name, address in _required(*ADDRESSES).items():
        folder = sqlite_folder(address) if name == "MLFLOW_TRACKING_URI" else _local_folder(address)
        if folder is not None:
            folders.append(folder)
    return [folder for folder in dict.fromkeys(folders) if not any(other in folder.parents for other in folders)]


def sqlite_folder(address: str) -> Path | None:
    """Return the folder of an SQLite database; None for a server."""
    return Path(address.removeprefix(SQLITE)).absolute().parent if address.startswith(SQLITE) else None


def _required(*names: str) -> dict[str, str]:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"PAGEFLIP_RUNNER={os.environ.get('PAGEFLIP_RUNNER')} needs {', '.join(missing)}: containers share no "
            "folder, so they need the addresses of image, data, runs and models: see "
            "docs/reference/environment-variables.md"
        )
    return {name: os.environ[name] for name in names}


def _gpus_enabled() -> bool:
    switch = os.environ.get("PAGEFLIP_TASK_GPU") or "on"
    if switch not in ("on", "off"):
        raise ValueError(f"PAGEFLIP_TASK_GPU is {switch!r}; it must be on or off")
    return switch == "on"


def _cpus() -> float:
    text = os.environ.get("PAGEFLIP_TASK_CPUS") or "2"
    try:
        cpus = float(text)
    except ValueError:
        cpus = 0.0
    if not 0 < cpus < float("inf"):
        raise ValueError(f"PAGEFLIP_TASK_CPUS is {text!r}; it must be a number above 0")
    return cpus


def _addresses_and_settings() -> dict[str, str]:
    return {**_required(*ADDRESSES), **_set_variables(SETTINGS)}


def _connection_environment(connection_id: str) -> dict[str, str]:
    connection = Connection.get(connection_id)
    extra: Mapping = connection.extra_dejson
    values = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
        "AWS_DEFAULT_REGION": extra.get("region_name"),
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        **(extra.get("environment") or {}),
    }
    environment = {name: str(value) for name, value in values.items() if value}
    for name, value in environment.items():
        if name not in SETTINGS:
            mask_secret(value)
    return environment


def _local_folder(address: str) -> Path | None:
    if "://" not in address:
        return Path(address).expanduser().absolute()
    return Path(address.removeprefix("file://")) if address.startswith("file://") else None


def _set_variables(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _has_password(value: str) -> bool:
    return bool(re.search(r"://[^/@:\s]*:[^/@\s]+@", value))
