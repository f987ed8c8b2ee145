"""What every DAG must be: light to import, bounded, documented, and in the right order."""

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ("retrain", "score_uploads")
FOREIGN = (
    *("torch", "torchvision", "lightning", "mlflow", "dvc", "pandas", "numpy", "sklearn", "pyarrow", "scipy"),
    *("onnxruntime", "cv2", "av", "PIL", "matplotlib", "great_expectations", "pageflip", "tasks"),
)
DESCRIBE = """
import importlib, json, sys
module = importlib.import_module({name!r})
dag = module.dag
print(json.dumps({{
    "foreign": [name for name in {foreign!r} if name in sys.modules],
    "catchup": dag.catchup, "max_active_runs": dag.max_active_runs, "tags": sorted(dag.tags), "doc": dag.doc_md,
    "timeout": dag.dagrun_timeout.total_seconds(), "description": dag.description,
    "tasks": {{
        task.task_id: {{
            "after": sorted(task.upstream_task_ids), "retries": task.retries, "owner": task.owner, "pool": task.pool,
            "slots": task.pool_slots, "timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
            "name": task.task_display_name, "rule": str(task.trigger_rule.value), "mapped": task.is_mapped,
            "backoff": bool(task.retry_exponential_backoff), "verb": getattr(task, "verb", None),
        }} for task in dag.tasks
    }},
}}))
"""


@pytest.fixture(scope="module")
def describe(in_airflow):
    @functools.cache
    def run(name: str, project: Path = ROOT) -> dict:
        return in_airflow(DESCRIBE.format(name=name, foreign=FOREIGN), PAGEFLIP_PROJECT=str(project))

    return run


def ancestors(tasks: dict, name: str) -> set[str]:
    direct = set(tasks[name]["after"])
    return direct.union(*(ancestors(tasks, other) for other in direct)) if direct else direct


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_keeps_the_house_rules_and_imports_nothing_of_the_pipeline(describe, name):
    dag = describe(name)
    assert dag["foreign"] == []
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert "pageflip" in dag["tags"]
    assert dag["timeout"] > 0
    assert all(words in dag["doc"] for words in ("What it does", "When it runs", "When it fails"))
    assert dag["description"]
    for task in dag["tasks"].values():
        assert (task["owner"], task["retries"], task["backoff"]) == ("pageflip", 2, True)
        assert 0 < task["timeout"] < dag["timeout"]


def test_retrain_has_a_task_for_each_stage_of_this_project_in_the_vital_order(describe):
    tasks = describe("retrain")["tasks"]
    assert "validate" in ancestors(tasks, "train.efficientnet_lite0")
    assert "evaluate.efficientnet_lite0" in ancestors(tasks, "register")
    assert "register" in tasks["approve_promotion"]["after"]
    assert tasks["promote"]["after"] == ["approve_promotion", "prepare", "register", "split"]
    assert tasks["train.efficientnet_lite0"]["verb"] == ["tasks.run_stage", "train@efficientnet_lite0"]
    assert tasks["train.efficientnet_lite0"]["name"] == "train@efficientnet_lite0"


def test_retrain_holds_the_stages_and_edges_of_dvc_yaml_and_one_task_more_which_asks_a_person(describe, in_airflow):
    # that dvc_graph's stages and edges are DVC's own is tested in test_dvc_graph.py
    names, pairs = in_airflow(
        """
        import json
        from pageflip_dags.dvc_graph import edges, read_stages
        from pageflip_dags.task_command import project_root, task_id
        stages = read_stages(project_root())
        pairs = [[task_id(earlier), task_id(later)] for earlier, later in edges(stages)]
        print(json.dumps([[task_id(stage.name) for stage in stages], pairs]))
        """,
        PAGEFLIP_PROJECT=str(ROOT),
    )
    tasks = describe("retrain")["tasks"]
    assert set(tasks) == {*names, "approve_promotion"}
    found = {(earlier, later) for later, task in tasks.items() for earlier in task["after"]}
    wanted = {tuple(pair) for pair in pairs}
    before_promote = {earlier for earlier, later in wanted if later == "promote"}
    before_promote |= {name for name in names if name.split(".")[0] == "report"}
    added = {("approve_promotion", "promote"), *((earlier, "approve_promotion") for earlier in before_promote)}
    assert found == wanted | added


def test_retrain_follows_dvc_yaml_and_takes_limits_and_slots_from_meta(describe, project):
    tasks = describe("retrain", project)["tasks"]
    assert {name: task["after"] for name, task in tasks.items()} == {
        "prepare": [],
        "train.cnn": ["prepare"],
        "train.vit": ["prepare"],
        "approve_promotion": ["train.cnn", "train.vit"],
        "promote": ["approve_promotion", "train.cnn", "train.vit"],
    }
    assert tasks["prepare"]["timeout"] == 300
    assert (tasks["prepare"]["pool"], tasks["prepare"]["slots"]) == ("default_pool", 1)
    assert (tasks["train.vit"]["pool"], tasks["train.vit"]["slots"]) == ("gpu", 2)


def test_the_approval_waits_for_the_reports_that_it_links_to_and_promote_for_the_approval_only(describe, project):
    with (project / "dvc.yaml").open("a", encoding="utf-8") as file:
        file.write("  report: {matrix: {model: [cnn, vit]}, cmd: x, deps: ['models/${item.model}']}\n")
    tasks = describe("retrain", project)["tasks"]
    assert set(tasks["approve_promotion"]["after"]) == {"train.cnn", "train.vit", "report.cnn", "report.vit"}
    assert tasks["promote"]["after"] == ["approve_promotion", "train.cnn", "train.vit"]


def test_score_uploads_maps_over_shards_and_reports_even_when_there_are_none(describe):
    tasks = describe("score_uploads")["tasks"]
    assert [name for name, task in tasks.items() if task["mapped"]] == ["score"]
    assert tasks["summarise"]["rule"] == "none_failed"
    assert ancestors(tasks, "summarise") == {"plan", "shards", "score"}
    assert ancestors(tasks, "score") == {"plan", "shards"}
    assert tasks["score"]["timeout"] == 5 * 3600  # a shard may hold hours of video


def test_the_schedules_come_from_the_environment(in_airflow):
    found = in_airflow(
        """
        import importlib, json, os
        import retrain, score_uploads
        found, variables = [], {retrain: "PAGEFLIP_RETRAIN_SCHEDULE", score_uploads: "PAGEFLIP_SCORE_SCHEDULE"}
        for value in (None, "@daily", "data", "none"):
            for module, variable in variables.items():
                if value:
                    os.environ[variable] = value
                if (module, value) != (score_uploads, "data"):
                    found.append(str(importlib.reload(module).dag.schedule))
        print(json.dumps(found))
        """
    )
    dates = [re.findall(r"expression='(.*?)'", text) or text for text in found]
    assert dates[0] == ["0 0 * * 0"]
    assert dates[2] == ["0 0 * * *"]
    assert [dates[i] for i in (1, 3, 5, 6)] == ["*/15 * * * *", "@daily", "None", "None"]
    assert ["pageflip://frames" in text for text in found] == [True, False, True, False, True, False, False]
    assert "Cron" not in found[4]


def test_an_unknown_runner_is_refused_by_name(in_airflow):
    done = in_airflow("import retrain", check=False, PAGEFLIP_RUNNER="teleport")
    assert done.returncode != 0
    assert "PAGEFLIP_RUNNER is 'teleport'; it must be one of: docker, kubernetes, process" in done.stderr


def test_meta_out_of_range_is_refused_with_the_stage(in_airflow):
    messages = in_airflow(
        """
        import json
        from pageflip_dags.dvc_graph import GraphError, Stage
        from pageflip_dags.task_factory import stage_task
        messages = []
        limits = ({"timeout_minutes": 0}, {"timeout_minutes": "soon"}, {"memory": "much"}, {"memory": 8})
        for meta in ({"gpu": -1}, {"gpu": True}, *limits):
            try:
                stage_task(Stage(name="a", meta=meta))
            except GraphError as error:
                messages.append(str(error))
        print(json.dumps(messages))
        """
    )
    assert [message.split(";")[0] for message in messages] == [
        "meta.gpu of stage a is -1",
        "meta.gpu of stage a is True",
        "meta.timeout_minutes of stage a is 0",
        "meta.timeout_minutes of stage a is 'soon'",
        "meta.memory of stage a is 'much'",
        "meta.memory of stage a is 8",
    ]


def test_airflow_takes_the_two_dag_files_and_nothing_below_the_package_for_dags(in_airflow):
    files, found, errors = in_airflow(
        """
        import json, os, pathlib
        from airflow.dag_processing.dagbag import DagBag
        from airflow.utils.file import list_py_file_paths
        folder = os.environ["DAGS"]
        files = list_py_file_paths(folder, safe_mode=False)
        bag = DagBag(folder)
        print(json.dumps([sorted(str(pathlib.Path(file).relative_to(folder)) for file in files),
                          sorted(bag.dags), bag.import_errors]))
        """,
        DAGS=str(ROOT / "dags"),
        PAGEFLIP_PROJECT=str(ROOT),
    )
    assert files == [f"{name}.py" for name in DAGS]
    assert (found, errors) == (list(DAGS), {})


def test_the_first_unpausing_starts_no_run_for_a_date_that_has_passed(in_airflow):
    seconds = in_airflow(
        """
        import json
        from airflow.serialization.serialized_objects import DagSerialization
        from airflow.timetables.base import TimeRestriction
        import pendulum, retrain
        timetable = DagSerialization.from_dict(DagSerialization.to_dict(retrain.dag)).timetable
        never = TimeRestriction(earliest=None, latest=None, catchup=False)
        run = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=never)
        print(json.dumps((run.run_after - pendulum.now("UTC")).total_seconds()))
        """,
        PAGEFLIP_RETRAIN_SCHEDULE="0 * * * *",
    )
    assert seconds > 0
