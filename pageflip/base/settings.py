"""Environment variables of pageflip, with their defaults: the one module that reads them, except to pass them on.

docs/reference/environment-variables.md lists them all, those of the DAGs included. Each function reads the environment
when it is called, never at import. Addresses are folders, file:// or s3:// (with AWS_ENDPOINT_URL for any S3 server);
relative folders are made absolute, since stages run in folders of their own.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pageflip.base.errors import ConfigError

SQLITE = "sqlite:///"
OUTCOME_VARIABLE = "PAGEFLIP_OUTCOME_FILE"


@dataclass(frozen=True)
class AirflowLogin:
    """Address of an Airflow's API, and a user of it."""

    url: str
    user: str
    password: str


def project_root() -> Path:
    """Find the nearest folder, from the working one upwards, that holds dvc.yaml and params.yaml.

    Raises:
        ConfigError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file():
            return folder
    raise ConfigError(
        f"no pageflip project (a folder with dvc.yaml and params.yaml) at or above {here}",
        "change into the project's folder, or set PAGEFLIP_HOME and the addresses named in "
        "docs/reference/environment-variables.md.",
    )


def services_project() -> Path:
    """Return the project that the local services work for: PAGEFLIP_PROJECT, or the project of the working folder."""
    value = os.environ.get("PAGEFLIP_PROJECT")
    return Path(value).absolute() if value else project_root()


def pipeline_python() -> Path | None:
    """Return PAGEFLIP_PYTHON, the interpreter of the pipeline's environment; None where it is not set."""
    value = os.environ.get("PAGEFLIP_PYTHON")
    return Path(value) if value else None


# --- addresses


def home() -> Path:
    """Return the folder of all local state."""
    value = os.environ.get("PAGEFLIP_HOME")
    return Path(value).expanduser().absolute() if value else project_root() / ".pageflip"


def store_url() -> str:
    """Return the address of the run store."""
    return _address("PAGEFLIP_STORE") or str(home() / "runs")


def uploads_url() -> str:
    """Return the address where uploads arrive."""
    return configured_uploads_url() or str(home() / "uploads")


def configured_uploads_url() -> str | None:
    """Return the address of PAGEFLIP_UPLOADS; None where it is not set."""
    return _address("PAGEFLIP_UPLOADS")


def results_url() -> str:
    """Return the address where scoring results are published."""
    return _address("PAGEFLIP_RESULTS") or str(home() / "results")


def remote_url() -> str | None:
    """Return the address of PAGEFLIP_REMOTE, the DVC remote of a run's stages; None for the one in .dvc/config."""
    return _address("PAGEFLIP_REMOTE")


def cache_folder() -> str | None:
    """Return PAGEFLIP_CACHE, the DVC cache of this machine; None for the one in .dvc/config."""
    return _address("PAGEFLIP_CACHE")


def s3_endpoint() -> str | None:
    """Return the address of the S3 server; None for AWS itself."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def temporary_folder() -> Path | None:
    """Return TMPDIR; None where it is not set."""
    value = os.environ.get("TMPDIR")
    return Path(value) if value else None


# --- MLflow


def tracking_uri() -> str:
    """Return the address of MLflow's tracking server or database, which holds the model registry too."""
    value = configured_tracking_uri()
    if value and value.startswith(SQLITE):
        return SQLITE + str(Path(value.removeprefix(SQLITE)).absolute())
    return value or f"{SQLITE}{home() / 'mlflow.db'}"


def configured_tracking_uri() -> str | None:
    """Return MLFLOW_TRACKING_URI as it is written; None where it is not set."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def experiment_name() -> str:
    """Return the MLflow experiment of the training runs."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pageflip"


def mlflow_pages_url() -> str:
    """Return the address of MLflow's pages for a browser: PAGEFLIP_MLFLOW_PAGES, or the tracking server's."""
    return (os.environ.get("PAGEFLIP_MLFLOW_PAGES") or tracking_uri()).rstrip("/")


# --- Airflow


def orchestrator_tags() -> dict[str, str]:
    """Return the tags of an MLflow run that lead to the Airflow task which logs to it; empty outside Airflow.

    `airflow.TASK` holds the id of the DAG run, so that several tasks may tag the same MLflow run.
    """
    dag, run, task, url = (os.environ.get(f"PAGEFLIP_ORCHESTRATOR_{name}") for name in ("DAG", "RUN", "TASK", "URL"))
    if not (dag and run and task):
        return {}
    return {"airflow.dag": dag, f"airflow.{task}": run} | ({"airflow.url": url} if url else {})


def orchestrator_run() -> str | None:
    """Return the id of the Airflow run that this process belongs to; None outside Airflow."""
    return os.environ.get("PAGEFLIP_ORCHESTRATOR_RUN") or None


def approved_by() -> str | None:
    """Return the name of the person who approves the promotion at hand; None when nobody does."""
    return os.environ.get("PAGEFLIP_APPROVED_BY", "").strip() or None


def airflow_login() -> AirflowLogin | None:
    """Return the Airflow that PAGEFLIP_AIRFLOW_URL names; None where it is not set."""
    url = os.environ.get("PAGEFLIP_AIRFLOW_URL")
    if not url:
        return None
    user, password = os.environ.get("PAGEFLIP_AIRFLOW_USER"), os.environ.get("PAGEFLIP_AIRFLOW_PASSWORD")
    return AirflowLogin(url, user or "admin", password or "")


def airflow_port() -> int:
    """Return the port of the local Airflow.

    Raises:
        ConfigError: PAGEFLIP_AIRFLOW_PORT is not a port.
    """
    return _number("PAGEFLIP_AIRFLOW_PORT", 8080, 65535)


def mlflow_port() -> int:
    """Return the port of the local MLflow server.

    Raises:
        ConfigError: PAGEFLIP_MLFLOW_PORT is not a port.
    """
    return _number("PAGEFLIP_MLFLOW_PORT", 5000, 65535)


def gpu_slots() -> int:
    """Return the number of GPUs that Airflow's tasks share.

    Raises:
        ConfigError: PAGEFLIP_GPU_SLOTS is not a positive number.
    """
    return _number("PAGEFLIP_GPU_SLOTS", 1, 1_000_000)


# --- single processes


def git_revision() -> str | None:
    """Return PAGEFLIP_GIT_REVISION, the code's revision where it has no repository; None where it is not set."""
    return os.environ.get("PAGEFLIP_GIT_REVISION") or None


def outcome_file() -> Path | None:
    """Return the file in which a stage's command notes its exit code; None where no runner asks for it."""
    value = os.environ.get(OUTCOME_VARIABLE)
    return Path(value) if value else None


def node_rank() -> int:
    """Return the number of this machine in a training on several, which torch's launchers set; 0 in any other."""
    return int(os.environ.get("NODE_RANK") or 0)


def shows_tracebacks() -> bool:
    """Return whether PAGEFLIP_TRACEBACK asks for the tracebacks of errors that have a message of their own."""
    return bool(os.environ.get("PAGEFLIP_TRACEBACK"))


def hide_passwords(text: str) -> str:
    """Return a text for messages and logs without the passwords in the addresses that it holds."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]+@", r"\1:***@", text)


def _address(variable: str) -> str | None:
    value = os.environ.get(variable)
    if not value:
        return None
    return value if "://" in value else str(Path(value).expanduser().absolute())


def _number(variable: str, default: int, highest: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        raise ConfigError(f"{variable} is {text!r}", f"set it to a number from 1 to {highest}.")
    return int(text)
