"""The task in which a person approves or rejects the promotion of the candidate: Airflow's ApprovalOperator.

It asks in runs whose promotion is `manual` (promote.approval of params.yaml, or the trigger form), and occupies no
worker and no pool slot while it waits. Once approved, `promote` runs, and its gate still decides. If the candidate is
rejected, or nobody answers in time, nothing is promoted. Airflow counts a rejection as a success, so `promote` reads
the decision again before it acts (run_form.py).

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_APPROVAL_HOURS | 48 | how long to wait for an answer; no answer counts as a rejection |
| PAGEFLIP_APPROVERS | everyone who may change the DAG's runs | comma-separated ids of the users who may answer |
"""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowSkipException

from pageflip_dags.alerts import read_hours, send_alert
from pageflip_dags.mlflow_link import registered_version, report_url, tracking_server, version_url
from pageflip_dags.run_form import APPROVAL_TASK, DECISION, describe_decision, model_name, needs_approval
from pageflip_dags.task_command import project_root

DEFAULT_HOURS = 48.0  # a run that starts on Sunday can be decided on until Tuesday
EXECUTION_SECONDS = 120  # for sending the request and for processing the answer, not for the wait in between
LINEAGE_HINT = "See the metrics with `pageflip lineage candidate` in the project, and the report in MLflow (`make up`)."
CHOICES = (
    "**Approve**: `promote` compares both models on this run's test split, and moves the alias only if the candidate "
    "is better. **Reject**: nothing is promoted, and the champion stays in service."
)


class ApprovalNotifier(BaseNotifier):
    """Alert that a run waits for a decision, with the link to the page where it is made."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Send the alert. Never raises: the request stands whether or not the alert is delivered."""
        task = context["task"]
        url = _decision_url(context)
        send_alert(
            f"{task.dag_id}: run {context['run_id']} waits for a decision: {task.subject}\n{task.body}\n"
            f"  Decide at {url}",
            {"event": "approval_waits", "dag": task.dag_id, "run": context["run_id"], "url": url},
            logging.WARNING,
        )


class PromotionApproval(ApprovalOperator):
    """Request approval of the promotion where it is manual; skip the task where it is automatic."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="May the candidate become champion?",
            body=CHOICES,
            defaults=self.REJECT,
            response_timeout=timedelta(hours=approval_hours()),
            assigned_users=[{"id": user, "name": user} for user in _approvers()] or None,
            notifiers=ApprovalNotifier(),
            **kwargs,
        )

    def execute(self, context: Mapping[str, Any]) -> None:
        """Send the request and wait for the answer.

        Raises:
            AirflowSkipException: This run needs no approval; `promote` runs next all the same.
        """
        if not needs_approval(context):
            raise AirflowSkipException("no approval is needed: promotion is automatic, or this is a dry run")
        self.subject, self.body = compose_request(model_name(project_root()), approval_hours())
        super().execute(context)

    def execute_complete(self, context: Mapping[str, Any], event: dict[str, Any]) -> Any:
        """Push the decision to XCom for `promote` and report it; after a rejection, skip the downstream tasks."""
        if "error" not in event:
            user = event["responded_by_user"]
            decision = {
                "approved": event["chosen_options"] == [self.APPROVE] and user is not None,
                "by": (user["name"] or user["id"]) if user else "",
                "at": f"{event['responded_at']:%Y-%m-%d %H:%M:%S} UTC",
            }
            context["ti"].xcom_push(key=DECISION, value=decision)
            self._report(context, decision)
        return super().execute_complete(context, event)

    def _report(self, context: Mapping[str, Any], decision: Mapping[str, Any]) -> None:
        message = f"{self.dag_id}: promotion of run {context['run_id']}: {describe_decision(decision)}"
        if decision["approved"]:
            self.log.info("%s", message)
            return
        send_alert(
            f"{message}.\n  Nothing was promoted; the champion stays in service, and the candidate stays registered. "
            f"To be asked again, clear {self.task_id} and its downstream tasks.",
            {"event": "promotion_rejected", "dag": self.dag_id, "run": context["run_id"], "by": decision["by"]},
            logging.WARNING,
        )


def approval_hours() -> float:
    """Return PAGEFLIP_APPROVAL_HOURS as a number.

    Raises:
        ValueError: The value is not a number above 0.
    """
    return read_hours("PAGEFLIP_APPROVAL_HOURS", DEFAULT_HOURS)


def approval_task() -> PromotionApproval:
    """Create the approval task. It runs after skipped stages (of a dry run, say), but not after a failed one."""
    return PromotionApproval(
        task_id=APPROVAL_TASK,
        doc_md="Where promotion is `manual`, a person approves or rejects it here.",
        trigger_rule="none_failed",
        execution_timeout=timedelta(seconds=EXECUTION_SECONDS),
        do_xcom_push=False,
    )


def compose_request(name: str, hours: float) -> tuple[str, str]:
    """Compose the approval request for a model: candidate, champion, their metrics and links, and the deadline.

    The metrics come from the MLflow server. Without one, or if it fails, the body says where to find them.

    Args:
        name: Name of the registered model.
        hours: Time until an unanswered request counts as a rejection.

    Returns:
        Subject and body, both Markdown.
    """
    subject, facts = f"May the candidate of {name} become champion?", f"No MLflow server is configured. {LINEAGE_HINT}"
    try:
        candidate = registered_version(name, "candidate") if tracking_server() else None
        if candidate is not None:
            subject = f"May {name} version {candidate['version']} become champion?"
            facts = _compare(name, candidate, registered_version(name, "champion"))
    except (OSError, ValueError, KeyError) as error:
        facts = f"The metrics could not be read from the MLflow server ({error}). {LINEAGE_HINT}"
    until = datetime.now(UTC) + timedelta(hours=hours)
    return subject, f"{facts}\n\n{CHOICES} No answer by {until:%Y-%m-%d %H:%M} UTC counts as a rejection."


def _compare(name: str, candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> str:
    lines = [
        f"- Candidate: [version {candidate['version']}]({version_url(name, candidate['version'])}), "
        f"{_format_metrics(candidate['tags'])}; [its evaluation]({report_url(candidate['run_id'])})"
    ]
    if champion is None:
        lines.append("- Champion: there is none yet")
    elif champion["version"] == candidate["version"]:
        lines.append("- Champion: it is this version already")
    else:
        same_split = champion["tags"].get("split") == candidate["tags"].get("split")
        note = "" if same_split else "; measured on another test split, so the two are not comparable"
        url = version_url(name, champion["version"])
        lines.append(f"- Champion: [version {champion['version']}]({url}), {_format_metrics(champion['tags'])}{note}")
    return "\n".join(lines)


def _format_metrics(tags: Mapping[str, str]) -> str:
    """Format F1 and its interval from the tags that tasks/register.py sets on a model version."""
    try:
        f1, low, high = (float(tags[f"metric.{key}"]) for key in ("f1", "f1_low", "f1_high"))
    except (KeyError, ValueError):
        return "no F1 recorded"
    where = f" on {tags['metric.n']} test frames" if "metric.n" in tags else ""
    return f"F1 {f1:.3f} ({low:.3f} to {high:.3f}){where}, {tags.get('network', 'network unknown')}"


def _approvers() -> list[str]:
    return [user.strip() for user in (os.environ.get("PAGEFLIP_APPROVERS") or "").split(",") if user.strip()]


def _decision_url(context: Mapping[str, Any]) -> str:
    """Return the URL of the page with the two buttons, or where to find it if Airflow's own URL is not configured."""
    try:
        return HITLOperator.generate_link_to_ui_from_context(context=context)
    except ValueError:
        return "Airflow, Required Actions"
