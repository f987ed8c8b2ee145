"""Links from Airflow to MLflow runs and model versions, through MLflow's REST API and the standard library only."""

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

TIMEOUT_SECONDS = 5.0
DEFAULT_EXPERIMENT = "pageflip"
REPORT = "report/report.html"  # among a run's artifacts


class MlflowLink(BaseOperatorLink):
    """Link to the MLflow run that carries the tag `airflow.TASK = RUN`; empty if there is no such run, or no server."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's URL, or an empty string. Never raises: a missing link must not fail the task's page."""
        if not tracking_server() or "'" in ti_key.run_id:  # a quote would end the string in the search filter
            return ""
        try:
            return _run_url(ti_key.task_id, ti_key.run_id)
        except (OSError, ValueError, KeyError, IndexError):
            return ""


def tracking_server() -> str:
    """Return the address of the MLflow server; empty if MLflow uses a database file or is not configured."""
    server = (os.environ.get("MLFLOW_TRACKING_URI") or "").rstrip("/")
    return server if server.startswith(("http://", "https://")) else ""


def registered_version(name: str, alias: str) -> dict[str, Any] | None:
    """Look up the model version that an alias points to.

    Args:
        name: Name of the registered model.
        alias: Alias such as `candidate` or `champion`.

    Returns:
        MLflow's description with `version`, `run_id` and `tags` (as a mapping); None if there is no such alias.

    Raises:
        OSError, ValueError, KeyError: The server failed, or its answer is not MLflow's.
    """
    try:
        answer = _call(f"registered-models/alias?name={quote(name, safe='')}&alias={quote(alias, safe='')}")
    except HTTPError as error:
        if error.code in (400, 404):  # MLflow's answer if the alias or the model does not exist
            return None
        raise
    version = answer["model_version"]
    return {**version, "tags": {tag["key"]: tag["value"] for tag in version.get("tags") or ()}}


def version_url(name: str, version: str) -> str:
    """Return the URL of a model version's page."""
    return f"{_pages_url()}/#/models/{quote(name, safe='')}/versions/{version}"


def report_url(run_id: str) -> str:
    """Return the URL of the evaluation report of an MLflow run.

    Raises:
        OSError, ValueError, KeyError: The server failed, or its answer is not MLflow's.
    """
    experiment = _call(f"runs/get?run_id={quote(run_id, safe='')}")["run"]["info"]["experiment_id"]
    return f"{_pages_url()}/#/experiments/{experiment}/runs/{run_id}/artifacts/{REPORT}"


def _run_url(task_id: str, run_id: str) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    experiment = _call(f"experiments/get-by-name?experiment_name={quote(name)}")["experiment"]["experiment_id"]
    query = {"experiment_ids": [experiment], "filter": f"tags.`airflow.{task_id}` = '{run_id}'", "max_results": 1}
    runs = _call("runs/search", query)["runs"]
    return f"{_pages_url()}/#/experiments/{experiment}/runs/{runs[0]['info']['run_id']}"


def _pages_url() -> str:
    """Return the address at which a browser reaches MLflow, which may differ from the one that tasks use."""
    return (os.environ.get("PAGEFLIP_MLFLOW_PAGES") or tracking_server()).rstrip("/")


def _call(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        credentials = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    url = f"{tracking_server()}/api/2.0/mlflow/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return json.load(answer)
