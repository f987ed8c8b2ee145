"""The way from Airflow to MLflow's runs and model versions, through MLflow's REST API and the standard library."""

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

SECONDS = 5.0
DEFAULT_EXPERIMENT = "pageflip"
REPORT = "evaluation/report.html"  # among a run's artifacts, where pageflip/registry.py puts it


class MlflowLink(BaseOperatorLink):
    """The page of the run that carries the tag `airflow.TASK = RUN`; no link where there is none, or no server."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when there is none. Never raises: the task itself went well."""
        if not tracking_server() or "'" in ti_key.run_id:
            return ""
        try:
            return _page(ti_key.task_id, ti_key.run_id)
        except (OSError, ValueError, KeyError, IndexError):
            return ""


def tracking_server() -> str:
    """The address of the MLflow server; empty where MLflow is a database file or not set."""
    server = (os.environ.get("MLFLOW_TRACKING_URI") or "").rstrip("/")
    return server if server.startswith(("http://", "https://")) else ""


def registered_version(name: str, alias: str) -> dict[str, Any] | None:
    """The model version that an alias points to, with `version`, `run_id` and `tags` as a mapping; None without one.

    Raises:
        OSError, ValueError, KeyError: the server does not answer as MLflow does.
    """
    try:
        found = _call(f"registered-models/alias?name={quote(name, safe='')}&alias={quote(alias, safe='')}")
    except HTTPError as error:
        if error.code in (400, 404):  # MLflow's answer when there is no such alias, or no such model
            return None
        raise
    version = found["model_version"]
    return {**version, "tags": {tag["key"]: tag["value"] for tag in version.get("tags") or ()}}


def version_page(name: str, version: str) -> str:
    """The page of a model version."""
    return f"{_pages()}/#/models/{quote(name, safe='')}/versions/{version}"


def report_page(run_id: str) -> str:
    """The page of an MLflow run's evaluation report.

    Raises:
        OSError, ValueError, KeyError: the server does not answer as MLflow does.
    """
    experiment = _call(f"runs/get?run_id={quote(run_id, safe='')}")["run"]["info"]["experiment_id"]
    return f"{_pages()}/#/experiments/{experiment}/runs/{run_id}/artifacts/{REPORT}"


def _page(task_id: str, run_id: str) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    found = _call(f"experiments/get-by-name?experiment_name={quote(name)}")
    experiment = found["experiment"]["experiment_id"]
    query = {"experiment_ids": [experiment], "filter": f"tags.`airflow.{task_id}` = '{run_id}'", "max_results": 1}
    runs = _call("runs/search", query)["runs"]
    return f"{_pages()}/#/experiments/{experiment}/runs/{runs[0]['info']['run_id']}"


def _pages() -> str:
    return (os.environ.get("PAGEFLIP_MLFLOW_PAGES") or tracking_server()).rstrip("/")  # what a browser can reach


def _call(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    url = f"{tracking_server()}/api/2.0/mlflow/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)
