"""The task in which a person decides whether the candidate may become champion: Airflow's ApprovalOperator.

It asks in the runs whose promotion is `manual` (promote.approval of params.yaml, or the run's form), and waits outside
of every worker and pool. Approved, `promote` runs and its gate still decides. Rejected, or unanswered for too long,
nothing is promoted; Airflow counts that as a success, so `promote` reads the decision again (run_form.py).

| variable | default | what |
| --- | --- | --- |
| PAGEFLIP_APPROVAL_HOURS | 48 | how long to wait for an answer; none counts as a rejection |
| PAGEFLIP_APPROVERS | whoever may change the DAG's runs | user ids who may answer, with commas |
"""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowSkipException

from pageflip_dags.alerts import hours_of, tell
from pageflip_dags.mlflow_link import registered_version, report_page, tracking_server, version_page
from pageflip_dags.run_form import APPROVAL_TASK, DECISION, is_asked, model_name, outcome
from pageflip_dags.task_command import project_root

DEFAULT_HOURS = 48.0  # a run that begins on Sunday can be decided on until Tuesday
ASKING_SECONDS = 120  # for asking and for taking the answer, not for the wait between them
ELSEWHERE = "The figures: `pageflip lineage candidate`, in the project. The report: in MLflow (`make up`)."
RULE = (
    "**Approve**: `promote` compares both on this run's test split, and moves the alias only if the candidate is "
    "better. **Reject**: nothing is promoted, and the champion stays in service."
)


class WaitingNotice(BaseNotifier):
    """Tell people that a decision waits for them, and where to make it."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Log it, and post it to the webhook; never raises: the question stands either way."""
        task = context["task"]
        tell(
            f"{task.dag_id}: run {context['run_id']} waits for a decision: {task.subject}\n{task.body}\n"
            f"  Decide at {_decision_page(context)}",
            {
                "event": "approval_waits",
                "dag": task.dag_id,
                "run": context["run_id"],
                "url": _decision_page(context),
            },
            logging.WARNING,
        )


class PromotionApproval(ApprovalOperator):
    """Ask whether the candidate may be promoted, where a person is to be asked; be skipped where not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="May the candidate become champion?",
            body=RULE,
            defaults=self.REJECT,
            response_timeout=timedelta(hours=approval_hours()),
            assigned_users=[{"id": user, "name": user} for user in _approvers()] or None,
            notifiers=WaitingNotice(),
            **kwargs,
        )

    def execute(self, context: Mapping[str, Any]) -> None:
        """Ask and wait.

        Raises:
            AirflowSkipException: nobody is to be asked; `promote` comes next all the same.
        """
        if not is_asked(context):
            raise AirflowSkipException("nobody is asked: promotion is automatic, or this is a dry run")
        self.subject, self.body = question(model_name(project_root()), approval_hours())
        super().execute(context)

    def execute_complete(self, context: Mapping[str, Any], event: dict[str, Any]) -> Any:
        """Keep the decision for `promote` and tell of it; a rejection then skips what follows."""
        if "error" not in event:
            user = event["responded_by_user"]
            made = {
                "approved": event["chosen_options"] == [self.APPROVE] and user is not None,
                "by": (user["name"] or user["id"]) if user else "",
                "at": f"{event['responded_at']:%Y-%m-%d %H:%M:%S} UTC",
            }
            context["ti"].xcom_push(key=DECISION, value=made)
            self._tell(context, made)
        return super().execute_complete(context, event)

    def _tell(self, context: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        said = f"{self.dag_id}: promotion of run {context['run_id']}: {outcome(made)}"
        if made["approved"]:
            self.log.info("%s", said)
            return
        tell(
            f"{said}.\n  Nothing was promoted, the champion stays in service. The candidate stays registered; clear "
            f"{self.task_id} with what follows to be asked again.",
            {"event": "promotion_rejected", "dag": self.dag_id, "run": context["run_id"], "by": made["by"]},
            logging.WARNING,
        )


def approval_hours() -> float:
    """PAGEFLIP_APPROVAL_HOURS as a number.

    Raises:
        ValueError: it is no number above 0.
    """
    return hours_of("PAGEFLIP_APPROVAL_HOURS", DEFAULT_HOURS)


def approval_task() -> PromotionApproval:
    """The task. It follows stages that were left out (of a dry run, say), but not one that failed."""
    return PromotionApproval(
        task_id=APPROVAL_TASK,
        doc_md="Where promotion is `manual`, a person decides here: Approve or Reject.",
        trigger_rule="none_failed",
        execution_timeout=timedelta(seconds=ASKING_SECONDS),
        do_xcom_push=False,
    )


def question(name: str, hours: float) -> tuple[str, str]:
    """Subject and body (Markdown): which version, its figures and the champion's, where to look, until when.

    The figures are what MLflow's server holds; without a server, the body says where they are.
    """
    subject, facts = f"May the candidate of {name} become champion?", f"MLflow has no server here. {ELSEWHERE}"
    try:
        candidate = registered_version(name, "candidate") if tracking_server() else None
        if candidate is not None:
            subject = f"May {name} version {candidate['version']} become champion?"
            facts = _facts(name, candidate, registered_version(name, "champion"))
    except (OSError, ValueError, KeyError) as error:
        facts = f"MLflow's server did not tell the figures ({error}). {ELSEWHERE}"
    until = datetime.now(UTC) + timedelta(hours=hours)
    return subject, f"{facts}\n\n{RULE} No answer by {until:%Y-%m-%d %H:%M} UTC counts as a rejection."


def _facts(name: str, candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> str:
    lines = [
        f"- Candidate: [version {candidate['version']}]({version_page(name, candidate['version'])}), "
        f"{_figures(candidate['tags'])}; [its evaluation]({report_page(candidate['run_id'])})"
    ]
    if champion is None:
        return "\n".join([*lines, "- Champion: there is none yet"])
    if champion["version"] == candidate["version"]:
        return "\n".join([*lines, "- Champion: it is this version already"])
    same = champion["tags"].get("split") == candidate["tags"].get("split")
    note = "" if same else "; on another test split, so the two figures do not compare"
    champion_page = version_page(name, champion["version"])
    return "\n".join(
        [*lines, f"- Champion: [version {champion['version']}]({champion_page}), {_figures(champion['tags'])}{note}"]
    )


def _figures(tags: Mapping[str, str]) -> str:
    """F1 with its interval, from the tags that tasks/register.py leaves."""
    try:
        f1, low, high = (float(tags[f"metric.{key}"]) for key in ("f1", "f1_low", "f1_high"))
    except (KeyError, ValueError):
        return "no F1 noted"
    where = f" on {tags['metric.n']} test frames" if "metric.n" in tags else ""
    return f"F1 {f1:.3f} ({low:.3f} to {high:.3f}){where}, {tags.get('network', 'network unknown')}"


def _approvers() -> list[str]:
    return [user.strip() for user in (os.environ.get("PAGEFLIP_APPROVERS") or "").split(",") if user.strip()]


def _decision_page(context: Mapping[str, Any]) -> str:
    """The page with the two buttons; Airflow's own word for it where its address is not set."""
    try:
        return HITLOperator.generate_link_to_ui_from_context(context=context)
    except ValueError:
        return "Airflow, Required Actions"
