"""The trigger form of `retrain`, and how its values reach the stages.

Empty fields mean: everything as in params.yaml, on the newest data. A run triggered by the asset `pageflip://frames`
reads the data version named in the event.

Where promotion is `manual`, a person decides in the task approve_promotion (approval.py). `promote` reads that decision
again before it acts, because Airflow counts a rejection as a success, and tasks can be cleared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from pageflip_dags.dvc_graph import PARAMS_FILE, read_stages

AUTOMATIC, MANUAL = "automatic", "manual"
APPROVED_STAGE = "promote"
APPROVAL_TASK = "approve_promotion"
DECISION = "decision"  # the only XCom key of this project: {approved: bool, by: name or empty, at: UTC time}
FRAMES_ASSET = "frames"
FRAMES_URI = f"pageflip://{FRAMES_ASSET}"
DATA_VERSION_PATTERN = r"^[0-9a-f]{32}(\.dir)?$"
PUBLISHED = "published"
DEFAULT_MODEL_NAME = "pageflip"


def trigger_form(project: Path) -> dict[str, Param]:
    """Return the fields of the form. Airflow validates their values, whether they come from its UI or its API."""
    models = trained_models(project)
    return {
        "models": Param(
            models,
            title="Models to train",
            description="Models of train.models in params.yaml; the one with the best validation F1 is registered.",
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
            description="A hash printed by `pageflip publish-data`; empty: the newest.",
            type=["null", "string"],
            pattern=DATA_VERSION_PATTERN,
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
            description="automatic: the candidate becomes champion if it passes the gate. manual: a person is asked "
            "first, and then it must pass the gate.",
            type="string",
            enum=[AUTOMATIC, MANUAL],
        ),
    }


def trained_models(project: Path) -> list[str]:
    """Return `train.models` of params.yaml; empty if it is not set."""
    return [str(model) for model in _params_section(project, "train").get("models") or []]


def model_name(project: Path) -> str:
    """Return `register.model_name` of params.yaml."""
    return str(_params_section(project, "register").get("model_name", DEFAULT_MODEL_NAME))


def approval_mode(project: Path) -> str:
    """Return `promote.approval` of params.yaml; automatic if it is not set.

    Raises:
        ValueError: It is neither automatic nor manual.
    """
    mode = _params_section(project, "promote").get("approval", AUTOMATIC)
    if mode not in (AUTOMATIC, MANUAL):
        raise ValueError(f"promote.approval in params.yaml is {mode!r}; it must be {AUTOMATIC} or {MANUAL}")
    return mode


def stage_arguments(stage: str, context: Mapping[str, Any], project: Path, *, published: bool = False) -> list[str]:
    """Return the arguments that the form, or the event that triggered the run, adds to a stage's command.

    Args:
        stage: Name of the stage.
        context: Airflow's task context.
        project: Root folder of the project.
        published: Read the data version published last if neither form nor event names one.

    Raises:
        AirflowSkipException: The form excludes this stage, or its promotion is not approved.
    """
    values = dict(context.get("params") or {})
    overrides = _parameter_overrides(values, project)
    _skip_excluded_stage(stage, overrides, project, dry_run=bool(values.get("dry_run")))
    if stage == APPROVED_STAGE:
        promotion_approver(context)
    arguments = [part for key, value in overrides.items() for part in ("--set", f"{key}={_to_yaml(value)}")]
    version = values.get("data_version") or _event_data_version(context) or (PUBLISHED if published else None)
    return [*arguments, "--data-version", version] if version else arguments


def needs_approval(context: Mapping[str, Any]) -> bool:
    """Return whether a person must approve this run's promotion."""
    values = context.get("params") or {}
    return values.get("approval") == MANUAL and not values.get("dry_run")


def promotion_approver(context: Mapping[str, Any]) -> str | None:
    """Return who approved this run's promotion, by the decision as it stands now; None if no approval is needed.

    Raises:
        AirflowSkipException: The promotion was rejected, or there is no decision.
    """
    if not needs_approval(context):
        return None
    decision = context["ti"].xcom_pull(task_ids=APPROVAL_TASK, key=DECISION)
    if not isinstance(decision, Mapping):  # for example, the task was marked as a success by hand
        raise AirflowSkipException(f"nothing is promoted: nobody has approved. Clear {APPROVAL_TASK} to be asked again")
    if decision.get("approved") is not True or not decision.get("by"):
        raise AirflowSkipException(f"nothing is promoted: {describe_decision(decision)}")
    return str(decision["by"])


def describe_decision(decision: Mapping[str, Any]) -> str:
    """Describe a decision: what, by whom, when."""
    if not decision.get("by"):
        return f"nobody had answered by {decision.get('at')}, which counts as a rejection"
    verdict = "approved" if decision.get("approved") is True else "rejected"
    return f"{verdict} by {decision['by']} at {decision.get('at')}"


def _params_section(project: Path, name: str) -> Mapping[str, Any]:
    try:
        section = yaml.safe_load((project / PARAMS_FILE).read_text(encoding="utf-8"))[name]
    except (OSError, KeyError, TypeError):
        return {}
    return section if isinstance(section, Mapping) else {}


def _parameter_overrides(values: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """Return the parameters, by dotted key, that the form sets to other values than params.yaml."""
    overrides: dict[str, Any] = {}
    selection, models = values.get("models"), trained_models(project)
    if selection and set(selection) != set(models):
        overrides["train.models"] = [model for model in models if model in selection]  # in the order of params.yaml
    if values.get("seed") is not None:
        overrides["train.seed"] = int(values["seed"])
    mode = approval_mode(project)
    if values.get("approval", mode) != mode:
        overrides["promote.approval"] = values["approval"]
    return overrides


def _skip_excluded_stage(stage: str, overrides: Mapping[str, Any], project: Path, *, dry_run: bool) -> None:
    if "train.models" not in overrides and not dry_run:
        return
    stages = {candidate.name: candidate for candidate in read_stages(project, overrides)}
    if stage not in stages:
        raise AirflowSkipException(f"{stage} is not among the models of this run: {overrides['train.models']}")
    if dry_run and "verify" in stages[stage].meta:  # set on stages that change something outside DVC
        raise AirflowSkipException(f"this is a dry run: {stage} would change the registry")


def _event_data_version(context: Mapping[str, Any]) -> str | None:
    """Return the data version named in the newest event of the asset."""
    for asset, events in (context.get("triggering_asset_events") or {}).items():
        if str(getattr(asset, "uri", "")).rstrip("/") == FRAMES_URI:
            newest = max(events, key=lambda event: event.timestamp, default=None)
            return (newest.extra or {}).get("data_version") if newest else None
    return None


def _to_yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
