"""The way from a task of Airflow to the MLflow run it worked on, through MLflow's REST API and the standard library."""

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

SECONDS = 5.0
DEFAULT_EXPERIMENT = "pageflip"


class MlflowLink(BaseOperatorLink):
    """The page of the run that carries the tag `airflow.TASK = RUN`; no link where there is none, or no server."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty when there is none. Never raises: the task itself went well."""
        server = (os.environ.get("MLFLOW_TRACKING_URI") or "").rstrip("/")
        if not server.startswith(("http://", "https://")) or "'" in ti_key.run_id:
            return ""
        try:
            return _page(server, ti_key.task_id, ti_key.run_id)
        except (OSError, ValueError, KeyError, IndexError):
            return ""


def _page(server: str, task_id: str, run_id: str) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    found = _call(f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}")
    experiment = found["experiment"]["experiment_id"]
    query = {"experiment_ids": [experiment], "filter": f"tags.`airflow.{task_id}` = '{run_id}'", "max_results": 1}
    runs = _call(f"{server}/api/2.0/mlflow/runs/search", query)["runs"]
    seen = (os.environ.get("PAGEFLIP_MLFLOW_PAGES") or server).rstrip("/")  # what a browser can reach
    return f"{seen}/#/experiments/{experiment}/runs/{runs[0]['info']['run_id']}"


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)
