"""MLflow runs of trainings and evaluations; a run is found by the SHA-256 of its weights."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pageflip.base import settings
from pageflip.base.nested import flatten
from pageflip.registry.client import client, experiment_id, find_run, mark, translate_errors
from pageflip.registry.versions import TRAINING_KEY, WEIGHTS


class TrainingRun:
    """A training's MLflow run; a resumed training goes on with the run it began."""

    @translate_errors
    def __init__(self, *, key: str, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        self._client = client()
        found = find_run(self._client, TRAINING_KEY, key)
        if found is not None and found.info.status != "FINISHED":
            self.run_id = found.info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            mark(self._client, self.run_id)
            return
        tags = {**tags, **settings.orchestrator_tags(), TRAINING_KEY: key}
        self.run_id = self._client.create_run(experiment_id(self._client), tags=tags, run_name=name).info.run_id
        for param, value in flatten(params).items():
            self._client.log_param(self.run_id, param, value)

    @translate_errors
    def log_epoch(self, record: dict[str, float]) -> None:
        """Log one epoch's numbers; the key `epoch` is the step."""
        metrics = {key: value for key, value in record.items() if key != "epoch"}
        _log_metrics(self._client, self.run_id, metrics, step=int(record["epoch"]))

    @translate_errors
    def finish(self, *, weights_sha256: str, folder: Path) -> None:
        """Log the model folder's files, note its weights, and close the run."""
        for file in sorted(folder.iterdir()):
            self._client.log_artifact(self.run_id, str(file), "training")
        self._client.set_tag(self.run_id, WEIGHTS, weights_sha256)
        self._client.set_terminated(self.run_id)

    def fail(self) -> None:
        """Close the run as failed; a later attempt of the same training takes it up again.

        Where MLflow cannot be told, nothing is raised: why the training failed matters more.
        """
        with suppress(MlflowException):
            if self._client.get_run(self.run_id).info.status != "FINISHED":  # an overlapping attempt may have ended it
                self._client.set_terminated(self.run_id, status="FAILED")


def _log_metrics(mlflow_client: MlflowClient, run_id: str, metrics: dict[str, float], step: int = 0) -> None:
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()
    mlflow_client.log_batch(run_id, metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()])


def run_of_weights(mlflow_client: MlflowClient, weights_sha256: str) -> str:
    """The run that trained these weights; a new one where this server never saw them (restored by DVC)."""
    found = find_run(mlflow_client, WEIGHTS, weights_sha256)
    if found is not None:
        return found.info.run_id
    run = mlflow_client.create_run(
        experiment_id(mlflow_client),
        tags={WEIGHTS: weights_sha256, "pageflip.restored": "true"},
        run_name="restored from the DVC remote",
    )
    mlflow_client.set_terminated(run.info.run_id)
    return run.info.run_id


@translate_errors
def log_evaluation(*, weights_sha256: str, metrics: dict[str, float], folder: Path) -> str:
    """Log an evaluation to the run that trained the weights; return that run's id."""
    mlflow_client = client()
    run_id = run_of_weights(mlflow_client, weights_sha256)
    _log_metrics(mlflow_client, run_id, {f"test_{key}": value for key, value in metrics.items()})
    mlflow_client.log_artifacts(run_id, str(folder), "evaluation")
    mark(mlflow_client, run_id)
    return run_id


@translate_errors
def log_report(*, weights_sha256: str, folder: Path) -> str:
    """Log an evaluation's page to the run that trained the weights; return that run's id."""
    mlflow_client = client()
    run_id = run_of_weights(mlflow_client, weights_sha256)
    mlflow_client.log_artifacts(run_id, str(folder), "report")
    mark(mlflow_client, run_id)
    return run_id
