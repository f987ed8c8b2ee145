"""The form with which a run of `retrain` is triggered by hand, and what of it reaches the stages.

Nothing filled in means: everything as params.yaml and the newest data have it. A run that the asset `pageflip://frames`
triggered reads the data version that the event names.

Where promotion is `manual`, a person decides in the task approve_promotion (approval.py), and `promote` reads that
decision again before it acts: a rejected approval counts as a success in Airflow, and a task may be cleared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from pageflip_dags.dvc_graph import read_stages

AUTOMATIC, MANUAL = "automatic", "manual"
APPROVED_STAGE = "promote"
APPROVAL_TASK = "approve_promotion"
DECISION = "decision"  # the one XCom of this project: {approved: bool, by: who or empty, at: ISO 8601}
FRAMES_ASSET = "pageflip://frames"
HASH = r"^[0-9a-f]{32}(\.dir)?$"
PUBLISHED = "published"
DEFAULT_MODEL_NAME = "pageflip"


def form(project: Path) -> dict[str, Param]:
    """The fields; Airflow's web page draws them and refuses what does not fit, from any caller."""
    models = trained_models(project)
    return {
        "models": Param(
            models,
            title="Models to train",
            description="Those of train.models in params.yaml; the best of them by validation F1 is registered.",
            type="array",
            items={"type": "string", "enum": models},
            examples=models,
            minItems=1,
            uniqueItems=True,
        ),
        "seed": Param(
            None,
            title="Seed",
            description="train.seed for this run; empty: the one in params.yaml.",
            type=["null", "integer"],
            minimum=0,
            maximum=2**31 - 1,
        ),
        "data_version": Param(
            None,
            title="Data version",
            description="A hash that `pageflip publish-data` printed; empty: the newest.",
            type=["null", "string"],
            pattern=HASH,
        ),
        "dry_run": Param(
            False,
            title="Dry run",
            description="Train and evaluate, but register and promote nothing.",
            type="boolean",
        ),
        "approval": Param(
            approval_mode(project),
            title="Promotion",
            description="automatic: the candidate becomes champion when it passes the gate. manual: a person is asked "
            "first, and then it must pass the gate.",
            type="string",
            enum=[AUTOMATIC, MANUAL],
        ),
    }


def trained_models(project: Path) -> list[str]:
    """`train.models` of params.yaml; empty where there is none."""
    return [str(model) for model in _section(project, "train").get("models") or []]


def model_name(project: Path) -> str:
    """`register.model_name` of params.yaml."""
    return str(_section(project, "register").get("model_name", DEFAULT_MODEL_NAME))


def approval_mode(project: Path) -> str:
    """`promote.approval` of params.yaml; automatic where there is none.

    Raises:
        ValueError: it is neither automatic nor manual.
    """
    mode = _section(project, "promote").get("approval", AUTOMATIC)
    if mode not in (AUTOMATIC, MANUAL):
        raise ValueError(f"promote.approval in params.yaml is {mode!r}; it must be {AUTOMATIC} or {MANUAL}")
    return mode


def _section(project: Path, name: str) -> Mapping[str, Any]:
    """A section of params.yaml; empty where there is none."""
    try:
        section = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))[name]
    except (OSError, KeyError, TypeError):
        return {}
    return section if isinstance(section, Mapping) else {}


def stage_arguments(stage: str, context: Mapping[str, Any], project: Path, *, published: bool = False) -> list[str]:
    """What the run's form (or the event that triggered it) adds to a stage's command.

    Args:
        published: where neither names a data version, ask for the one published last.

    Raises:
        AirflowSkipException: the form leaves this stage out, or nobody has approved of it.
    """
    filled = dict(context.get("params") or {})
    settings = _settings(filled, project)
    _leave_out(stage, filled, settings, project)
    if stage == APPROVED_STAGE:
        approved_by(context)
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={_text(value)}")]
    version = filled.get("data_version") or _event_version(context) or (PUBLISHED if published else None)
    return [*arguments, "--data-version", version] if version else arguments


def _settings(filled: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """The parameters that the form sets, by dotted key; only those that differ from params.yaml's."""
    settings: dict[str, Any] = {}
    chosen = filled.get("models")
    every = trained_models(project)
    if chosen and set(chosen) != set(every):
        settings["train.models"] = [model for model in every if model in chosen]  # the order of params.yaml
    if filled.get("seed") is not None:
        settings["train.seed"] = int(filled["seed"])
    if filled.get("approval", approval_mode(project)) != approval_mode(project):
        settings["promote.approval"] = filled["approval"]
    return settings


def _leave_out(stage: str, filled: Mapping[str, Any], settings: Mapping[str, Any], project: Path) -> None:
    if "train.models" not in settings and not filled.get("dry_run"):
        return
    stages = {found.name: found for found in read_stages(project, settings)}
    if stage not in stages:
        raise AirflowSkipException(f"{stage} is not among the models of this run: {settings['train.models']}")
    if filled.get("dry_run") and "verify" in stages[stage].meta:  # it leaves something outside DVC
        raise AirflowSkipException(f"this is a dry run: {stage} would change the registry")


def is_asked(context: Mapping[str, Any]) -> bool:
    """Whether a person decides on this run's promotion."""
    filled = context.get("params") or {}
    return filled.get("approval") == MANUAL and not filled.get("dry_run")


def approved_by(context: Mapping[str, Any]) -> str | None:
    """Who has approved of this run's promotion, by the decision as it stands now; None where nobody is asked.

    Raises:
        AirflowSkipException: it was rejected, or there is no decision.
    """
    if not is_asked(context):
        return None
    made = context["ti"].xcom_pull(task_ids=APPROVAL_TASK, key=DECISION)
    if not isinstance(made, Mapping):  # the task was marked as a success by hand, say
        raise AirflowSkipException(f"nothing is promoted: nobody has approved. Clear {APPROVAL_TASK} to be asked again")
    if made.get("approved") is not True or not made.get("by"):
        raise AirflowSkipException(f"nothing is promoted: {outcome(made)}")
    return str(made["by"])


def outcome(made: Mapping[str, Any]) -> str:
    """A decision in words: what, who, when."""
    if not made.get("by"):
        return f"nobody had answered by {made.get('at')}, which counts as a rejection"
    return f"{'approved' if made.get('approved') is True else 'rejected'} by {made['by']} at {made.get('at')}"


def _event_version(context: Mapping[str, Any]) -> str | None:
    """The data version that the newest event of the asset names."""
    for asset, events in (context.get("triggering_asset_events") or {}).items():
        if str(getattr(asset, "uri", "")).rstrip("/") == FRAMES_ASSET:
            newest = max(events, key=lambda event: event.timestamp, default=None)
            return (newest.extra or {}).get("data_version") if newest else None
    return None


def _text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
