"""The lineage of a model version as a tree for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from pageflip.registry import journal

HASH_LENGTH = 12  # characters of a hash; JSON has all


def as_tree(facts: Mapping[str, Any]) -> Tree:
    """Return what `trace_version` found as a tree to print; hashes are cut to HASH_LENGTH characters."""
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
    return digest[:HASH_LENGTH] if digest else "unknown"


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
            hashes.add(escape(f"{digest[:HASH_LENGTH]}{'.dir' if digest.endswith('.dir') else ''}  {path}"))


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
