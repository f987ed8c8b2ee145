"""Registered model versions, and the tags and files by which they are known."""

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pageflip.registry.client import MISTAKES, client, mark, translate_errors

TRAINING_KEY, WEIGHTS, ARTIFACT = "pageflip.training_key", "pageflip.weights_sha256", "pageflip.artifact_sha256"
INT8_ARTIFACT = "pageflip.int8_sha256"
MODEL_FILE, INT8_FILE, CARD_FILE, LOCK = "model.onnx", "model.int8.onnx", "card.json", "lineage/dvc.lock"
DEFAULT_MODEL_NAME = "pageflip"


@translate_errors
def find_version(name: str, artifact_sha256: str) -> str | None:
    """The newest version that holds this ONNX file; None when there is none."""
    found = client().search_model_versions(f"name = '{name}' and tags.`{ARTIFACT}` = '{artifact_sha256}'")
    return str(max(int(version.version) for version in found)) if found else None


@translate_errors
def get_version(name: str, version_or_alias: str) -> ModelVersion | None:
    """A version by its number or alias; None when there is none."""
    mlflow_client = client()
    try:
        if version_or_alias.isdigit():
            return mlflow_client.get_model_version(name, version_or_alias)
        return mlflow_client.get_model_version_by_alias(name, version_or_alias)
    except MlflowException as error:
        if error.error_code in MISTAKES:
            return None
        raise


@translate_errors
def mark_version(name: str, version: str) -> None:
    """Note on the MLflow run of a version that this Airflow run dealt with it."""
    mlflow_client = client()
    mark(mlflow_client, mlflow_client.get_model_version(name, version).run_id)


@translate_errors
def aliases(name: str, version: str) -> list[str]:
    """The aliases that point to a version now, sorted."""
    return sorted(client().get_model_version(name, version).aliases)
