"""From a task of Airflow to its MLflow run, asked of a small server that answers as MLflow does."""

import pytest

from json_server import json_server

LINK = """
import json
from airflow.sdk.types import TaskInstanceKey
from pageflip_dags.mlflow_link import MlflowLink
key = TaskInstanceKey("retrain", "train.cnn", "{run}", 1, -1)
print(json.dumps(MlflowLink().get_link(None, ti_key=key)))
"""


@pytest.fixture
def mlflow():
    """Its address, the runs that it finds, and what it was asked."""
    runs, asked = [], []

    def answer(method, path, given):
        if method == "GET":
            return 200, {"experiment": {"experiment_id": "7"}} if "experiment_name=pageflip" in path else {}
        asked.append(given)
        return 200, {"runs": runs} if runs else {}

    with json_server(answer) as address:
        yield address, runs, asked


def test_the_link_leads_to_the_run_that_carries_the_tasks_tag(in_airflow, mlflow):
    server, runs, asked = mlflow
    runs.append({"info": {"run_id": "abc"}})
    given = {"MLFLOW_TRACKING_URI": server}
    assert in_airflow(LINK.format(run="r1"), **given) == f"{server}/#/experiments/7/runs/abc"
    assert asked == [
        {"experiment_ids": ["7"], "filter": "tags.`airflow.train.cnn` = 'r1'", "max_results": 1},
    ]
    pages = in_airflow(LINK.format(run="r1"), PAGEFLIP_MLFLOW_PAGES="https://mlflow.example/", **given)
    assert pages == "https://mlflow.example/#/experiments/7/runs/abc"


def test_without_a_run_or_a_server_there_is_no_link(in_airflow, mlflow):
    server, _, asked = mlflow
    assert in_airflow(LINK.format(run="r1"), MLFLOW_TRACKING_URI=server) == ""
    assert in_airflow(LINK.format(run="it's"), MLFLOW_TRACKING_URI=server) == ""
    assert len(asked) == 1, "a run id that would break the filter is not asked for"
    assert in_airflow(LINK.format(run="r1"), MLFLOW_TRACKING_URI="http://127.0.0.1:9") == ""
    assert in_airflow(LINK.format(run="r1"), MLFLOW_TRACKING_URI="sqlite:///x.db") == ""
