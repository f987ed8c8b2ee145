"""The constants that dags/ and the library must agree on, since neither may import the other."""

import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from pageflip.base import errors, settings
from pageflip.local_stack import airflow_client, announce
from pageflip.params.promote import Promote
from pageflip.runs import data_versions
from pageflip.runs.run_store import RUN_NAME

DAGS_SIDE = """
import json
from types import SimpleNamespace
import retrain, score_uploads
from pageflip_dags import mlflow_link, run_form, task_command, task_environment, task_factory
decision = {"approved": True, "by": "ada", "at": "now"}
promote = SimpleNamespace(
    dag_id="retrain", task_id="promote", log_url="http://airflow/log", xcom_pull=lambda **_: decision
)
run = "manual__2026-01-02T03:04:05+00:00"
tasks = [*retrain.dag.tasks, *(task for task in score_uploads.dag.tasks if task.task_id != "shards")]
print(json.dumps({
    "final exit codes": task_command.FINAL_EXIT_CODES,
    "model name": run_form.DEFAULT_MODEL_NAME,
    "approval modes": [run_form.AUTOMATIC, run_form.MANUAL],
    "frames asset": retrain.FRAMES.name,
    "published": run_form.PUBLISHED,
    "data version": run_form.DATA_VERSION_PATTERN,
    "gpu pool": task_factory.GPU_POOL,
    "pools": sorted({task.pool for task in retrain.dag.tasks}),
    "experiment": mlflow_link.DEFAULT_EXPERIMENT,
    "addresses": task_environment.ADDRESSES,
    "run key": task_command.run_key(run),
    "verbs": sorted({(getattr(task, "verb", None) or task.partial_kwargs["verb"])[0] for task in tasks
                     if task.task_id != run_form.APPROVAL_TASK}),
    "environment": task_command.orchestrator_environment(
        {"run_id": "run", "ti": promote, "params": {"approval": "manual"}}
    ),
}))
"""
STORE = "import json, score_uploads; print(json.dumps(score_uploads.store_url()))"


@pytest.fixture(scope="module")
def dags_side(in_airflow, tmp_path_factory) -> dict:
    project = tmp_path_factory.mktemp("project")
    (project / "params.yaml").write_text("train: {models: [cnn]}\n", encoding="utf-8")
    (project / "dvc.yaml").write_text(
        "stages:\n  train: {cmd: x, meta: {gpu: 1}}\n  promote: {cmd: x}\n", encoding="utf-8"
    )
    return in_airflow(DAGS_SIDE, PAGEFLIP_PROJECT=str(project))


def test_the_exit_codes_that_forbid_a_retry_are_those_of_errors_in_data_and_configuration(dags_side):
    assert dags_side["final exit codes"] == list(errors.FINAL_EXIT_CODES)
    assert dags_side["final exit codes"] == [errors.DataError.exit_code, errors.ConfigError.exit_code]


def test_model_asset_pool_and_experiment_have_one_name_on_both_sides(dags_side, monkeypatch):
    from pageflip.registry.versions import DEFAULT_MODEL_NAME

    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert dags_side["model name"] == DEFAULT_MODEL_NAME
    assert dags_side["frames asset"] == announce.FRAMES_ASSET
    assert dags_side["gpu pool"] == airflow_client.GPU_POOL
    assert dags_side["pools"] == ["default_pool", airflow_client.GPU_POOL]
    assert dags_side["experiment"] == settings.experiment_name()


def test_the_form_offers_what_the_library_reads(dags_side):
    assert dags_side["approval modes"] == list(get_args(Promote.model_fields["approval"].annotation))
    assert dags_side["published"] == data_versions.PUBLISHED
    assert dags_side["data version"] == f"^{data_versions.HASH.pattern}$"


def test_a_run_key_is_a_name_that_the_run_store_takes(dags_side):
    assert RUN_NAME.fullmatch(dags_side["run key"])


def test_the_verbs_of_the_tasks_are_modules(dags_side):
    assert dags_side["verbs"] == ["tasks.run_stage", "tasks.score_uploads"]
    assert all(importlib.util.find_spec(verb) for verb in dags_side["verbs"])


def test_the_library_reads_what_a_task_is_given(dags_side, monkeypatch):
    for name, value in dags_side["environment"].items():
        monkeypatch.setenv(name, value)
    tags = {"airflow.dag": "retrain", "airflow.promote": "run", "airflow.url": "http://airflow/log"}
    assert settings.orchestrator_tags() == tags
    assert settings.approved_by() == "ada"


def test_each_address_of_a_container_is_one_that_the_library_reads(dags_side, monkeypatch):
    for name in dags_side["addresses"]:
        monkeypatch.setenv(name, f"s3://bucket/{name}")
    addresses = {
        "PAGEFLIP_REMOTE": "s3://bucket/PAGEFLIP_REMOTE",  # read by DVC's configuration
        "PAGEFLIP_STORE": settings.store_url(),
        "PAGEFLIP_UPLOADS": settings.uploads_url(),
        "PAGEFLIP_RESULTS": settings.results_url(),
        "MLFLOW_TRACKING_URI": settings.tracking_uri(),
    }
    assert addresses == {name: f"s3://bucket/{name}" for name in dags_side["addresses"]}


@pytest.mark.parametrize("given", [{}, {"PAGEFLIP_HOME": "/state"}, {"PAGEFLIP_STORE": "s3://bucket/runs"}])
def test_both_sides_find_the_run_store_at_one_address(
    in_airflow, project: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
):
    for name in ("PAGEFLIP_HOME", "PAGEFLIP_STORE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project)
    assert in_airflow(STORE, PAGEFLIP_PROJECT=str(project), **given) == settings.store_url()
