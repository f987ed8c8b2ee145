"""The form with which a run of `retrain` is triggered by hand, and what of it reaches the stages.

Nothing filled in means: everything as params.yaml and the newest data have it. A run that the asset `pageflip://frames`
triggered reads the data version that the event names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from dvc_graph import read_stages

AUTOMATIC, MANUAL = "automatic", "manual"
APPROVED_STAGE = "promote"
FRAMES_ASSET = "pageflip://frames"
HASH = r"^[0-9a-f]{32}(\.dir)?$"
PUBLISHED = "published"


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
            AUTOMATIC,
            title="Promotion",
            description="automatic: when the candidate passes the gate. manual: the run ends with the candidate "
            "registered; to promote it, trigger a run with automatic (what did not change is restored).",
            type="string",
            enum=[AUTOMATIC, MANUAL],
        ),
    }


def trained_models(project: Path) -> list[str]:
    """`train.models` of params.yaml; empty where there is none."""
    try:
        params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        return [str(model) for model in params["train"]["models"]]
    except (OSError, KeyError, TypeError):
        return []


def stage_arguments(stage: str, context: Mapping[str, Any], project: Path, *, published: bool = False) -> list[str]:
    """What the run's form (or the event that triggered it) adds to a stage's command.

    Args:
        published: where neither names a data version, ask for the one published last.

    Raises:
        AirflowSkipException: the form leaves this stage out.
    """
    filled = dict(context.get("params") or {})
    settings = _settings(filled, project)
    _leave_out(stage, filled, settings, project)
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
    return settings


def _leave_out(stage: str, filled: Mapping[str, Any], settings: Mapping[str, Any], project: Path) -> None:
    if "train.models" not in settings and not filled.get("dry_run") and filled.get("approval") != MANUAL:
        return
    stages = {found.name: found for found in read_stages(project, settings)}
    if stage not in stages:
        raise AirflowSkipException(f"{stage} is not among the models of this run: {settings['train.models']}")
    if filled.get("dry_run") and "verify" in stages[stage].meta:  # it leaves something outside DVC
        raise AirflowSkipException(f"this is a dry run: {stage} would change the registry")
    if filled.get("approval") == MANUAL and stage == APPROVED_STAGE:
        raise AirflowSkipException("promotion waits for a person: trigger a run with approval `automatic` to promote")


def _event_version(context: Mapping[str, Any]) -> str | None:
    """The data version that the newest event of the asset names."""
    for asset, events in (context.get("triggering_asset_events") or {}).items():
        if str(getattr(asset, "uri", "")).rstrip("/") == FRAMES_ASSET:
            newest = max(events, key=lambda event: event.timestamp, default=None)
            return (newest.extra or {}).get("data_version") if newest else None
    return None


def _text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
