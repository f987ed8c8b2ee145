"""What a run of retrain is triggered with, and how it reaches the stages; who is told when it fails."""

import json

import pytest

HASH = "0123456789abcdef0123456789abcdef.dir"
ARGUMENTS = """
import json, os
from pathlib import Path
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from types import SimpleNamespace
from pageflip_dags.run_form import trigger_form, stage_arguments
project = Path(os.environ["PAGEFLIP_PROJECT"])
defaults = {name: field.value for name, field in trigger_form(project).items()}
found = []
for stage, filled, more in json.loads('''%s'''):
    context = {"params": {**defaults, **filled}}
    if more.get("events"):
        events = [SimpleNamespace(timestamp=number, extra=extra) for number, extra in enumerate(more["events"])]
        context["triggering_asset_events"] = {Asset(name="frames", uri="pageflip://frames"): events}
    try:
        found.append(stage_arguments(stage, context, project, published=more.get("published", False)))
    except AirflowSkipException as error:
        found.append(str(error))
print(json.dumps(found))
"""


@pytest.fixture
def arguments(in_airflow, project):
    """What the form adds to stages' commands, for cases of (stage, what was filled in, more)."""
    (project / "dvc.yaml").write_text(
        (project / "dvc.yaml").read_text().replace("deps: [models]", "deps: [models]\n    meta: {verify: x}")
    )

    def run(*cases: tuple) -> list:
        return in_airflow(ARGUMENTS % json.dumps(cases), PAGEFLIP_PROJECT=str(project))

    return run


def test_a_form_left_as_it_is_changes_nothing(arguments):
    assert arguments(*((stage, {}, {}) for stage in ("prepare", "train@cnn", "train@vit", "promote"))) == [[]] * 4


def test_what_is_filled_in_is_handed_to_every_stage(arguments):
    filled = {"models": ["vit"], "seed": 5, "data_version": HASH}
    wanted = ["--set", "train.models=[vit]", "--set", "train.seed=5", "--data-version", HASH]
    found = arguments(*((stage, filled, {}) for stage in ("prepare", "train@vit", "promote", "train@cnn")))
    assert found[:3] == [wanted] * 3
    assert found[3] == "train@cnn is not among the models of this run: ['vit']"


def test_all_models_in_another_order_are_no_change(arguments):
    assert arguments(("prepare", {"models": ["vit", "cnn"]}, {})) == [[]]


def test_a_dry_run_leaves_out_what_would_change_the_registry(arguments):
    [train, promote] = arguments(*((stage, {"dry_run": True}, {}) for stage in ("train@cnn", "promote")))
    assert train == []
    assert promote == "this is a dry run: promote would change the registry"


def test_an_approval_other_than_the_projects_is_handed_to_every_stage(arguments, project):
    [manual] = arguments(("train@cnn", {"approval": "manual"}, {}))
    assert manual == ["--set", "promote.approval=manual"]
    with (project / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("promote: {approval: manual}\n")
    assert arguments(("train@cnn", {}, {}), ("train@cnn", {"approval": "automatic"}, {})) == [
        [],
        ["--set", "promote.approval=automatic"],
    ]


def test_the_data_version_is_the_forms_or_the_newest_events_or_the_one_published_last(arguments):
    events = {"events": [{"data_version": "1" * 32}, {"data_version": "2" * 32}]}
    found = arguments(
        ("prepare", {}, events),
        ("prepare", {"data_version": HASH}, events),
        ("prepare", {}, {**events, "published": True}),
        ("prepare", {}, {"published": True}),
        ("prepare", {}, {"events": [{}]}),
    )
    versions = [case[1] if case else None for case in found]
    assert versions == ["2" * 32, HASH, "2" * 32, "published", None]


def test_the_form_refuses_what_cannot_be(in_airflow, project):
    refused = in_airflow(
        """
        import json
        from airflow.sdk.exceptions import ParamValidationError
        import retrain
        refused = []
        for name, value in [("models", []), ("models", ["resnet"]), ("models", ["cnn", "cnn"]), ("models", "cnn"),
                            ("seed", -1), ("seed", "soon"), ("seed", 1.5), ("data_version", "newest"),
                            ("dry_run", "yes"), ("approval", "maybe"), ("models", ["vit"]), ("seed", 0)]:
            try:
                retrain.dag.params.get_param(name).resolve(value)
                refused.append(False)
            except ParamValidationError:
                refused.append(True)
        print(json.dumps(refused))
        """,
        PAGEFLIP_PROJECT=str(project),
    )
    assert refused == [True] * 10 + [False] * 2


ALERTS = """
import json
from types import SimpleNamespace
import retrain
task = SimpleNamespace(dag_id="retrain", task_id="train.efficientnet_lite0", map_index=-1, try_number=3, log_url="http://airflow/log")
[failed] = retrain.dag.get_task("train.efficientnet_lite0").on_failure_callback
for error in ("exit code 65: bad frames", "exit code 1. lost"):
    failed({"ti": task, "run_id": "r", "exception": ValueError(error)})
[over] = retrain.dag.on_failure_callback if isinstance(retrain.dag.on_failure_callback, list) else [
    retrain.dag.on_failure_callback]
over({"dag": retrain.dag, "run_id": "r", "reason": "task_failure"})
over({"dag": retrain.dag, "run_id": "r", "reason": "timed_out"})
from airflow.sdk._shared.module_loading import import_string
[late] = retrain.dag.deadline
import_string(late.callback.path)(context={"dag_run": {"dag_id": "retrain", "dag_run_id": "r"}})
print(json.dumps(late.interval.total_seconds()))
"""


def test_a_failure_says_what_where_its_log_is_and_the_next_step_to_the_webhook_too(in_airflow, webhook):
    address, posted = webhook
    hours = {"PAGEFLIP_RETRAIN_DEADLINE_HOURS": "1.5"}
    assert in_airflow(ALERTS, PAGEFLIP_ALERT_URL=address, **hours) == 5400
    assert [alert["event"] for alert in posted] == ["task_failed", "task_failed", "run_timed_out", "run_late"]
    bad, lost, over, late = (alert["text"] for alert in posted)
    assert "retrain: train.efficientnet_lite0 failed in run r, try 3" in bad
    assert "exit code 65: bad frames" in bad
    assert "Log: http://airflow/log" in bad
    assert "trigger a new run" in bad
    assert "clear the task" in lost
    assert "exceeded the time limit of a run" in over
    assert "is late: it has not finished 1.5 hours after" in late


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/secret-key", "file:///etc/passwd"])
def test_an_alert_that_cannot_be_delivered_is_logged_without_its_address_and_fails_nothing(in_airflow, address):
    done = in_airflow(ALERTS, check=False, PAGEFLIP_ALERT_URL=address)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "the alert could not be posted to PAGEFLIP_ALERT_URL" in said
    assert "secret-key" not in said


@pytest.mark.parametrize("hours", ["0", "soon", "-1", "inf"])
def test_a_deadline_that_is_none_is_refused(in_airflow, hours):
    done = in_airflow("import retrain", check=False, PAGEFLIP_RETRAIN_DEADLINE_HOURS=hours)
    assert f"PAGEFLIP_RETRAIN_DEADLINE_HOURS is '{hours}'" in done.stderr
