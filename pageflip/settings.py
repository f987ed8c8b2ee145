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

Addresses are folders, file:// or s3:// (with AWS_ENDPOINT_URL for any S3 server). Nothing is read at import.
"""

import os
from pathlib import Path

from pageflip.errors import ConfigError


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
        "change into the project's folder, or set PAGEFLIP_HOME and the addresses named in pageflip/settings.py.",
    )


def home() -> Path:
    """The folder of all local state."""
    value = os.environ.get("PAGEFLIP_HOME")
    return Path(value).expanduser().absolute() if value else project_root() / ".pageflip"


def store_url() -> str:
    """The run store's address."""
    return os.environ.get("PAGEFLIP_STORE") or str(home() / "runs")


def uploads_url() -> str:
    """The address where uploads arrive."""
    return os.environ.get("PAGEFLIP_UPLOADS") or str(home() / "uploads")


def results_url() -> str:
    """The address where scores are published."""
    return os.environ.get("PAGEFLIP_RESULTS") or str(home() / "results")


def tracking_uri() -> str:
    """MLflow's tracking (and registry) address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def experiment_name() -> str:
    """The MLflow experiment that runs are logged to."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pageflip"
