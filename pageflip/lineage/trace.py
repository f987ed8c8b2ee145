"""Where a model version comes from and what came of it: from the code's revision to the uploads it has scored.

Everything is read from records: the version's tags, its training run, the dvc.lock logged with it, the journal of alias
moves, and the results store. What cannot be reached is said in its place, and the rest is told all the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from rich.markup import escape
from rich.tree import Tree

from pageflip.base import settings
from pageflip.base.errors import ConfigError, PageflipError
from pageflip.base.nested import flatten
from pageflip.registry import aliases as registry_aliases
from pageflip.registry import client, journal, versions

SHOWN = 12  # characters of a hash in the tree; JSON has them whole
UPLOADS = 5


def trace_version(name: str, version: str, *, uploads: int = UPLOADS) -> dict[str, Any]:
    """Collect what is known of a version (a number or an alias), in the order in which it came to be.

    Args:
        uploads: how many of the uploads that were scored with it are named, the newest first.

    Returns:
        model, git_revision, data_version, split, params, stage_params, stages, mlflow_run, airflow, version,
        alias_history and scored_uploads; ready for JSON. A part that could not be read is {"unavailable": why}.

    Raises:
        ConfigError: there is no such version.
        UnavailableError: MLflow did not answer.
    """
    found = versions.get_version(name, version)
    if found is None:
        raise ConfigError(f"the model {name} has no version {version!r}", "see `make up` and the page of the registry.")
    tags, number = found.tags, str(found.version)
    run = _reached(lambda: _run(found.run_id))
    lock = _reached(lambda: _lock(found.run_id))
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
        "alias_history": _reached(lambda: _alias_history(name, number)),
        "scored_uploads": _reached(lambda: _scored_uploads(name, number, uploads)),
    }


def _reached(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `read` gives, or why it gives nothing: one store that is away is no reason to be silent on the others."""
    try:
        return read()
    except PageflipError as error:
        return {"unavailable": error.message}


def _run(run_id: str) -> dict[str, Any]:
    """The training run: {id, name, status, page, params, airflow}; page is None without a server to show it."""
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


def _lock(run_id: str) -> dict[str, Any]:
    """Stages (stage -> output -> hash) and params (stage -> key -> value) of the dvc.lock that a run holds."""
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
            if entry.get("params") and not name.startswith("train")  # the run has those of the training
        },
    }


def _alias_history(name: str, number: str) -> dict[str, Any]:
    """The moves to and from a version, oldest first, and what the journal cannot account for."""
    aliases, moves = registry_aliases.alias_history(name)
    ours = [move.as_facts() for move in moves if number in (move.before, move.after)]
    return {"now": aliases, "moves": ours, "notes": journal.notes_on(aliases, moves)}


def _scored_uploads(name: str, number: str, newest: int) -> dict[str, Any]:
    """How many uploads were scored with a version, and the newest of them."""
    from pageflip.scoring import results

    found = results.published_with(settings.results_url(), name, number, newest)
    keys = ("upload", "sha256", "scored_at", "frames", "flips", "run")
    return {
        "place": settings.hide_passwords(found.place),
        "count": found.count,
        "newest": [{key: result.get(key) for key in keys} for result in found.newest],
    }


# --- for the terminal


def as_tree(facts: Mapping[str, Any]) -> Tree:
    """What `trace_version` found, as a tree to print; hashes of files are cut to SHOWN characters."""
    tree = Tree(f"[bold]{escape(facts['model'])}[/]")
    tree.add(_line("git revision", facts["git_revision"]))
    tree.add(_line("data", facts["data_version"]))
    tree.add(_line("split", f"{_short(facts['split']['sha256'])}  {facts['split']['protocol']}"))
    params = tree.add("params")
    for stage, values in facts["stage_params"].items():
        _add_values(params.add(escape(stage)), values)
    _add_values(params.add("training"), facts["params"])
    _add_stages(tree.add("stages"), facts["stages"])
    _add_values(tree.add("MLflow run"), facts["mlflow_run"])
    if facts["airflow"]:
        _add_airflow(tree.add("Airflow"), facts["airflow"])
    version = tree.add(f"version, alias {escape(', '.join(facts['aliases']) or 'none')}")
    _add_values(version, {key: value for key, value in facts["version"].items() if key != "metrics"})
    _add_values(version.add("metrics on the test split"), facts["version"]["metrics"])
    _add_history(tree.add("alias history"), facts["alias_history"])
    _add_uploads(tree.add("scored uploads"), facts["scored_uploads"])
    return tree


def _line(key: str, value: Any) -> str:
    return escape(f"{key}: {'unknown' if value is None else value}")


def _short(digest: str | None) -> str:
    return digest[:SHOWN] if digest else "unknown"


def _add_values(branch: Tree, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value is not None:
            branch.add(_line(key, value))


def _add_stages(branch: Tree, stages: Mapping[str, Any]) -> None:
    if "unavailable" in stages:
        branch.add(_line("unavailable", stages["unavailable"]))
        return
    for stage, outs in stages.items():
        hashes = branch.add(escape(stage))
        for path, digest in outs.items():
            hashes.add(escape(f"{digest[:SHOWN]}{'.dir' if digest.endswith('.dir') else ''}  {path}"))


def _add_airflow(branch: Tree, airflow: Mapping[str, Any]) -> None:
    for task, run in airflow["runs"].items():
        branch.add(_line(f"{airflow['dag']}.{task}", run))
    if airflow["url"]:
        branch.add(_line("page of the last task", airflow["url"]))


def _add_history(branch: Tree, history: Mapping[str, Any]) -> None:
    if "unavailable" in history:
        branch.add(_line("unavailable", history["unavailable"]))
        return
    for move in history["moves"]:
        ended = "" if move["outcome"] == journal.MOVED else f" [{move['outcome'] or 'not ended'}]"
        way = f"{move['before'] or 'none'} -> {move['after']}"
        entry = branch.add(escape(f"{move['time']}  {move['alias']} {way} ({move['kind']}){ended}"))
        entry.add(escape(move["reason"]))
        if move["airflow_run"]:
            entry.add(escape(" ".join(part for part in ("Airflow", move["airflow_run"], move["airflow_url"]) if part)))
    if not history["moves"]:
        branch.add("no alias has pointed to it, as far as the journal goes")
    for note in history["notes"]:
        branch.add(escape(f"note: {note}"))


def _add_uploads(branch: Tree, uploads: Mapping[str, Any]) -> None:
    if "unavailable" in uploads:
        branch.add(_line("unavailable", uploads["unavailable"]))
        return
    branch.add(escape(f"{uploads['count']} in {uploads['place']}"))
    for one in uploads["newest"]:
        found = f"{one['flips']} flips in {one['frames']} frames"
        branch.add(escape(f"{one['scored_at']}  {_short(one['sha256'])}  {one['upload']}: {found}, run {one['run']}"))
    if uploads["count"] > len(uploads["newest"]):
        branch.add(f"and {uploads['count'] - len(uploads['newest'])} older ones")
