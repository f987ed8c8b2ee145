"""Client of Airflow's REST API (version 2): trigger a DAG, follow its run, read task logs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError

TIMEOUT_SECONDS = 30.0
TRIES = 9  # about a minute: long enough for a server that crashed to be back
POLL_SECONDS = 1.0
PARSE_SECONDS = 90.0
GPU_POOL = "gpu"  # the pool of dags/pageflip_dags/task_factory.py
FINISHED = ("success", "failed")
UNFINISHED = ("queued", "running")
LOG_HEADER = "::group::Log message source details"  # up to the next line of its kind
LOGS_REMEDY = "look at the services' logs, or run `make down` and `make up`."


@dataclass(frozen=True)
class TaskState:
    """State of a task instance. `map_index` is -1 unless the task is mapped; `seconds` is None until it has run."""

    task_id: str
    name: str
    map_index: int
    state: str | None
    try_number: int
    seconds: float | None
    started: str | None = None

    @property
    def label(self) -> str:
        """Name for people, such as `score[2]`."""
        return self.name if self.map_index < 0 else f"{self.name}[{self.map_index}]"


class AirflowClient:
    """Client of one server, for one user.

    The token is fetched at the first call and renewed when it has expired.

    Args:
        url: address of the API server.
        user: user of the simple auth manager.
        password: of the user.
        tries: number of attempts per call while the server does not answer.
    """

    def __init__(self, url: str, user: str, password: str, *, tries: int = TRIES) -> None:
        self.url = url.rstrip("/")
        self._tries = tries
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # the address is given: no proxy, no netrc

    def trigger_dag(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Queue a run of the DAG.

        Raises:
            ConfigError: there is no such DAG, or the run exists already.
        """
        path = f"/dags/{dag_id}/dagRuns"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        response, attempts = self._request("POST", path, json=body)
        # the first of several attempts may have made the run and lost its answer
        exists = response.status_code == 409 and attempts > 1 and self._call("GET", f"{path}/{run_id}", accept=(404,))
        if not exists:
            self._content(response, "POST", path)

    def publish_event(self, asset: str, extra: Mapping[str, Any]) -> None:
        """Create an event of the asset of this name, which starts the DAGs that are scheduled on it.

        Raises:
            ConfigError: no DAG that Airflow has read names such an asset.
        """
        rows = self._call("GET", "/assets", params={"name_pattern": asset, "limit": 100})["assets"]
        ids = [row["id"] for row in rows if row["name"] == asset]
        if not ids:
            raise ConfigError(f"Airflow at {self.url} has no asset {asset!r}", "see why it has not read dags/.")
        self._call("POST", "/assets/events", json={"asset_id": ids[0], "extra": dict(extra)})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state: queued, running, success or failed."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, so that Airflow ends its tasks."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Return the ids of the DAG's queued and running runs, the oldest first."""
        page = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"state": UNFINISHED, "order_by": "run_after"})
        return [run["dag_run_id"] for run in page["dag_runs"]]

    def task_states(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return the run's task instances in the order of their starts; those that have not started come last."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        rows: list[dict[str, Any]] = []
        total = 1
        while len(rows) < total:
            page = self._call("GET", path, params={"limit": 100, "offset": len(rows)})
            if not page["task_instances"]:
                break
            rows += page["task_instances"]
            total = page["total_entries"]
        states = [
            TaskState(
                task_id=row["task_id"],
                name=row["task_display_name"],
                map_index=row["map_index"],
                state=row["state"],
                try_number=row["try_number"],
                seconds=row["duration"],
                started=row["start_date"],
            )
            for row in rows
        ]
        return sorted(states, key=lambda task: (task.started is None, task.started or "", task.map_index))

    def unpause(self, dag_id: str) -> None:
        """Unpause the DAG."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False}, params={"update_mask": "is_paused"})

    def wait_until_parsed(self, dag_id: str, timeout: float = PARSE_SECONDS) -> None:
        """Wait until Airflow has parsed the DAG's file as it is now.

        Raises:
            ConfigError: the file cannot be imported; the message holds Airflow's.
            UnavailableError: it was not parsed in time.
        """
        start, deadline, requested = datetime.now(UTC), time.monotonic() + timeout, False
        while time.monotonic() < deadline:
            dag = self._call("GET", f"/dags/{dag_id}/details", accept=(404,))
            if dag and not requested:
                self._call("PUT", f"/parseDagFile/{dag['file_token']}", accept=(409,))  # 409: requested before
                requested = True
            parsed = dag and dag["last_parsed_time"]
            if parsed and datetime.fromisoformat(parsed) >= start and not dag["is_stale"]:
                return
            self._refuse_import_error(dag_id, start)
            time.sleep(POLL_SECONDS)
        raise UnavailableError(f"Airflow did not read the DAG {dag_id} within {timeout:.0f} s", LOGS_REMEDY)

    def _refuse_import_error(self, dag_id: str, since: datetime) -> None:
        for error in self._call("GET", "/importErrors")["import_errors"]:
            if error["filename"].endswith(f"{dag_id}.py") and datetime.fromisoformat(error["timestamp"]) >= since:
                raise ConfigError(f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}", "correct it.")

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        timeout: float,
        on_change: Callable[[TaskState], None] = lambda task: None,
        on_poll: Callable[[list[TaskState]], None] = lambda tasks: None,
    ) -> str:
        """Follow a run to its end and return its state, `success` or `failed`.

        Args:
            dag_id: the run's DAG.
            run_id: the run.
            timeout: seconds after which to give up.
            on_change: called with each task whose state or try has changed.
            on_poll: called about once a second with all tasks.

        Raises:
            UnavailableError: the run took longer than `timeout`.
        """
        deadline, seen = time.monotonic() + timeout, dict[str, tuple[str | None, int]]()
        while True:
            state = self.run_state(dag_id, run_id)
            tasks = self.task_states(dag_id, run_id)
            for task in tasks:
                if seen.get(task.label) != (task.state, task.try_number):
                    seen[task.label] = (task.state, task.try_number)
                    on_change(task)
            on_poll(tasks)
            if state in FINISHED:
                return state
            if time.monotonic() > deadline:
                raise UnavailableError(f"run {run_id} of {dag_id} is still {state} after {timeout:.0f} s", LOGS_REMEDY)
            time.sleep(POLL_SECONDS)

    def log_tail(self, dag_id: str, run_id: str, task: TaskState, lines: int = 30) -> list[str]:
        """Return the last lines that a task's latest try has logged."""
        params = {"map_index": task.map_index, "full_content": True}
        found = self._call("GET", _log_path(dag_id, run_id, task), params=params)
        return _log_lines(found["content"])[-lines:]

    def new_log_lines(
        self, dag_id: str, run_id: str, task: TaskState, token: str | None
    ) -> tuple[list[str], str | None]:
        """Return the lines that a running task's latest try has logged since the call that gave `token`.

        The server is asked only once. Returns the lines, and the token for the next call.

        Raises:
            PageflipError: the log cannot be read.
        """
        params = {"map_index": task.map_index, "token": token}
        found = self._call("GET", _log_path(dag_id, run_id, task), tries=1, params=params)
        return _log_lines(found["content"]), found["continuation_token"]

    def ensure_gpu_pool(self) -> None:
        """Make the pool that limits tasks with GPUs; Airflow never schedules a task of a missing pool.

        Raises:
            ConfigError: PAGEFLIP_GPU_SLOTS is not a positive number.
        """
        pool = {"slots": settings.gpu_slots(), "description": "one slot a GPU", "include_deferred": False}
        if self._call("GET", f"/pools/{GPU_POOL}", accept=(404,)) is None:
            self._call("POST", "/pools", json={"name": GPU_POOL, **pool})
        else:
            self._call("PATCH", f"/pools/{GPU_POOL}", json={"pool": GPU_POOL, **pool}, params={"update_mask": "slots"})

    def _call(
        self, method: str, path: str, *, accept: Sequence[int] = (), tries: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the content of an answer; None for an HTTP status in `accept`, which is then no error."""
        response, _ = self._request(method, path, tries=tries, **kwargs)
        return None if response.status_code in accept else self._content(response, method, path)

    def _content(self, response: requests.Response, method: str, path: str) -> Any:
        if not response.ok:
            raise ConfigError(f"Airflow refused {method} {path}: HTTP {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def _request(
        self, method: str, path: str, *, tries: int | None = None, **kwargs: Any
    ) -> tuple[requests.Response, int]:
        """Send a request, again while the server is busy or down; return the answer and the number of attempts."""
        tries = tries or self._tries
        for attempt in range(1, tries + 1):
            try:
                response = self._send(method, path, **kwargs)
            except requests.RequestException as error:
                problem = str(error)
            else:
                if response.status_code < 500:
                    return response, attempt
                problem = f"HTTP {response.status_code}: {response.text[:300]}"
            if attempt < tries:
                time.sleep(min(2 * attempt, 10))
        raise UnavailableError(f"Airflow at {self.url} does not answer {method} {path}: {problem}", LOGS_REMEDY)

    def _send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._fetch_token()
        response = self._session.request(method, f"{self.url}/api/v2{path}", timeout=TIMEOUT_SECONDS, **kwargs)
        if response.status_code == 401:
            self._fetch_token()
            response = self._session.request(method, f"{self.url}/api/v2{path}", timeout=TIMEOUT_SECONDS, **kwargs)
        return response

    def _fetch_token(self) -> None:
        response = self._session.post(f"{self.url}/auth/token", json=self._login, timeout=TIMEOUT_SECONDS)
        if response.status_code in (401, 403):
            raise ConfigError(f"Airflow at {self.url} refuses the login of {self._login['username']!r}", LOGS_REMEDY)
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _log_path(dag_id: str, run_id: str, task: TaskState) -> str:
    return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{max(task.try_number, 1)}"


def _log_lines(rows: Sequence[str | Mapping[str, Any]]) -> list[str]:
    """Return the lines of a task's log, without its header and Airflow's own messages at level info."""
    lines: list[str] = []
    is_header = False
    for row in rows:
        event = row if isinstance(row, str) else row["event"]
        if event.startswith("::"):
            is_header = event == LOG_HEADER
        elif not is_header:
            lines += [event] if isinstance(row, str) else _row_lines(row)
    return lines


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    logger, level = row.get("logger") or "", row.get("level") or "info"
    if level == "info" and (logger == "task" or "dag_processing" in logger):
        return []
    errors = [f"{error['exc_type']}: {error['exc_value']}".splitlines()[0] for error in row.get("error_detail") or ()]
    return [row["event"], *errors]
