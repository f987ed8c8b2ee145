"""The task that asks a person before `promote`: its question, what it keeps of the answer, what promote makes of it."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from json_server import json_server

DECISIONS = """
import json
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowSkipException
from pageflip_dags.run_form import promotion_approver
from pageflip_dags.task_command import orchestrator_environment
found = []
for form, made in json.loads('''%s'''):
    asked = []
    pull = lambda task_ids, key: asked.append((task_ids, key)) or made
    ti = SimpleNamespace(dag_id="retrain", task_id="promote", xcom_pull=pull)
    context = {"params": form, "ti": ti, "run_id": "r"}
    try:
        found.append([promotion_approver(context), orchestrator_environment(context).get("PAGEFLIP_APPROVED_BY")])
    except AirflowSkipException as error:
        found.append(str(error))
print(json.dumps(found))
"""
ANSWERS = """
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
import retrain
task = retrain.dag.get_task("approve_promotion")
found = []
for options, user in (("Approve", "ada"), ("Reject", "ada"), ("Reject", None), ("Approve", None)):
    kept = {}
    push = lambda key, value: kept.update({key: value})
    ti = SimpleNamespace(xcom_push=push, map_index=-1, dag_id="retrain", task_id=task.task_id)
    event = {"chosen_options": [options], "params_input": {}, "timedout": user is None,
             "responded_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
             "responded_by_user": user and {"id": user, "name": user}}
    try:
        task.execute_complete({"ti": ti, "task": task, "run_id": "r"}, event)
        skipped = []
    except DownstreamTasksSkipped as skip:
        skipped = skip.tasks
    found.append([kept["decision"], skipped])
print(json.dumps(found))
"""
OPERATOR = """
import json
from airflow.sdk.exceptions import AirflowSkipException
import retrain
task = retrain.dag.get_task("approve_promotion")
skipped = []
for form in ({"approval": "automatic"}, {"approval": "manual", "dry_run": True}):
    try:
        task.execute({"params": form})
    except AirflowSkipException:
        skipped.append(form)
print(json.dumps({
    "skipped": len(skipped), "hours": task.response_timeout.total_seconds() / 3600, "default": task.defaults,
    "users": [user["id"] for user in task.assigned_users or ()],
    "run": retrain.dag.dagrun_timeout.total_seconds() / 3600, "form": retrain.dag.params["approval"],
}))
"""
QUESTION = """
import json
from pageflip_dags.approval import compose_request
print(json.dumps(compose_request("pageflip", 48)))
"""
TAGS = {
    "metric.f1": "0.8795",
    "metric.f1_low": "0.7781",
    "metric.f1_high": "0.948",
    "metric.n": "288",
    "network": "cnn",
}


def version(number: int, **tags: str) -> dict:
    rows = [{"key": key, "value": value} for key, value in {**TAGS, **tags}.items()]
    return {"version": str(number), "run_id": f"run{number}", "tags": rows}


@pytest.fixture
def mlflow() -> Iterator[tuple[str, dict[str, dict]]]:
    """The address of a server that answers as MLflow does, and the model versions by alias that it knows."""
    aliases: dict[str, dict] = {}

    def answer(method: str, path: str, given: None) -> tuple[int, dict]:
        url = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if not url.path.endswith("/registered-models/alias"):
            return 200, {"run": {"info": {"experiment_id": "7", "run_id": asked["run_id"]}}}
        if asked["name"] != "pageflip" or asked["alias"] not in aliases:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE"}
        return 200, {"model_version": aliases[asked["alias"]]}

    with json_server(answer) as address:
        yield address, aliases


def test_promote_acts_only_on_a_persons_approval_that_still_stands(in_airflow):
    manual = {"approval": "manual"}
    yes, at = {"approved": True, "by": "ada", "at": "then"}, {"at": "2026-01-02 03:04:05 UTC"}
    found = in_airflow(
        DECISIONS
        % json.dumps(
            [
                (manual, yes),
                (manual, {**at, "approved": False, "by": "ada"}),
                (manual, {**at, "approved": False, "by": ""}),
                (manual, {**at, "approved": True, "by": ""}),
                (manual, {**yes, "approved": "True"}),
                (manual, None),
                ({"approval": "automatic"}, None),
            ]
        )
    )
    unanswered = "nothing is promoted: nobody had answered by 2026-01-02 03:04:05 UTC, which counts as a rejection"
    assert found == [
        ["ada", "ada"],
        "nothing is promoted: rejected by ada at 2026-01-02 03:04:05 UTC",
        unanswered,
        unanswered,
        "nothing is promoted: rejected by ada at then",
        "nothing is promoted: nobody has approved. Clear approve_promotion to be asked again",
        [None, None],
    ]


def test_the_answer_is_kept_and_a_rejection_or_silence_is_told_and_skips_promote(in_airflow, webhook):
    address, posted = webhook
    approved, rejected, silence, odd = in_airflow(ANSWERS, PAGEFLIP_ALERT_URL=address)
    at = "2026-01-02 03:04:05 UTC"
    assert approved == [{"approved": True, "by": "ada", "at": at}, []]
    assert rejected == [{"approved": False, "by": "ada", "at": at}, ["promote"]]
    assert silence == [{"approved": False, "by": "", "at": at}, ["promote"]]
    assert odd[0] == {"approved": False, "by": "", "at": at}, "an approval by nobody is none"
    assert [alert["event"] for alert in posted] == ["promotion_rejected"] * 3
    assert "rejected by ada at 2026-01-02 03:04:05 UTC" in posted[0]["text"]
    assert "nobody had answered by" in posted[1]["text"]
    assert "the champion stays in service" in posted[0]["text"]


def test_nobody_is_asked_without_need_and_silence_is_a_rejection_after_some_hours(in_airflow, project):
    given = {"PAGEFLIP_PROJECT": str(project)}
    plain = in_airflow(OPERATOR, **given)
    assert plain == {"skipped": 2, "hours": 48, "default": ["Reject"], "users": [], "run": 72, "form": "automatic"}
    with (project / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("promote: {approval: manual}\n")
    told = in_airflow(OPERATOR, PAGEFLIP_APPROVAL_HOURS="1.5", PAGEFLIP_APPROVERS="ada, bob,", **given)
    assert told == {**plain, "hours": 1.5, "users": ["ada", "bob"], "run": 25.5, "form": "manual"}


def test_a_wait_or_an_approval_that_cannot_be_is_refused(in_airflow, project):
    done = in_airflow("import retrain", check=False, PAGEFLIP_APPROVAL_HOURS="soon")
    assert "PAGEFLIP_APPROVAL_HOURS is 'soon'" in done.stderr
    (project / "params.yaml").write_text("train: {models: [cnn]}\npromote: {approval: maybe}\n", encoding="utf-8")
    done = in_airflow("import retrain", check=False, PAGEFLIP_PROJECT=str(project))
    assert "promote.approval in params.yaml is 'maybe'; it must be automatic or manual" in done.stderr


def test_the_question_gives_the_figures_of_both_and_where_to_look(in_airflow, mlflow):
    server, aliases = mlflow
    aliases["candidate"] = version(5, split="a")
    subject, body = in_airflow(QUESTION, MLFLOW_TRACKING_URI=server)
    assert subject == "May pageflip version 5 become champion?"
    assert f"[version 5]({server}/#/models/pageflip/versions/5), F1 0.879 (0.778 to 0.948) on 288 test frames" in body
    assert f"({server}/#/experiments/7/runs/run5/artifacts/report/report.html)" in body
    assert "there is none yet" in body
    assert "UTC counts as a rejection" in body
    aliases["champion"] = version(4, split="b", **{"metric.f1": "0.5"})
    _, body = in_airflow(QUESTION, MLFLOW_TRACKING_URI=server, PAGEFLIP_MLFLOW_PAGES="https://mlflow.example/")
    assert "[version 4](https://mlflow.example/#/models/pageflip/versions/4), F1 0.500" in body
    assert "another test split, so the two are not comparable" in body


@pytest.mark.parametrize("server", ["http://127.0.0.1:9", ""])
def test_without_figures_the_question_says_where_they_are(in_airflow, server):
    subject, body = in_airflow(QUESTION, MLFLOW_TRACKING_URI=server)
    assert subject == "May the candidate of pageflip become champion?"
    assert "`pageflip lineage candidate`" in body
    assert "**Approve**" in body
