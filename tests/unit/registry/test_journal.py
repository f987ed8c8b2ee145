"""Moves of aliases and their journal, on a real MLflow database: crashes, repeats, races and the way back."""

import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest

from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.registry import aliases as registry_aliases
from pageflip.registry import client, journal, versions
from pageflip.registry.journal import Move
from pageflip.registry.promotion import promote_version, roll_back

NAME = "pageflip"
LONG_AGO = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
AHEAD = datetime.timedelta(hours=1)


def champion_moves():
    return [move for move in registry_aliases.alias_history(NAME)[1] if move.alias == "champion"]


def told():
    """The journal of the champion, in short."""
    return [(move.before, move.after, move.kind, move.outcome) for move in champion_moves()]


def pointers():
    aliases = registry_aliases.alias_history(NAME)[0]
    return aliases.get("champion"), aliases.get("previous")


def notes():
    return journal.notes_on(*registry_aliases.alias_history(NAME))


def cut_short(before, after, *, at=LONG_AGO, run=None):
    """Leave the intent of a move whose process died."""
    move = Move(journal.new_id(at), "champion", before, after, "promotion", "test", run)
    client.client().set_registered_model_tag(NAME, *journal.intent_record(move))


def test_every_move_is_journalled_with_where_from_where_to_and_why(models_home):
    promote_version(NAME, "1", why="the first", figures={"candidate_f1": 0.5})
    promote_version(NAME, "2", why="better")
    assert told() == [(None, "1", "promotion", "moved"), ("1", "2", "promotion", "moved")]
    first = champion_moves()[0]
    assert (first.reason, first.figures, first.run) == ("the first", {"candidate_f1": 0.5}, None)
    assert first.age_s() < 600
    assert notes() == []


def test_the_candidates_are_journalled_too(models_home):
    moves = [move for move in registry_aliases.alias_history(NAME)[1] if move.alias == "candidate"]
    assert [(move.before, move.after) for move in moves] == [(None, "1"), ("1", "2"), ("2", "3")]
    assert {move.kind for move in moves} == {"registration"}


def test_a_repeated_move_adds_no_record(models_home):
    assert promote_version(NAME, "1", why="the first") is not None
    assert promote_version(NAME, "1", why="once more") is None
    assert [move.reason for move in champion_moves()] == ["the first"]


def test_a_version_that_is_not_there_leaves_no_record(models_home):
    with pytest.raises(ConfigError, match="no version '9'"):
        promote_version(NAME, "9", why="test")
    assert told() == []


def test_a_model_that_is_not_there_has_no_history(mlflow_home):
    assert registry_aliases.alias_history("nobody") == ({}, [])


@pytest.mark.parametrize("reason", ["long " * 3000, "\u00e9" * 6000, "\U0001f4d6" * 6000, "\x00\ud800"])
def test_a_record_fits_the_registrys_column_whatever_the_reason(models_home, reason):
    promote_version(NAME, "1", why=reason, figures={"candidate_f1": 0.5})
    tags = client.client().get_registered_model(NAME).tags
    assert max(len(value) for value in tags.values()) <= 5000
    kept = champion_moves()[0].reason
    assert kept == reason or (kept.endswith("\u2026") and reason.startswith(kept[:-1]) and len(kept) > 300)


# --- crashes


def test_a_move_cut_short_before_the_alias_moved_is_settled_as_lost(models_home):
    promote_version(NAME, "1", why="test")
    cut_short("1", "2", at=LONG_AGO)
    assert [note for note in notes() if "begun and not ended; the alias has not moved" in note]
    promote_version(NAME, "3", why="test")
    assert sorted(told(), key=str) == sorted(
        [("1", "2", "promotion", "lost"), (None, "1", "promotion", "moved"), ("1", "3", "promotion", "moved")], key=str
    )
    assert pointers() == ("3", "1")


def test_a_move_cut_short_after_the_alias_moved_is_settled_as_moved(models_home):
    cut_short(None, "1")
    client.client().set_registered_model_alias(NAME, "champion", "1")
    assert notes() == ["the move of champion to version 1 was begun and not ended; the alias has moved"]
    registry_aliases.settle_moves(NAME)
    assert told() == [(None, "1", "promotion", "moved")]
    assert notes() == []


@pytest.mark.parametrize(("first", "left"), [("2", "2"), (None, None)])
def test_the_alias_previous_that_had_gone_ahead_is_put_back(models_home, first, left):
    if first:
        promote_version(NAME, first, why="test")
    promote_version(NAME, "1", why="test")
    cut_short("1", "3", at=datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5))
    client.client().set_registered_model_alias(NAME, "previous", "1")
    assert pointers() == ("1", "1")
    registry_aliases.settle_moves(NAME)
    assert pointers() == ("1", left)


def test_a_move_under_way_holds_off_others_and_says_so(models_home, monkeypatch):
    cut_short(None, "2", at=datetime.datetime.now(datetime.UTC) + AHEAD)
    with monkeypatch.context() as short:
        short.setattr(journal, "LEASE_S", 0.1)
        with pytest.raises(UnavailableError, match="champion is being moved to version 2 \\(promotion, begun"):
            promote_version(NAME, "1", why="test")
    assert pointers() == (None, None)
    registry_aliases.move_alias(NAME, "candidate", "1", kind="registration", reason="another alias is free to move")


def test_an_earlier_attempt_of_the_same_airflow_run_is_not_waited_for(models_home, monkeypatch):
    for key in ("DAG", "RUN", "TASK"):
        monkeypatch.setenv(f"PAGEFLIP_ORCHESTRATOR_{key}", "r1")
    cut_short(None, "1", at=datetime.datetime.now(datetime.UTC), run="r1")
    promote_version(NAME, "1", why="again")
    assert told() == [(None, "1", "promotion", "lost"), (None, "1", "promotion", "moved")]


# --- races


def test_a_decision_on_a_champion_that_has_changed_moves_nothing(models_home):
    promote_version(NAME, "1", why="test")
    with pytest.raises(
        UnavailableError, match="champion pointed to none when this was decided, and points to version 1"
    ):
        promote_version(NAME, "2", why="test", expected=(None,))
    assert (pointers(), len(told())) == (("1", None), 1)


def test_of_moves_at_once_one_is_made_and_the_others_say_why_not(models_home, monkeypatch):
    monkeypatch.setattr(journal, "LOOK_AGAIN_S", 0.02)

    def move(version):
        try:
            return "" if promote_version(NAME, version, why="race", expected=(None,)) else "nothing to do"
        except UnavailableError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(move, ["1", "2", "3", "1"]))
    assert all("run it again" in text or text in ("", "nothing to do") for text in said), said
    moved = [move for move in champion_moves() if move.outcome == "moved"]
    assert said.count("") == len(moved) == 1
    assert pointers() == (moved[0].after, None)
    assert all(move.outcome for move in champion_moves())
    assert notes() == []


def test_moves_at_once_from_any_champion_leave_one_chain(models_home, monkeypatch):
    monkeypatch.setattr(journal, "LOOK_AGAIN_S", 0.02)
    promote_version(NAME, "1", why="test")

    def move(version):
        for _ in range(3):
            try:
                return promote_version(NAME, version, why="race")
            except UnavailableError:
                continue
        return None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, ["2", "3", "1", "2"]))
    ended = [move for move in champion_moves() if move.outcome == "moved"]
    last = [move for move in ended if (move.after, move.before) == pointers()]
    assert last, "champion and previous are those of one move"
    froms, tos = sorted(move.before or "" for move in ended), sorted(move.after for move in ended)
    assert sorted([*froms, pointers()[0]]) == sorted(["", *tos]), "each move began where another one ended"


def test_a_move_outside_pageflip_is_noted(models_home):
    promote_version(NAME, "1", why="test")
    client.client().set_registered_model_alias(NAME, "champion", "3")
    outside = "the journal left champion at version 1, and then it pointed to version 3: moved outside pageflip"
    assert [note for note in notes() if note.startswith(outside)]
    promote_version(NAME, "2", why="test")
    assert [note for note in notes() if note.startswith(outside)], "it stays known"
    client.client().delete_registered_model_alias(NAME, "champion")
    assert "left champion at version 2, and then it was gone" in notes()[-1]


@pytest.mark.parametrize(("key", "value"), [("20260102T030405.000006Z-ab", "no JSON"), ("no-time", "{}")])
def test_a_record_that_was_tampered_with_is_named(models_home, key, value):
    client.client().set_registered_model_tag(NAME, f"pageflip.move.{key}.intent", value)
    with pytest.raises(DataError, match=f"the record pageflip.move.{key}.intent of the journal"):
        promote_version(NAME, "1", why="test")


# --- the way back


@pytest.fixture
def two_champions(models_home):
    """Version 2 is champion, 1 was it before."""
    promote_version(NAME, "1", why="test")
    promote_version(NAME, "2", why="test")


def test_a_rollback_goes_to_previous_and_is_journalled(two_champions):
    move = roll_back(NAME, reason="false alarms on glossy paper")
    assert (move.before, move.after, move.kind) == ("2", "1", "rollback")
    assert pointers() == ("1", "2")
    assert champion_moves()[-1].reason == "false alarms on glossy paper"
    assert journal.rollback_from(champion_moves(), "2").id == move.id
    assert journal.rollback_from(champion_moves(), "1") is None


def test_a_rollback_may_name_any_version(two_champions):
    roll_back(NAME, reason="test", to="3")
    assert pointers() == ("3", "2")


def test_a_version_that_came_back_is_no_longer_rolled_back(two_champions):
    roll_back(NAME, reason="test")
    roll_back(NAME, reason="it was the camera", to="2")
    assert journal.rollback_from(champion_moves(), "2") is None


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("2", "version 2 is the champion of pageflip already"),
        ("champion", "version 2 is the champion of pageflip already"),
        ("9", "no version or alias '9' to go back to"),
        ("day-zero", "no version or alias 'day-zero' to go back to"),
    ],
)
def test_a_rollback_to_nowhere_is_refused(two_champions, to, message):
    with pytest.raises(ConfigError, match=message):
        roll_back(NAME, reason="test", to=to)
    assert (pointers(), len(told())) == (("2", "1"), 2)


def test_a_rollback_without_champion_or_previous_or_reason_is_refused(models_home):
    with pytest.raises(ConfigError, match="no champion to roll back"):
        roll_back(NAME, reason="test")
    promote_version(NAME, "1", why="test")
    with pytest.raises(ConfigError, match="no version or alias 'previous' to go back to"):
        roll_back(NAME, reason="test")
    with pytest.raises(ConfigError, match="needs a reason"):
        roll_back(NAME, reason="  ", to="2")


def test_a_rollback_to_a_file_that_is_not_the_registered_one_is_refused(two_champions):
    client.client().set_model_version_tag(NAME, "1", versions.ARTIFACT, "00" * 32)
    with pytest.raises(DataError, match="registered was 0000"):
        roll_back(NAME, reason="test")
    client.client().delete_model_version_tag(NAME, "1", versions.ARTIFACT)
    with pytest.raises(ConfigError, match="the digest of its file is unknown"):
        roll_back(NAME, reason="test")
    assert pointers() == ("2", "1")
