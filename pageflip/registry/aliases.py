"""Moves of the aliases `candidate`, `champion` and `previous`, each recorded in the journal."""

from collections.abc import Mapping
from typing import Any

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.registry import journal
from pageflip.registry.client import client, translate_errors
from pageflip.registry.journal import CHAMPION, PREVIOUS, Move
from pageflip.registry.versions import get_version


@translate_errors
def alias_history(name: str) -> tuple[dict[str, str], list[Move]]:
    """Return the current version of each alias of a model, and the moves in its journal, oldest first.

    Both are empty for a model that is not there.
    """
    return journal.read_state(client(), name)


@translate_errors
def move_alias(
    name: str,
    alias: str,
    version: str,
    *,
    kind: str,
    reason: str,
    figures: Mapping[str, Any] | None = None,
    expected: tuple[str | None] | None = None,
) -> Move | None:
    """Move an alias to `version` and journal it; a move of `champion` leaves `previous` where it was.

    MLflow moves an alias without a condition, so processes take turns by the journal (see `pageflip.registry.journal`).

    Args:
        kind, reason, figures: see `journal.Move`.
        expected: (version or None,), where the alias must still point; None accepts any.

    Returns:
        The journal's record; None when the alias points to `version` already, so that a repeat adds nothing.

    Raises:
        ConfigError: there is no such version.
        UnavailableError: the alias points elsewhere by now, or another process is moving it.
    """
    mlflow_client = client()
    if get_version(name, version) is None:
        raise ConfigError(f"the model {name} has no version {version!r}", "see the page of the registry (`make up`).")
    current = journal.wait_for_turn(mlflow_client, name, alias)[0].get(alias)
    journal.check_still(alias, current, expected or (current,), version)
    if current == version:
        return None
    tags = settings.orchestrator_tags()
    run = journal.own_run() if tags else None
    move = Move(journal.new_id(), alias, current, version, kind, reason, run, tags.get("airflow.url"), figures or {})
    mlflow_client.set_registered_model_tag(name, *journal.intent_record(move))
    try:
        if journal.was_made_meanwhile(mlflow_client, name, move):
            journal.end(mlflow_client, name, move, journal.WITHDRAWN)
            return None
    except UnavailableError:
        journal.end(mlflow_client, name, move, journal.WITHDRAWN)
        raise
    if alias == CHAMPION and current is not None:  # first: cut short here, the way back is still known
        mlflow_client.set_registered_model_alias(name, PREVIOUS, current)
    mlflow_client.set_registered_model_alias(name, alias, version)
    journal.end(mlflow_client, name, move, journal.MOVED)
    return move


@translate_errors
def settle_moves(name: str) -> None:
    """Give every move that was cut short, be it by an earlier attempt of this run, the outcome that it had."""
    mlflow_client = client()
    found, moves = journal.read_state(mlflow_client, name)
    for move in moves:
        if move.outcome is None:
            journal.settle(mlflow_client, name, move, found, moves)
