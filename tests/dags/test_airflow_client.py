"""The client against a small HTTP server that answers as Airflow does when an answer is lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from json_server import json_server
from pageflip.base.errors import ConfigError
from pageflip.local_stack import airflow_client
from pageflip.local_stack.airflow_client import AirflowClient

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
