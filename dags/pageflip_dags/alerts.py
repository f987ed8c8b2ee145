"""Who is told when a run fails, is late or waits for a person: the log, and a webhook if PAGEFLIP_ALERT_URL names one.

The webhook gets a JSON object whose `text` is the whole message, as Slack, Mattermost and others take it, and the facts
beside it. An alert that cannot be delivered is logged; it never fails anything itself.
"""

import json
import logging
import os
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

WEBHOOK_SECONDS = 10.0
FINAL = "exit code 65", "exit code 78"
DEFAULT_DEADLINE_HOURS = 12.0
LONGEST_HOURS = 24 * 365.0
SHOWN_CHARACTERS = 2000

logger = logging.getLogger(__name__)


def task_failed(context: Mapping[str, Any]) -> None:
    """Tell that a task has failed for good: which, why, where its log is, and what to do next."""
    task = context["ti"]
    error = str(context.get("exception") or "no reason given")
    name = f"{task.dag_id}: {getattr(task, 'task_id', '?')}"
    if getattr(task, "map_index", -1) >= 0:
        name += f"[{task.map_index}]"
    if error.startswith(FINAL):
        step = "correct what the log names and trigger a new run: stages that ended well are restored, not computed."
    else:
        step = "look at disk, memory and services, then clear the task: the run goes on from there."
    log_url = getattr(task, "log_url", None) or "see the task's page"
    run = context.get("run_id")
    tell(
        f"{name} failed in run {run}, try {task.try_number}.\n{error[:SHOWN_CHARACTERS]}\n"
        f"  Log: {log_url}\n  What to do: {step}",
        {
            "event": "task_failed",
            "dag": task.dag_id,
            "task": task.task_id,
            "run": context.get("run_id"),
            "log": log_url,
        },
    )


def run_failed(context: Mapping[str, Any]) -> None:
    """Tell that a run ended over its time limit; of a failed task `task_failed` has told already."""
    reason = str(context.get("reason") or "")
    if "timed_out" not in reason:
        return
    dag = context["dag"].dag_id
    tell(
        f"{dag}: run {context.get('run_id')} was ended: it took longer than a run may.\n"
        "  What to do: see which task took so long, then clear what failed.",
        {"event": "run_timed_out", "dag": dag, "run": context.get("run_id")},
    )


def run_is_late(context: Mapping[str, Any]) -> None:
    """Tell that a run is not over by its deadline; it goes on."""
    run = context.get("dag_run") or {}
    dag, run_id = _field(run, "dag_id"), _field(run, "dag_run_id") or _field(run, "run_id")
    tell(
        f"{dag}: run {run_id} is late: it is not over {deadline_hours():g} hours after it was queued.\n"
        "  What to do: see which of its tasks waits or runs; it goes on meanwhile.",
        {"event": "run_late", "dag": dag, "run": run_id},
    )


def deadline() -> DeadlineAlert:
    """The deadline of a run, from the moment it was queued.

    Raises:
        ValueError: PAGEFLIP_RETRAIN_DEADLINE_HOURS is no number above 0.
    """
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=deadline_hours()),
        # on the executor and not the triggerer, which does not see the modules of this folder
        callback=SyncCallback("pageflip_dags.alerts.run_is_late"),
    )


def deadline_hours() -> float:
    """PAGEFLIP_RETRAIN_DEADLINE_HOURS as a number."""
    return hours_of("PAGEFLIP_RETRAIN_DEADLINE_HOURS", DEFAULT_DEADLINE_HOURS)


def hours_of(variable: str, default: float) -> float:
    """A variable that holds a number of hours.

    Raises:
        ValueError: it is no number above 0, or longer than a year.
    """
    text = os.environ.get(variable) or str(default)
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < LONGEST_HOURS:
        raise ValueError(f"{variable} is {text!r}; it must be a number of hours above 0")
    return hours


def tell(text: str, facts: Mapping[str, Any], level: int = logging.ERROR) -> None:
    """Log the message, and post it to PAGEFLIP_ALERT_URL if that is set."""
    logger.log(level, "%s", text)
    url = os.environ.get("PAGEFLIP_ALERT_URL")
    if not url:
        return
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("it is no http:// or https:// address")
        body = json.dumps({"text": text, **facts}, default=str).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS):
            pass
    except (OSError, ValueError) as error:
        logger.error("the alert could not be posted to PAGEFLIP_ALERT_URL: %s", error)  # the address may hold a key


def _field(run: Any, name: str) -> Any:
    return run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
