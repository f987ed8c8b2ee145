"""Where things are: every address the system uses, from the environment or its default inside the project.

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_HOME | PROJECT/.pageflip | all local state; deleting it forgets everything |
| PAGEFLIP_REMOTE | the default remote of .dvc/config | the DVC remote: a folder or s3:// |
| PAGEFLIP_STORE | HOME/runs | the run store: params, lock entries and checkpoints of each run |
| PAGEFLIP_UPLOADS | HOME/uploads | where uploads arrive |
| PAGEFLIP_RESULTS | HOME/results | where scores are published |
| MLFLOW_TRACKING_URI | sqlite:///HOME/mlflow.db | the MLflow server or database |
| MLFLOW_EXPERIMENT_NAME | pageflip | the experiment that runs are logged to |
| PAGEFLIP_APPROVED_BY | | who has approved of this promotion, where `promote.approval` is manual; Airflow sets it |

Addresses are folders, file:// or s3:// (with AWS_ENDPOINT_URL for any S3 server). Nothing is read at import.
"""

import os
import re
from pathlib import Path

from pageflip.base.errors import ConfigError

SQLITE = "sqlite:///"


def project_root() -> Path:
    """The nearest folder, from the working one upwards, that holds dvc.yaml and params.yaml.

    Raises:
        ConfigError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file():
            return folder
    raise ConfigError(
        f"no pageflip project (a folder with dvc.yaml and params.yaml) at or above {here}",
        "change into the project's folder, or set PAGEFLIP_HOME and the addresses named in pageflip/base/settings.py.",
    )


def home() -> Path:
    """The folder of all local state."""
    value = os.environ.get("PAGEFLIP_HOME")
    return Path(value).expanduser().absolute() if value else project_root() / ".pageflip"


def store_url() -> str:
    """The run store's address."""
    return _address("PAGEFLIP_STORE") or str(home() / "runs")


def uploads_url() -> str:
    """The address where uploads arrive."""
    return _address("PAGEFLIP_UPLOADS") or str(home() / "uploads")


def results_url() -> str:
    """The address where scores are published."""
    return _address("PAGEFLIP_RESULTS") or str(home() / "results")


def tracking_uri() -> str:
    """MLflow's tracking (and registry) address."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given and given.startswith(SQLITE):
        return SQLITE + str(Path(given.removeprefix(SQLITE)).absolute())
    return given or f"{SQLITE}{home() / 'mlflow.db'}"


def orchestrator_tags() -> dict[str, str]:
    """What an MLflow run is marked with by a task of Airflow, so that each leads to the other; empty outside Airflow.

    `airflow.TASK` holds the id of the DAG's run, so that several tasks may mark the same MLflow run.
    """
    given = {name: os.environ.get(f"PAGEFLIP_ORCHESTRATOR_{name}") for name in ("DAG", "RUN", "TASK", "URL")}
    if not (given["DAG"] and given["RUN"] and given["TASK"]):
        return {}
    tags = {"airflow.dag": given["DAG"], f"airflow.{given['TASK']}": given["RUN"]}
    return tags | ({"airflow.url": given["URL"]} if given["URL"] else {})


def approved_by() -> str | None:
    """Who has approved of the promotion at hand; None when nobody has."""
    return os.environ.get("PAGEFLIP_APPROVED_BY", "").strip() or None


def shown(text: str) -> str:
    """A text for messages and logs: passwords in the addresses that it holds are blanked."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]+@", r"\1:***@", text)


def _address(variable: str) -> str | None:
    """An address from the environment; a relative folder made absolute, since stages run in folders of their own."""
    given = os.environ.get(variable)
    return given if not given or "://" in given else str(Path(given).expanduser().absolute())


def experiment_name() -> str:
    """The MLflow experiment that runs are logged to."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pageflip"
