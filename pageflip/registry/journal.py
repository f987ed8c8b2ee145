"""The journal of alias moves: which version an alias pointed to, since when, why, and by which run.

A move leaves two records, and none is ever changed: an *intent* before the alias moves, an *outcome* after it. So a
move that was cut short is seen, and what became of it can be told from where the alias points. Records are tags of the
registered model, one key each, so that adding one is a single call of MLflow and needs no other store.

    pageflip.move.ID.intent    {"alias", "before", "after", "kind", "reason", "run", "url", "figures"}
    pageflip.move.ID.outcome   {"outcome", "at"}

MLflow moves an alias without a condition, so those who move one take turns by the journal: each writes its intent, and
goes on only when it then sees no other one that has not ended. Of two that see each other the later gives way. An
intent older than LEASE_S is that of a process that died; its outcome is told from where the alias points. What this
cannot hold off is a single call that MLflow carries out more than half of LEASE_S after it was sent, clocks that differ
by more than that, and aliases that are moved by other means; `notes_on` tells of what came of such.
"""

import datetime
import itertools
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pageflip.base import settings
from pageflip.base.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PREFIX = "pageflip.move."
INTENT, OUTCOME = ".intent", ".outcome"
LIMIT = 5000  # characters: MLflow's column of these tags, which PostgreSQL enforces (its own check allows more)
CLOCK = "%Y%m%dT%H%M%S.%fZ"

REGISTRATION, PROMOTION, OVERRIDE, ROLLBACK = "registration", "promotion", "override", "rollback"
MOVED, WITHDRAWN, LOST = "moved", "withdrawn", "lost"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
LEASE_S = 60.0  # a move that has no outcome by then was cut short; nobody else moves that alias before
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Move:
    """One move of an alias.

    Attributes:
        id: the time of the intent (UTC) and a random part; ids sort by time.
        alias, before, after: what moved, from which version (None: it pointed to none) to which.
        kind: registration, promotion, override or rollback.
        reason: in words.
        run, url: the run of Airflow and the page of its task; None outside Airflow.
        figures: what was compared.
        outcome: moved; withdrawn (it met another move, or came too late); lost (it was cut short before the alias
            moved); None while it is under way, and after it was cut short.
    """

    id: str
    alias: str
    before: str | None
    after: str
    kind: str
    reason: str
    run: str | None = None
    url: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    outcome: str | None = None

    @property
    def time(self) -> datetime.datetime:
        """When it was begun, UTC."""
        return datetime.datetime.strptime(self.id.rpartition("-")[0], CLOCK).replace(tzinfo=datetime.UTC)

    def age_s(self) -> float:
        """Seconds since it was begun, by this machine's clock."""
        return (datetime.datetime.now(datetime.UTC) - self.time).total_seconds()

    def as_facts(self) -> dict[str, Any]:
        """The move ready for JSON, its time in ISO 8601."""
        return {
            "time": self.time.isoformat(timespec="seconds"),
            "alias": self.alias,
            "before": self.before,
            "after": self.after,
            "kind": self.kind,
            "reason": self.reason,
            "outcome": self.outcome,
            "airflow_run": self.run,
            "airflow_url": self.url,
            "figures": dict(self.figures),
        }


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as UTC in ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def new_id(at: datetime.datetime | None = None) -> str:
    """An id for a move that begins now, or at `at` (UTC)."""
    return f"{(at or datetime.datetime.now(datetime.UTC)).strftime(CLOCK)}-{uuid.uuid4().hex[:8]}"


def intent_record(move: Move) -> tuple[str, str]:
    """Key and value of the record that comes before a move; a text that is too long for MLflow is cut.

    Figures go first, for the reason says the most important of them.
    """
    names = ("alias", "before", "after", "kind", "reason", "run", "url", "figures")
    content = {name: getattr(move, name) for name in names} | {"figures": dict(move.figures)}
    if len(json.dumps(content)) > LIMIT:
        content |= {"figures": {"left out": "too long for the registry"}, "url": None}
    while (over := len(json.dumps(content)) - LIMIT) > 0 and len(content["reason"]) > 1:
        content["reason"] = content["reason"][: -max(2, over // 12)] + "…"  # json writes a character in at most 12
    return f"{PREFIX}{move.id}{INTENT}", json.dumps(content)


def outcome_record(move: Move, outcome: str) -> tuple[str, str]:
    """Key and value of the record that says how a move ended."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return f"{PREFIX}{move.id}{OUTCOME}", json.dumps({"outcome": outcome, "at": now})


def read_moves(tags: Mapping[str, str]) -> list[Move]:
    """The moves that the tags of a registered model tell of, oldest first; other tags are passed over.

    Raises:
        DataError: a record was tampered with.
    """
    return [_read_move(tags, key) for key in sorted(tags) if key.startswith(PREFIX) and key.endswith(INTENT)]


def _read_move(tags: Mapping[str, str], key: str) -> Move:
    try:
        move = Move(id=key.removeprefix(PREFIX).removesuffix(INTENT), **json.loads(tags[key]))
        ended = tags.get(f"{PREFIX}{move.id}{OUTCOME}")
        move = replace(move, outcome=json.loads(ended)["outcome"]) if ended else move
        move.age_s()  # so that an id without a time is found here
        return move
    except (ValueError, TypeError, KeyError) as error:
        remedy = "somebody changed that tag of the registered model: mend it, or delete it there."
        raise DataError(f"the record {key} of the journal of alias moves cannot be read: {error}", remedy) from None


def rollback_from(moves: list[Move], version: str) -> Move | None:
    """The rollback that took the alias `champion` away from a version, unless it came back since."""
    for move in reversed(moves):
        if move.alias == CHAMPION and move.outcome == MOVED and version in (move.before, move.after):
            return move if move.before == version and move.kind == ROLLBACK else None
    return None


def notes_on(aliases: Mapping[str, str], moves: list[Move]) -> list[str]:
    """Return disagreements of journal and aliases: moves under way, cut short or made outside the journal."""
    notes = []
    for move in moves:
        if move.outcome is None:
            seen = "has moved" if aliases.get(move.alias) == move.after else "has not moved"
            notes.append(f"the move of {move.alias} to version {move.after} was begun and not ended; the alias {seen}")
    for alias in (CANDIDATE, CHAMPION):
        made = [move for move in moves if move.alias == alias and move.outcome == MOVED]
        for earlier, later in itertools.pairwise(made):
            if earlier.after != later.before:
                notes.append(_outside(alias, earlier.after, later.before))
        if any(move.alias == alias and move.outcome is None for move in moves):
            continue
        last = made[-1].after if made else None
        if last != aliases.get(alias):
            notes.append(_outside(alias, last, aliases.get(alias)))
    return notes


def _outside(alias: str, told: str | None, found: str | None) -> str:
    here = f"the journal left {alias} at version {told}" if told else f"the journal knows of no move of {alias}"
    there = f"pointed to version {found}" if found else "was gone"
    return f"{here}, and then it {there}: moved outside pageflip, or before there was a journal"


# --- taking turns


def own_run() -> str | None:
    """The id of the Airflow run that this process works for; None outside Airflow."""
    return settings.orchestrator_run()


def read_state(client: "MlflowClient", name: str) -> tuple[dict[str, str], list[Move]]:
    """Read the versions of a model's aliases and its moves in one call; both are empty without such a model."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}, []
        raise
    return {alias: str(version) for alias, version in model.aliases.items()}, read_moves(model.tags)


def wait_for_turn(
    client: "MlflowClient", name: str, alias: str, mine: Move | None = None
) -> tuple[dict[str, str], list[Move]]:
    """The state (see `read_state`) at a moment when no other move of `alias` was under way.

    Raises:
        UnavailableError: `mine` must give way to an earlier one, or another one did not end in time.
    """
    started = time.monotonic()
    while True:
        found, moves = read_state(client, name)
        others = [move for move in moves if move.alias == alias and move.outcome is None]
        others = [move for move in others if mine is None or move.id != mine.id]
        waiting = [move for move in others if not settle(client, name, move, found, moves)]
        if not others:
            return found, moves
        if waiting:
            waited = time.monotonic() - started
            if (mine and waiting[0].id < mine.id) or waited > (LEASE_S / 2 if mine else 2 * LEASE_S):
                raise _in_the_way(waiting[0])
            time.sleep(LOOK_AGAIN_S)


def was_made_meanwhile(client: "MlflowClient", name: str, move: Move) -> bool:
    """Return whether another process has made the same move since; call it once the intent is written.

    Raises:
        UnavailableError: the alias went elsewhere, another move is under way, or too much time has passed.
    """
    found, moves = wait_for_turn(client, name, move.alias, mine=move)
    now = found.get(move.alias)
    check_still(move.alias, now, (move.before,), move.after)
    if now == move.after:
        made = [one for one in moves if one.alias == move.alias and one.outcome == MOVED]
        return bool(made) and made[-1].after == now
    if move.age_s() > LEASE_S / 2:
        raise _in_the_way(move)
    return False


def check_still(alias: str, current: str | None, expected: tuple[str | None], version: str) -> None:
    """Refuse to go on when an alias points neither to expected[0] nor to `version`, where it is to go.

    Raises:
        UnavailableError: that is so.
    """
    if current not in (expected[0], version):
        before, now = (f"to version {one}" if one else "to none" for one in (expected[0], current))
        raise UnavailableError(
            f"the alias {alias} pointed {before} when this was decided, and points {now} now",
            "run it again: it then goes by the model that is there.",
        )


def _in_the_way(move: Move) -> UnavailableError:
    return UnavailableError(
        f"the alias {move.alias} is being moved to version {move.after} ({move.kind}, begun {move.time:%H:%M:%S} UTC)",
        f"run it again in {LEASE_S:.0f} s: by then, a move that was cut short can be told from one under way.",
    )


def settle(client: "MlflowClient", name: str, move: Move, found: Mapping[str, str], moves: list[Move]) -> bool:
    """End a move that was cut short; whether it was. A move of this Airflow run is that of an attempt that is over."""
    if move.age_s() < LEASE_S and (move.run is None or move.run != own_run()):
        return False
    moved = found.get(move.alias) == move.after
    if not moved and move.alias == CHAMPION and found.get(CHAMPION) == found.get(PREVIOUS) == move.before:
        _put_back_previous(client, name, moves)
    end(client, name, move, MOVED if moved else LOST)
    return True


def _put_back_previous(client: "MlflowClient", name: str, moves: list[Move]) -> None:
    """Undo the first half of a move of `champion`: `previous` had gone ahead."""
    made = [move for move in moves if move.alias == CHAMPION and move.outcome == MOVED]
    if made and made[-1].before:
        client.set_registered_model_alias(name, PREVIOUS, made[-1].before)
    else:
        client.delete_registered_model_alias(name, PREVIOUS)


def end(client: "MlflowClient", name: str, move: Move, outcome: str) -> None:
    """Add a move's outcome, unless another process has settled it."""
    key, value = outcome_record(move, outcome)
    if key not in client.get_registered_model(name).tags:
        client.set_registered_model_tag(name, key, value)
