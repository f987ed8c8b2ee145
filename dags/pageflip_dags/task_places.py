"""What a container is told of the places its task works with: addresses, settings, secrets, folders to mount.

Containers share no working tree, so each of these must be given:

| variable | what |
| --- | --- |
| PAGEFLIP_TASK_IMAGE | the image of docker/task.Dockerfile |
| PAGEFLIP_REMOTE, PAGEFLIP_STORE, PAGEFLIP_UPLOADS, PAGEFLIP_RESULTS, MLFLOW_TRACKING_URI | addresses |
| PAGEFLIP_TASK_CONNECTION | optional: the Airflow connection with the S3 keys and other secrets |
| PAGEFLIP_TASK_MEMORY | memory of a task whose stage names none (4g) |
| PAGEFLIP_TASK_CPUS | cores that a task is given in shares (2) |
| PAGEFLIP_TASK_GPU | `off`: stages that ask for a GPU run without one |
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

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


def required(*names: str) -> dict[str, str]:
    """The values of variables that must be set.

    Raises:
        ValueError: names the ones that are not, and why they must be.
    """
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"PAGEFLIP_RUNNER={os.environ.get('PAGEFLIP_RUNNER')} needs {', '.join(missing)}: containers share no "
            "folder, so each must be told where image, data, runs and models are: see "
            "docs/reference/environment-variables.md"
        )
    return {name: os.environ[name] for name in names}


def memory_bytes(text: str) -> int:
    """A size such as 8g or 512m in bytes; an empty one is PAGEFLIP_TASK_MEMORY.

    Raises:
        ValueError: it is no size.
    """
    given = text or os.environ.get("PAGEFLIP_TASK_MEMORY") or DEFAULT_MEMORY
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg])b?", given.strip().lower())
    if not match:
        raise ValueError(f"the memory {given!r} is no size: write it as 8g or 512m")
    return round(float(match[1]) * UNITS[match[2]])


def cpus() -> float:
    """PAGEFLIP_TASK_CPUS as a number.

    Raises:
        ValueError: it is none, or not above 0.
    """
    text = os.environ.get("PAGEFLIP_TASK_CPUS") or "2"
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"PAGEFLIP_TASK_CPUS is {text!r}; it must be a number above 0")
    return value


def gpus_asked(number: int) -> int:
    """The GPUs that a task gets: what its stage asks for, or none where PAGEFLIP_TASK_GPU is `off`.

    Raises:
        ValueError: the variable is neither `on` nor `off`.
    """
    switch = os.environ.get("PAGEFLIP_TASK_GPU") or "on"
    if switch not in ("on", "off"):
        raise ValueError(f"PAGEFLIP_TASK_GPU is {switch!r}; it must be on or off")
    return number if switch == "on" else 0


def plain_environment() -> dict[str, str]:
    """Addresses and settings; one that carries a password is left to `private_environment`."""
    values = {**required(*ADDRESSES), **_given(SETTINGS)}
    return {name: value for name, value in values.items() if not _has_password(value)}


def private_environment() -> dict[str, str]:
    """Secrets: this process's own, and over them those of the Airflow connection PAGEFLIP_TASK_CONNECTION.

    A connection's login and password are the S3 keys; its extra may hold endpoint_url, region_name, aws_session_token,
    and an object `environment` of more variables.
    """
    values = {**required(*ADDRESSES), **_given(SETTINGS)}
    private = {name: value for name, value in values.items() if _has_password(value)} | _given(SECRETS)
    name = os.environ.get("PAGEFLIP_TASK_CONNECTION")
    return private | _connection_environment(name) if name else private


def _connection_environment(name: str) -> dict[str, str]:
    from airflow.sdk import Connection
    from airflow.sdk.log import mask_secret

    connection = Connection.get(name)
    extra: Mapping = connection.extra_dejson
    values = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
        "AWS_DEFAULT_REGION": extra.get("region_name"),
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        **(extra.get("environment") or {}),
    }
    found = {name: str(value) for name, value in values.items() if value}
    for name, value in found.items():
        if name not in SETTINGS:
            mask_secret(value)
    return found


def folders() -> list[Path]:
    """The local folders among the addresses, made where they are missing; a database's is the one it lies in."""
    found = []
    for name, address in required(*ADDRESSES).items():
        folder = sqlite_folder(address) if name == "MLFLOW_TRACKING_URI" else _local_folder(address)
        if folder is not None:
            found.append(folder)
    # a mount below another one would hide nothing, but needs no second mount either
    return [folder for folder in dict.fromkeys(found) if not any(other in folder.parents for other in found)]


def sqlite_folder(address: str) -> Path | None:
    """The folder of an SQLite database; None for a server."""
    return Path(address.removeprefix(SQLITE)).absolute().parent if address.startswith(SQLITE) else None


def _local_folder(address: str) -> Path | None:
    if "://" not in address:
        return Path(address).expanduser().absolute()
    return Path(address.removeprefix("file://")) if address.startswith("file://") else None


def _given(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _has_password(value: str) -> bool:
    return bool(re.search(r"://[^/@:\s]*:[^/@\s]+@", value))
