"""The connection to MLflow, its errors, and its runs.

Runs are found by a tag that says what they hold, not by an id that a stage hands on: the outputs of a stage depend on
its inputs alone, and a stage that DVC restored still finds its run.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError

MISTAKES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # a retry will not mend them
F = TypeVar("F", bound=Callable[..., Any])


def translate_errors(function: F) -> F:
    """Turn MLflow's failures to reach its server or database into an error that names the address."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(error) from error
        except MlflowException as error:
            if error.error_code in MISTAKES:
                raise ConfigError(f"MLflow refused: {error.message}", "check the name and the version.") from error
            raise _unavailable(error) from error

    return wrapper  # type: ignore[return-value]


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(
        settings.hide_passwords(f"MLflow at {settings.tracking_uri()} failed: {str(error).splitlines()[0]}"),
        "check that the server runs and that MLFLOW_TRACKING_URI is right (`pageflip doctor`).",
    )


def client() -> MlflowClient:
    """A client of the tracking server and registry; the fluent API is pointed to the same address."""
    uri = settings.tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(mlflow_client: MlflowClient) -> str:
    name = settings.experiment_name()
    found = mlflow_client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    local = settings.tracking_uri().startswith("sqlite:")
    location = (settings.home() / "mlartifacts").as_uri() if local else None  # a server has a place of its own
    try:
        return mlflow_client.create_experiment(name, artifact_location=location)
    except MlflowException:
        found = mlflow_client.get_experiment_by_name(name)  # another stage may have made it at the same moment
        if found is None:
            raise
        return found.experiment_id


def find_run(mlflow_client: MlflowClient, tag: str, value: str) -> Run | None:
    runs = mlflow_client.search_runs(
        [experiment_id(mlflow_client)],
        f"tags.`{tag}` = '{value}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0] if runs else None


def mark(mlflow_client: MlflowClient, run_id: str) -> None:
    """Note on an MLflow run which task of which Airflow run worked on it."""
    for key, value in settings.orchestrator_tags().items():
        mlflow_client.set_tag(run_id, key, value)


@translate_errors
def mark_run(run_id: str) -> None:
    """Note on an MLflow run that this Airflow run restored what came of it."""
    mark(client(), run_id)


@translate_errors
def get_run(run_id: str) -> Run:
    """A tracking run by its id."""
    return client().get_run(run_id)


@translate_errors
def read_run_text(run_id: str, artifact: str) -> str | None:
    """A text file among a run's artifacts; None when it has none of that name."""
    from tempfile import TemporaryDirectory

    mlflow_client = client()
    folder, _, _ = artifact.rpartition("/")
    if artifact not in [entry.path for entry in mlflow_client.list_artifacts(run_id, folder)]:
        return None
    with TemporaryDirectory(prefix="pageflip-") as place:
        return Path(mlflow_client.download_artifacts(run_id, artifact, place)).read_text(encoding="utf-8")
