"""The client against a small HTTP server that answers as Airflow does when an answer is lost."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from json_server import json_server
from pageflip.base.errors import ConfigError
from pageflip.local_stack import airflow_client, dag_runs
from pageflip.local_stack.airflow_client import AirflowClient, TaskState

Answers = dict[tuple[str, str], list[tuple[int, dict]]]
RUNS = "/api/v2/dags/retrain/dagRuns"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], AirflowClient]]:
    """A client of a server that gives these answers in turn, the last one again and again."""
    monkeypatch.setattr(airflow_client.time, "sleep", lambda seconds: None)
    with ExitStack() as stack:

        def start(answers: Answers) -> AirflowClient:
            answers = {("POST", "/auth/token"): [(201, {"access_token": "x"})], **answers}

            def answer(method: str, path: str, given: Any) -> tuple[int, dict]:
                left = answers[method, path.split("?")[0]]
                return left.pop(0) if len(left) > 1 else left[0]

            return AirflowClient(stack.enter_context(json_server(answer)), "admin", "password")

        yield start


def test_a_run_made_by_a_try_whose_answer_was_lost_is_ours(serve):
    client = serve({("POST", RUNS): [(503, {}), (409, {})], ("GET", f"{RUNS}/r"): [(200, {"state": "queued"})]})
    client.trigger_dag("retrain", "r")


def test_a_conflict_at_the_first_try_or_without_a_run_is_an_error(serve):
    for first, found in (([(409, {})], (200, {"state": "queued"})), ([(503, {}), (409, {})], (404, {}))):
        client = serve({("POST", RUNS): first, ("GET", f"{RUNS}/r"): [found]})
        with pytest.raises(ConfigError, match="HTTP 409"):
            client.trigger_dag("retrain", "r")


def test_a_dag_that_was_asked_to_be_parsed_already_is_waited_for(serve):
    dag = {"file_token": "token", "is_stale": False, "last_parsed_time": "2000-01-01T00:00:00+00:00"}
    client = serve(
        {
            ("GET", "/api/v2/dags/retrain/details"): [
                (200, dag),
                (200, {**dag, "last_parsed_time": "2999-01-01T00:00:00+00:00"}),
            ],
            ("PUT", "/api/v2/parseDagFile/token"): [(409, {})],
            ("GET", "/api/v2/importErrors"): [(200, {"import_errors": []})],
        }
    )
    client.wait_until_parsed("retrain")


LOG = f"{RUNS}/r/taskInstances/train/logs/1"
RUNNING = TaskState("train", "train@cnn", -1, "running", 1, None)


def log(*lines: str, token: str | None = "next") -> tuple[int, dict]:
    header = ["::group::Log message source details", "/logs/attempt=1.log", "::endgroup::"]
    rows = [{"event": line, "logger": "task.stdout"} for line in (*header, *lines)]
    return 200, {"content": rows, "continuation_token": token}


def test_the_last_line_of_a_running_task_is_shown_once_and_cut_to_the_width(serve, monkeypatch, capsys):
    monkeypatch.setattr(dag_runs, "LOG_EVERY_S", 0)
    monkeypatch.setenv("COLUMNS", "40")
    client = serve(
        {("GET", LOG): [log("epoch 1", "epoch 2: F1 0.91, 700 frames/s"), log(), log("epoch 3", "└──┘", "  ")]}
    )
    display = dag_runs._LineDisplay(dag_runs.DagRun(client, "retrain", "r"))
    for _ in range(3):
        display.on_poll([RUNNING, replace(RUNNING, name="test", state="queued")])
    lines = [line.split("s  ")[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["retrain: train@cnn | epoch 2: ", "retrain: train@cnn | epoch 3"]


def test_logs_are_read_only_every_few_seconds(serve):
    client = serve({("GET", LOG): [log("epoch 1"), log("epoch 2")]})
    watched = dag_runs.LastLogLines(dag_runs.DagRun(client, "retrain", "r"))
    assert watched.update([RUNNING]) == [(RUNNING, "epoch 1")]
    assert watched.update([RUNNING]) == []
    assert watched.of(RUNNING) == "epoch 1"


@pytest.mark.parametrize(
    "answer", [(404, {}), (500, {}), (200, {}), (200, {"content": [{}], "continuation_token": ""})]
)
def test_a_log_that_cannot_be_read_is_no_failure(serve, answer):
    client = serve({("GET", LOG): [answer]})
    assert dag_runs.LastLogLines(dag_runs.DagRun(client, "retrain", "r")).update([RUNNING]) == []


def test_a_terminal_shows_the_last_lines_below_the_tasks(serve):
    client = serve({("GET", LOG): [log("epoch 2: F1 0.91, 700 frames/s")]})
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    with Live(console=console, auto_refresh=False) as live:
        dag_runs._TableDisplay(dag_runs.DagRun(client, "retrain", "r"), live).on_poll([RUNNING])
    assert "train@cnn | epoch 2: F1 0.91, 700 frame…" in console.file.getvalue()
