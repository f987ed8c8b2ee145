"""Where a model version comes from, from what MLflow holds: tags, the training run, and the dvc.lock logged with it."""

from typing import Any

import yaml

from pageflip import registry
from pageflip.errors import ConfigError


def trace_version(name: str, version: str) -> dict[str, Any]:
    """Collect what is known of a version (a number or an alias), from the code's revision to its aliases.

    Raises:
        ConfigError: there is no such version.
        UnavailableError: MLflow did not answer.
    """
    found = registry.get_version(name, version)
    if found is None:
        raise ConfigError(f"the model {name} has no version {version!r}", "see `make up` and the page of the registry.")
    run = registry.get_run(found.run_id)
    tags = found.tags
    return {
        "model": f"{name} version {found.version}",
        "aliases": registry.aliases(name, str(found.version)),
        "promotion": tags.get("pageflip.promotion", "never promoted"),
        "artifact_sha256": tags.get(registry.ARTIFACT),
        "weights_sha256": tags.get(registry.WEIGHTS),
        "git_revision": tags.get("git_revision"),
        "data_version": tags.get("data_version"),
        "split": {"sha256": tags.get("split"), "protocol": tags.get("protocol")},
        "metrics": {key.removeprefix("metric."): tags[key] for key in sorted(tags) if key.startswith("metric.")},
        "stages": _stages(registry.read_run_text(found.run_id, "lineage/dvc.lock")),
        "mlflow_run": found.run_id,
        "airflow": {key: run.data.tags[key] for key in sorted(run.data.tags) if key.startswith("airflow.")},
        "params": dict(sorted(run.data.params.items())),
    }


def _stages(lock: str | None) -> dict[str, dict[str, str]]:
    """Stage -> output -> hash."""
    if lock is None:
        return {}
    stages = yaml.safe_load(lock).get("stages", {})
    return {
        name: {out["path"]: out["md5"] for out in entry.get("outs", []) if "md5" in out}
        for name, entry in stages.items()
    }
