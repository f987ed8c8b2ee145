"""Alerts for failed, late and waiting runs: the task log, and a webhook if PAGEFLIP_ALERT_URL is set.

The webhook receives a JSON object: `text` holds the whole message, as Slack and Mattermost expect it, and the other
keys hold the details. An alert that cannot be delivered is logged; it never fails a task or a run.
"""

import json
import logging
import os
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

from pageflip_dags.task_command import FINAL_EXIT_CODES

WEBHOOK_TIMEOUT_SECONDS = 10.0
FINAL_ERRORS = tuple(f"exit code {code}:" for code in FINAL_EXIT_CODES)  # how the messages of failure() begin
DEFAULT_DEADLINE_HOURS = 12.0
MAX_HOURS = 24 * 365.0
MAX_ERROR_CHARACTERS = 2000

logger = logging.getLogger(__name__)


def alert_task_failure(context: Mapping[str, Any]) -> None:
    """Alert that a task has failed and will not be retried: error, log and next step."""
    task = context["ti"]
    run = context.get("run_id")
    error = str(context.get("exception") or "no reason given")
    name = f"{task.dag_id}: {task.task_id}"
    if task.map_index >= 0:
        name += f"[{task.map_index}]"
    if error.startswith(FINAL_ERRORS):
        step = "correct what the log names and trigger a new run: stages that succeeded are restored, not recomputed."
    else:
        step = "check disk, memory and services, then clear the task: the run continues from there."
    log_url = getattr(task, "log_url", None) or "see the task's page"
    send_alert(
        f"{name} failed in run {run}, try {task.try_number}.\n{error[:MAX_ERROR_CHARACTERS]}\n"
        f"  Log: {log_url}\n  What to do: {step}",
        {"event": "task_failed", "dag": task.dag_id, "task": task.task_id, "run": run, "log": log_url},
    )


def alert_run_timeout(context: Mapping[str, Any]) -> None:
    """Alert that a run exceeded its time limit; failed tasks have sent their own alert already."""
    reason = str(context.get("reason") or "")
    if "timed_out" not in reason:
        return
    dag, run = context["dag"].dag_id, context.get("run_id")
    send_alert(
        f"{dag}: run {run} was stopped because it exceeded the time limit of a run.\n"
        "  What to do: find the task that took so long, then clear the failed tasks.",
        {"event": "run_timed_out", "dag": dag, "run": run},
    )


def alert_late_run(context: Mapping[str, Any]) -> None:
    """Alert that a run has missed its deadline; the run continues."""
    run = context.get("dag_run") or {}
    dag, run_id = _field(run, "dag_id"), _field(run, "dag_run_id") or _field(run, "run_id")
    send_alert(
        f"{dag}: run {run_id} is late: it has not finished {deadline_hours():g} hours after it was queued.\n"
        "  What to do: check which of its tasks is waiting or running; the run continues meanwhile.",
        {"event": "run_late", "dag": dag, "run": run_id},
    )


def retrain_deadline() -> DeadlineAlert:
    """Return the deadline of a run, counted from the moment it is queued.

    Raises:
        ValueError: PAGEFLIP_RETRAIN_DEADLINE_HOURS is not a number above 0.
    """
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=deadline_hours()),
        # on the executor: the triggerer does not have the DAGs folder on its path
        callback=SyncCallback(alert_late_run),
    )


def deadline_hours() -> float:
    """Return PAGEFLIP_RETRAIN_DEADLINE_HOURS as a number."""
    return read_hours("PAGEFLIP_RETRAIN_DEADLINE_HOURS", DEFAULT_DEADLINE_HOURS)


def read_hours(variable: str, default: float) -> float:
    """Read a number of hours from an environment variable.

    Raises:
        ValueError: The value is not a number above 0, or is longer than a year.
    """
    text = os.environ.get(variable) or str(default)
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < MAX_HOURS:
        raise ValueError(f"{variable} is {text!r}; it must be a number of hours above 0, and less than a year")
    return hours


def send_alert(text: str, details: Mapping[str, Any], level: int = logging.ERROR) -> None:
    """Log a message and, if PAGEFLIP_ALERT_URL is set, post it there together with its details."""
    logger.log(level, "%s", text)
    url = os.environ.get("PAGEFLIP_ALERT_URL")
    if not url:
        return
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("it is not an http:// or https:// address")
        body = json.dumps({"text": text, **details}, default=str).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_SECONDS):
            pass
    except (OSError, ValueError) as error:
        # without the address, which may contain a key
        logger.error("the alert could not be posted to PAGEFLIP_ALERT_URL: %s", error)


def _field(run: Any, name: str) -> Any:
    return run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
