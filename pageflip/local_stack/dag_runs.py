"""Run a DAG through Airflow and show how it goes: a live table on a terminal, a line per change in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pageflip.base.errors import PageflipError
from pageflip.local_stack.airflow_client import UNFINISHED, AirflowClient, TaskState

EXIT_RUN_FAILED = 1
WAITS_FOR_A_PERSON = "awaiting_input"
SHOWN_STATES = (WAITS_FOR_A_PERSON, "running", "success", "failed", "skipped", "up_for_retry", "upstream_failed")
STYLES = {"success": "green", "running": "yellow", "failed": "red", "upstream_failed": "red", "up_for_retry": "magenta"}
TAIL_LINES = 20


class DagRunError(PageflipError):
    """A DAG's run ended in failure."""

    exit_code = EXIT_RUN_FAILED


def run_dag(
    client: AirflowClient, dag_id: str, run_id: str, *, timeout: float, ours: str, log_folder: Path
) -> list[TaskState]:
    """Trigger a run, follow it to its end, and return its tasks. An interruption ends the run in Airflow too.

    Args:
        timeout: seconds.
        ours: runs whose ids begin so are left over from a caller that was killed: they are marked as failed.
        log_folder: where Airflow writes the logs of tasks.

    Raises:
        DagRunError: a task failed; the message holds the end of its log.
        UnavailableError: the run took longer than `timeout`, or Airflow does not answer.
        ConfigError: Airflow cannot read the DAG.
    """
    client.wait_until_parsed(dag_id)
    for other in client.unfinished_runs(dag_id):
        if other.startswith(ours):
            client.fail_run(dag_id, other)
        else:
            print(f"{dag_id}: run {other} is under way and goes first", file=sys.stderr, flush=True)
    client.unpause(dag_id)
    client.trigger_dag(dag_id, run_id)
    try:
        with _progress(dag_id, f"{client.url}/dags/{dag_id}/runs/{run_id}/tasks") as (on_change, on_poll):
            state = client.wait_for_run(dag_id, run_id, timeout, on_change, on_poll)
    except BaseException:
        with suppress(PageflipError):
            if client.run_state(dag_id, run_id) in UNFINISHED:
                client.fail_run(dag_id, run_id)
        raise
    tasks = client.task_states(dag_id, run_id)
    if state != "success":
        raise _failure(client, dag_id, run_id, tasks, log_folder)
    return tasks


@contextmanager
def _progress(
    dag_id: str, pages: str
) -> Iterator[tuple[Callable[[TaskState], None], Callable[[list[TaskState]], None]]]:
    """Two callbacks: for each change of a task's state, and for the states of all tasks.

    Args:
        pages: address of the run's tasks, for a task that waits for a person's answer.
    """
    console = Console(stderr=True)
    start = time.monotonic()
    if not console.is_terminal:

        def line(task: TaskState) -> None:
            if task.state in SHOWN_STATES:
                took = f" in {task.seconds:.0f} s" if task.state == "success" and task.seconds is not None else ""
                attempt = f" (try {task.try_number})" if task.try_number > 1 else ""
                state = (task.state or "").replace("_", " ")
                print(f"{time.monotonic() - start:6.0f} s  {dag_id}: {task.label} {state}{took}{attempt}", flush=True)
            _ask(task, pages, lambda text: print(text, flush=True))

        yield line, lambda tasks: None
        return
    with Live(console=console, refresh_per_second=4) as live:

        def redraw(tasks: list[TaskState]) -> None:
            live.update(_table(f"{dag_id}, {time.monotonic() - start:.0f} s", tasks))

        yield lambda task: _ask(task, pages, live.console.print), redraw


def _ask(task: TaskState, pages: str, say: Callable[[str], None]) -> None:
    if task.state == WAITS_FOR_A_PERSON:
        say(f"{task.label} waits for your answer: {pages}/{task.task_id}/required_actions")


def _table(title: str, tasks: list[TaskState]) -> Table:
    table = Table("task", "state", "seconds", title=title, title_justify="left")
    for task in tasks:
        state = (task.state or "waiting").replace("_", " ")
        attempt = f", try {task.try_number}" if task.try_number > 1 else ""
        seconds = f"{task.seconds:.0f}" if task.seconds is not None and task.state == "success" else ""
        table.add_row(task.label, f"[{STYLES.get(task.state or '', 'dim')}]{state}{attempt}[/]", seconds)
    return table


def _failure(client: AirflowClient, dag_id: str, run_id: str, tasks: list[TaskState], log_folder: Path) -> DagRunError:
    failed = [task for task in tasks if task.state == "failed"]
    if not failed:
        return DagRunError(f"run {run_id} of {dag_id} failed outside its tasks", f"open its page at {client.url}.")
    parts = []
    for task in failed:
        tail = "\n    ".join(client.log_tail(dag_id, run_id, task, TAIL_LINES)) or "(its log is empty)"
        parts.append(f"{dag_id}: {task.label} failed in its try {task.try_number}. Its log ends:\n    {tail}")
    return DagRunError(
        "\n".join(parts),
        "correct what the log names and run this again: stages that ended well are restored, not computed.\n"
        f"  The whole log: {_log_path(log_folder, dag_id, run_id, failed[0])}",
    )


def _log_path(log_folder: Path, dag_id: str, run_id: str, task: TaskState) -> Path:
    folder = log_folder / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
    mapped = folder if task.map_index < 0 else folder / f"map_index={task.map_index}"
    return mapped / f"attempt={task.try_number}.log"
