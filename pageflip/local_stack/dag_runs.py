"""Run a DAG through Airflow and show its progress: a live table on a terminal, lines of changes in a log."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pageflip.base.errors import PageflipError
from pageflip.local_stack.airflow_client import UNFINISHED, AirflowClient, TaskState

EXIT_RUN_FAILED = 1
AWAITING_INPUT = "awaiting_input"
SHOWN_STATES = (AWAITING_INPUT, "running", "success", "failed", "skipped", "up_for_retry", "upstream_failed")
STYLES = {"success": "green", "running": "yellow", "failed": "red", "upstream_failed": "red", "up_for_retry": "magenta"}
TAIL_LINES = 20
LOG_EVERY_S = 10.0
LOG_WIDTH = (120, 24)  # columns and rows where standard output is no terminal


class DagRunError(PageflipError):
    """Failed run of a DAG."""

    exit_code = EXIT_RUN_FAILED


@dataclass(frozen=True)
class DagRun:
    """Run of a DAG on one Airflow."""

    client: AirflowClient
    dag_id: str
    run_id: str

    @property
    def tasks_url(self) -> str:
        """Address of the page that lists the run's tasks."""
        return f"{self.client.url}/dags/{self.dag_id}/runs/{self.run_id}/tasks"


def run_dag(
    client: AirflowClient, dag_id: str, run_id: str, *, timeout: float, run_prefix: str, log_folder: Path
) -> list[TaskState]:
    """Trigger a run, follow it to its end, and return its tasks. An interruption ends the run in Airflow too.

    Args:
        client: of the Airflow to use.
        dag_id: DAG to run.
        run_id: id of the new run.
        timeout: seconds after which to give up.
        run_prefix: prefix of this caller's run ids; unfinished runs with it are leftovers and are marked as failed.
        log_folder: folder in which Airflow writes the task logs.

    Raises:
        DagRunError: a task failed; the message holds the end of its log.
        UnavailableError: the run took longer than `timeout`, or Airflow does not answer.
        ConfigError: Airflow cannot import the DAG.
    """
    run = DagRun(client, dag_id, run_id)
    client.wait_until_parsed(dag_id)
    for other in client.unfinished_runs(dag_id):
        if other.startswith(run_prefix):
            client.fail_run(dag_id, other)
        else:
            print(f"{dag_id}: run {other} is under way and goes first", file=sys.stderr, flush=True)
    client.unpause(dag_id)
    client.trigger_dag(dag_id, run_id)
    try:
        with _show_progress(run) as display:
            state = client.wait_for_run(dag_id, run_id, timeout, display.on_change, display.on_poll)
    except BaseException:
        with suppress(PageflipError):
            if client.run_state(dag_id, run_id) in UNFINISHED:
                client.fail_run(dag_id, run_id)
        raise
    tasks = client.task_states(dag_id, run_id)
    if state != "success":
        raise _failure(run, tasks, log_folder)
    return tasks


@dataclass
class LastLogLines:
    """Last log line of each running task, read at most every LOG_EVERY_S seconds."""

    run: DagRun
    _next: float = 0.0
    _tokens: dict[tuple[str, int], str | None] = field(default_factory=dict)
    _lines: dict[tuple[str, int], str] = field(default_factory=dict)

    def update(self, tasks: Sequence[TaskState]) -> list[tuple[TaskState, str]]:
        """Return the running tasks whose last line has changed, with the line; a log that cannot be read has none."""
        if time.monotonic() < self._next:
            return []
        changes = [(task, line) for task in tasks if task.state == "running" and (line := self._read(task))]
        self._next = time.monotonic() + LOG_EVERY_S
        return changes

    def of(self, task: TaskState) -> str:
        """Return the task's last known line; empty where there is none."""
        return self._lines.get((task.label, task.try_number), "")

    def _read(self, task: TaskState) -> str | None:
        key = (task.label, task.try_number)
        client, token = self.run.client, self._tokens.get(key)
        try:
            found, self._tokens[key] = client.new_log_lines(self.run.dag_id, self.run.run_id, task, token)
        except (PageflipError, requests.RequestException, KeyError, TypeError, ValueError):
            return None  # progress is a convenience: the run goes on without it
        lines = [line.strip() for line in found if any(map(str.isalnum, line))]  # neither blanks nor borders of tables
        if not lines or lines[-1] == self._lines.get(key):
            return None
        self._lines[key] = lines[-1]
        return lines[-1]


class _LineDisplay:
    """Progress as lines on standard output: a line per change of a task's state or last log line."""

    def __init__(self, run: DagRun) -> None:
        self._run, self._log = run, LastLogLines(run)
        self._start = time.monotonic()

    def on_change(self, task: TaskState) -> None:
        """Show a task whose state or try has changed."""
        if task.state in SHOWN_STATES:
            seconds = f" in {task.seconds:.0f} s" if task.state == "success" and task.seconds is not None else ""
            attempt = f" (try {task.try_number})" if task.try_number > 1 else ""
            self._print(f"{task.label} {_words(task.state)}{seconds}{attempt}")
        if task.state == AWAITING_INPUT:
            print(_request_for_input(self._run, task), flush=True)

    def on_poll(self, tasks: list[TaskState]) -> None:
        """Show what running tasks have logged."""
        for task, line in self._log.update(tasks):
            self._print(f"{task.label} | {line}", cut=True)

    def _print(self, text: str, *, cut: bool = False) -> None:
        line = f"{time.monotonic() - self._start:6.0f} s  {self._run.dag_id}: {text}"
        print(line[: shutil.get_terminal_size(LOG_WIDTH).columns] if cut else line, flush=True)


class _TableDisplay:
    """Progress as a live table of all tasks, above the last log line of each running one."""

    def __init__(self, run: DagRun, live: Live) -> None:
        self._run, self._log, self._live = run, LastLogLines(run), live
        self._start = time.monotonic()

    def on_change(self, task: TaskState) -> None:
        """Ask for an answer that a task waits for."""
        if task.state == AWAITING_INPUT:
            self._live.console.print(_request_for_input(self._run, task))

    def on_poll(self, tasks: list[TaskState]) -> None:
        """Redraw the table."""
        self._log.update(tasks)
        running = [task for task in tasks if task.state == "running" and self._log.of(task)]
        lines = [Text(f"{task.label} | {self._log.of(task)}", no_wrap=True, overflow="ellipsis") for task in running]
        title = f"{self._run.dag_id}, {time.monotonic() - self._start:.0f} s"
        self._live.update(Group(_table(title, tasks), *lines))


@contextmanager
def _show_progress(run: DagRun) -> Iterator[_LineDisplay | _TableDisplay]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineDisplay(run)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield _TableDisplay(run, live)


def _request_for_input(run: DagRun, task: TaskState) -> str:
    return f"{task.label} waits for your answer: {run.tasks_url}/{task.task_id}/required_actions"


def _table(title: str, tasks: list[TaskState]) -> Table:
    table = Table("task", "state", "seconds", title=title, title_justify="left")
    for task in tasks:
        attempt = f", try {task.try_number}" if task.try_number > 1 else ""
        seconds = f"{task.seconds:.0f}" if task.seconds is not None and task.state == "success" else ""
        style = STYLES.get(task.state or "", "dim")
        table.add_row(task.label, f"[{style}]{_words(task.state or 'waiting')}{attempt}[/]", seconds)
    return table


def _words(state: str) -> str:
    return state.replace("_", " ")


def _failure(run: DagRun, tasks: list[TaskState], log_folder: Path) -> DagRunError:
    failed = [task for task in tasks if task.state == "failed"]
    if not failed:
        return DagRunError(
            f"run {run.run_id} of {run.dag_id} failed outside its tasks", f"open its page at {run.client.url}."
        )
    parts = []
    for task in failed:
        lines = run.client.log_tail(run.dag_id, run.run_id, task, TAIL_LINES)
        tail = "\n    ".join(lines) or "(its log is empty)"
        parts.append(f"{run.dag_id}: {task.label} failed in its try {task.try_number}. Its log ends:\n    {tail}")
    return DagRunError(
        "\n".join(parts),
        "correct what the log names and run this again: completed stages are restored, not computed.\n"
        f"  The whole log: {_log_path(log_folder, run, failed[0])}",
    )


def _log_path(log_folder: Path, run: DagRun, task: TaskState) -> Path:
    folder = log_folder / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task.task_id}"
    mapped = folder if task.map_index < 0 else folder / f"map_index={task.map_index}"
    return mapped / f"attempt={task.try_number}.log"
