"""Lineage of a model version, from the code's revision to the uploads scored with it.

Everything is read from records: the version's tags, its training run, the dvc.lock logged with it, the journal of alias
moves, and the results store. A record that cannot be read is reported in its place, beside the others.
"""

from collections.abc import Callable
from typing import Any

import yaml

from pageflip.base import settings
from pageflip.base.errors import ConfigError, PageflipError
from pageflip.base.nested import flatten
from pageflip.registry import aliases as registry_aliases
from pageflip.registry import client, journal, versions
from pageflip.scoring import results

UPLOADS = 5  # listed by default


def trace_version(name: str, version: str, *, uploads: int = UPLOADS) -> dict[str, Any]:
    """Collect the records of a version in chronological order.

    Args:
        name: of the registered model.
        version: a number or an alias.
        uploads: number of scored uploads to list, the newest first.

    Returns:
        model, git_revision, data_version, split, params, stage_params, stages, mlflow_run, airflow, version,
        alias_history and scored_uploads; ready for JSON. A part that could not be read is {"unavailable": why}.

    Raises:
        ConfigError: there is no such version.
        UnavailableError: MLflow did not answer.
    """
    found = versions.get_version(name, version)
    if found is None:
        raise ConfigError(f"the model {name} has no version {version!r}", "see the registry's page (`make up`).")
    tags, number = found.tags, str(found.version)
    run = _read_or_explain(lambda: _read_run(found.run_id))
    lock = _read_or_explain(lambda: _read_lock(found.run_id))
    return {
        "model": f"{name} version {number}",
        "git_revision": tags.get("git_revision"),
        "data_version": tags.get("data_version"),
        "split": {"sha256": tags.get("split"), "protocol": tags.get("protocol")},
        "params": run.pop("params", {}),
        "stage_params": lock.pop("params", {}),
        "stages": lock if "unavailable" in lock else lock.get("stages", {}),
        "mlflow_run": {key: value for key, value in run.items() if key != "airflow"},
        "airflow": run.get("airflow", {}),
        "version": {
            "registered": journal.iso_time(found.creation_timestamp / 1000),
            "network": tags.get("network"),
            "threshold": tags.get("threshold"),
            "weights_sha256": tags.get(versions.WEIGHTS),
            "artifact_sha256": tags.get(versions.ARTIFACT),
            "metrics": {key.removeprefix("metric."): tags[key] for key in sorted(tags) if key.startswith("metric.")},
        },
        "aliases": versions.aliases(name, number),
        "alias_history": _read_or_explain(lambda: _alias_history(name, number)),
        "scored_uploads": _read_or_explain(lambda: _scored_uploads(name, number, uploads)),
    }


def _read_or_explain(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call `read`; return {"unavailable": why} if its store does not answer."""
    try:
        return read()
    except PageflipError as error:
        return {"unavailable": error.message}


def _read_run(run_id: str) -> dict[str, Any]:
    """Return the training run: {id, name, status, page, restored, params, airflow}; page is None without a server."""
    run = client.get_run(run_id)
    tags, server = run.data.tags, settings.tracking_uri().rstrip("/")
    pages = settings.mlflow_pages_url()
    page = f"{pages}/#/experiments/{run.info.experiment_id}/runs/{run_id}" if server.startswith("http") else None
    tasks = {key.removeprefix("airflow."): tags[key] for key in sorted(tags) if key.startswith("airflow.")}
    dag, url = tasks.pop("dag", None), tasks.pop("url", None)
    return {
        "id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "page": settings.hide_passwords(page) if page else None,
        "restored": tags.get("pageflip.restored") == "true",
        "params": dict(sorted(run.data.params.items())),
        "airflow": {"dag": dag, "runs": tasks, "url": url} if dag else {},
    }


def _read_lock(run_id: str) -> dict[str, Any]:
    """Return stages (stage, output, hash) and params (stage, key, value) of the dvc.lock logged with a run."""
    text = client.read_run_text(run_id, versions.LOCK)
    if text is None:
        return {"unavailable": f"the MLflow run {run_id} holds no {versions.LOCK}"}
    stages = yaml.safe_load(text).get("stages", {})
    return {
        "stages": {
            name: {out["path"]: out["md5"] for out in entry.get("outs", []) if "md5" in out}
            for name, entry in stages.items()
        },
        "params": {
            name: flatten({key: value for file in entry.get("params", {}).values() for key, value in file.items()})
            for name, entry in stages.items()
            if entry.get("params") and not name.startswith("train")  # those of the training are in the run
        },
    }


def _alias_history(name: str, number: str) -> dict[str, Any]:
    """Return the moves to and from a version, oldest first, with notes on what the journal cannot explain."""
    aliases, moves = registry_aliases.alias_history(name)
    own = [move.as_facts() for move in moves if number in (move.before, move.after)]
    return {"now": aliases, "moves": own, "notes": journal.notes_on(aliases, moves)}


def _scored_uploads(name: str, number: str, newest: int) -> dict[str, Any]:
    """Return the number of uploads scored with a version, and the newest of them."""
    found = results.published_with(settings.results_url(), name, number, newest)
    keys = ("upload", "sha256", "scored_at", "frames", "flips", "run")
    return {
        "place": settings.hide_passwords(found.place),
        "count": found.count,
        "newest": [{key: result.get(key) for key in keys} for result in found.newest],
    }
