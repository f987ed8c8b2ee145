"""The stage `promote`: who becomes champion, why not, and what a second attempt does."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.params.load import load_section
from pageflip.params.promote import Override, Promote
from pageflip.registry import aliases, client, journal, promotion, versions
from pageflip.registry.promotion import approved, candidate_version, decide, promote, verify_promotion

GOOD, CALLS_ALL_FLIPS, TWIN_OF_GOOD = "1", "2", "3"  # see REGISTERED in conftest.py
WIDTH, HEIGHT = 27, 48
NAME = "pageflip"
SWIFT = 3.0  # ms


@pytest.fixture
def frames():
    """Bright frames are flips: version 1 has F1 1 on them, version 2 has 2/3."""
    return np.stack([np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in (230, 40) * 18])


@pytest.fixture
def assignment():
    labels = ("flip", "notflip") * 18
    parts = ["train"] * 12 + ["val"] * 12 + ["test"] * 12
    clips = [f"{label}/{number // 4:04d}" for number, label in enumerate(labels)]
    books = [("red", "blue")[number // 6 % 2] for number in range(36)]
    table = {"row": range(36), "label": labels, "part": parts, "clip": clips, "group": clips, "book": books}
    return pd.DataFrame(table)


@pytest.fixture
def params(params_file):
    """The project's own parameters; keywords change the section `promote`."""

    def change(**changes):
        return load_section(params_file, "promote", Promote).model_copy(update=changes)

    return change


@pytest.fixture
def judged(models_home, frames, assignment, params):
    """Decide on a candidate."""

    def run(candidate, protocol="grouped", latency_ms=SWIFT, **changes):
        return decide(NAME, candidate, frames, assignment, protocol, params(**changes), latency_ms)

    return run


@pytest.fixture
def staged(models_home, registered_database, frames, assignment, params):
    """Run the stage for a version."""

    def run(candidate, **changes):
        package = registered_database.parent / f"package-{candidate}"
        section = params(max_latency_ms=0, **changes)
        return promote(NAME, package, frames, assignment, section, protocol="grouped")

    return run


def champion_moves():
    return [move for move in aliases.alias_history(NAME)[1] if move.alias == "champion"]


def failed(decision):
    return [check["name"] for check in decision["checks"] if not check["passed"]]


def test_the_first_candidate_above_the_floors_becomes_champion(judged):
    decision = judged(GOOD)
    assert decision["promoted"] is True
    assert (decision["candidate_f1"], decision["champion"], decision["champion_f1"]) == (1.0, None, None)
    assert decision["reason"] == "version 1 has F1 1.0000 on 12 test frames, and there was no champion"
    assert failed(decision) == []
    json.dumps(decision, allow_nan=False)


def test_a_better_candidate_takes_the_champions_place(judged):
    promotion.promote_version(NAME, CALLS_ALL_FLIPS, why="test")
    decision = judged(GOOD)
    assert decision["promoted"] is True
    assert decision["champion"] == CALLS_ALL_FLIPS
    assert decision["champion_f1"] == pytest.approx(2 / 3)
    assert decision["paired"]["difference"] == pytest.approx(1 / 3)
    assert decision["paired"]["probability_not_worse"] == 1.0
    assert "not worse than the champion, version 2, with 0.6667" in decision["reason"]


def test_a_worse_candidate_leaves_the_champion(judged):
    promotion.promote_version(NAME, GOOD, why="test")
    decision = judged(CALLS_ALL_FLIPS)
    assert decision["promoted"] is False
    assert (decision["champion"], decision["champion_f1"]) == (GOOD, 1.0)
    assert failed(decision) == ["champion"]
    assert "not shown to be as good as the champion, version 1, with 1.0000" in decision["reason"]


def test_a_candidate_that_is_just_as_good_takes_the_place_of_an_older_champion(judged):
    promotion.promote_version(NAME, GOOD, why="test")
    decision = judged(TWIN_OF_GOOD)
    assert decision["promoted"] is True
    assert decision["paired"]["probability_not_worse"] == 1.0


def test_the_margin_is_what_a_candidate_may_lose(judged):
    promotion.promote_version(NAME, GOOD, why="test")
    assert judged(CALLS_ALL_FLIPS, f1_margin=0.2)["promoted"] is False
    assert judged(CALLS_ALL_FLIPS, f1_margin=1.0)["promoted"] is True


def test_a_candidate_below_the_floor_is_not_even_the_first_champion(judged):
    decision = judged(CALLS_ALL_FLIPS, min_f1=0.7)
    assert decision["promoted"] is False
    assert decision["reason"].endswith("F1 0.6667, below promote.min_f1 = 0.7")


def test_a_refusal_names_everything_that_is_wrong(judged):
    decision = judged(CALLS_ALL_FLIPS, "supplied", 900.0, min_f1=0.7, min_book_f1=0.7)
    assert decision["promoted"] is False
    assert failed(decision) == ["split", "min_f1", "min_book_f1", "max_latency_ms"]
    for part in ("supplied (leaky)", "promote.min_f1 = 0.7", "on book blue", "900.0 ms a frame, over"):
        assert part in decision["reason"]


def test_the_worst_book_decides_and_books_that_are_unknown_do_not(models_home, frames, assignment, params):
    frames[24:30] = 255 - frames[24:30]  # all of the book red in the test part
    section = params(min_f1=0.0, min_book_f1=0.3)
    decision = decide(NAME, GOOD, frames, assignment, "grouped", section, SWIFT)
    assert decision["books_f1"] == {"red": 0.0, "blue": 1.0}
    assert failed(decision) == ["min_book_f1"]
    unknown = decide(NAME, GOOD, frames, assignment.assign(book=None), "grouped", section, SWIFT)
    assert (unknown["books_f1"], unknown["promoted"]) == ({}, True)


def test_a_limit_of_zero_is_off(judged):
    assert judged(GOOD, latency_ms=1e6, max_latency_ms=0)["promoted"] is True


def test_the_champion_is_not_promoted_again(judged):
    promotion.promote_version(NAME, GOOD, why="test")
    decision = judged(GOOD)
    assert decision["promoted"] is False
    assert (decision["champion"], decision["champion_f1"]) == (GOOD, 1.0)
    assert "is the champion already" in decision["reason"]


def test_a_manual_promotion_needs_a_person_who_is_then_named():
    better = {"promoted": True, "reason": "version 1 is better"}
    with pytest.raises(ConfigError, match=r"nobody has approved.*version 1 is better\n.*PAGEFLIP_APPROVED_BY=NAME"):
        approved(better, "manual", None)
    signed = approved(better, "manual", "ada")
    assert (signed["promoted"], signed["approved_by"]) == (True, "ada")
    assert signed["reason"] == "version 1 is better; approved by ada"


def test_nobody_is_named_where_nobody_was_asked_or_nothing_is_promoted():
    better, worse = {"promoted": True, "reason": "better"}, {"promoted": False, "reason": "worse"}
    assert approved(better, "automatic", "ada") == {**better, "approved_by": None}
    assert approved(worse, "manual", None) == {**worse, "approved_by": None}


def test_only_the_test_part_is_judged(models_home, frames, assignment, params):
    frames[:24] = 255 - frames[:24]
    assert decide(NAME, GOOD, frames, assignment, "grouped", params(), SWIFT)["candidate_f1"] == 1.0


def test_frames_of_another_size_are_refused(models_home, frames, assignment, params):
    with pytest.raises(ConfigError, match="takes frames of 27x48, the pack's are 26x48"):
        decide(NAME, GOOD, frames[:, :, 1:], assignment, "grouped", params(), SWIFT)


def test_an_override_promotes_one_version_and_its_reason_is_journalled(staged):
    assert staged(GOOD)["promoted"]
    other = Override(version=int(TWIN_OF_GOOD), reason="for another version")
    assert staged(CALLS_ALL_FLIPS, override=other)["promoted"] is False
    decision = staged(CALLS_ALL_FLIPS, override=Override(version=2, reason="the desk was repainted"))
    assert (decision["promoted"], decision["overridden"], decision["champion_after"]) == (True, True, "2")
    move = champion_moves()[-1]
    assert (move.kind, move.before, move.after) == ("override", GOOD, CALLS_ALL_FLIPS)
    assert move.reason.startswith("override: the desk was repainted (version 2 has F1 0.6667")


def test_an_override_of_a_version_that_passes_is_a_promotion_like_any_other(staged):
    decision = staged(GOOD, override=Override(version=1, reason="just in case"))
    assert (decision["promoted"], decision["overridden"]) == (True, False)
    assert champion_moves()[-1].kind == "promotion"


def test_only_an_override_gets_past_a_champion_that_cannot_be_judged(staged, models_home):
    promotion.promote_version(NAME, CALLS_ALL_FLIPS, why="test")
    client.client().set_model_version_tag(NAME, CALLS_ALL_FLIPS, versions.ARTIFACT, "00" * 32)
    with pytest.raises(DataError, match="registered was 0000"):
        staged(GOOD)
    decision = staged(GOOD, override=Override(version=1, reason="the champion's file was lost"))
    assert decision["champion_after"] == GOOD
    assert "not compared with the champion: the file of pageflip version 2" in decision["reason"]


def test_a_retraining_does_not_undo_a_rollback(staged):
    assert staged(GOOD)["promoted"]
    assert staged(TWIN_OF_GOOD)["promoted"]
    promotion.roll_back(NAME, reason="it misses thin paper")
    decision = staged(TWIN_OF_GOOD)
    assert (decision["promoted"], decision["champion_after"]) == (False, GOOD)
    assert failed(decision) == ["history"]
    assert "was rolled back on 20" in decision["reason"]
    assert "(it misses thin paper); promote.override can bring it back" in decision["reason"]
    assert staged(TWIN_OF_GOOD, override=Override(version=3, reason="mended"))["champion_after"] == TWIN_OF_GOOD


def test_the_stage_measures_moves_and_journals_with_its_figures(staged):
    decision = staged(GOOD)
    assert (decision["version"], decision["champion_after"]) == (GOOD, GOOD)
    assert decision["latency_ms"] > 0
    (move,) = champion_moves()
    assert (move.kind, move.before, move.outcome, move.reason) == ("promotion", None, "moved", decision["reason"])
    assert move.figures["candidate_f1"] == 1.0
    json.dumps(decision, allow_nan=False)


def airflow(monkeypatch, run):
    for key, value in {"DAG": "retrain", "RUN": run, "TASK": "promote", "URL": f"http://airflow/{run}"}.items():
        monkeypatch.setenv(f"PAGEFLIP_ORCHESTRATOR_{key}", value)


def test_a_retried_promotion_gives_the_same_decision_and_no_second_record(staged, monkeypatch):
    airflow(monkeypatch, "r1")
    staged(CALLS_ALL_FLIPS)
    first = staged(GOOD)
    again = staged(GOOD)
    shared = set(first) & set(again) - {"latency_ms"}
    assert {"promoted", "reason", "champion", "champion_f1", "paired", "champion_after"} <= shared
    assert {key: again[key] for key in shared} == {key: first[key] for key in shared}
    assert [(move.after, move.run, move.url) for move in champion_moves()] == [
        (CALLS_ALL_FLIPS, "r1", "http://airflow/r1"),
        (GOOD, "r1", "http://airflow/r1"),
    ]
    airflow(monkeypatch, "r2")
    assert "is the champion already" in staged(GOOD)["reason"]


def test_an_attempt_cut_short_between_alias_and_journal_is_told_as_it_was(staged, monkeypatch):
    airflow(monkeypatch, "r1")
    with monkeypatch.context() as patch:
        patch.setattr(journal, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            staged(GOOD)
    (cut,) = champion_moves()
    assert cut.outcome is None
    decision = staged(GOOD)
    assert (decision["promoted"], decision["reason"]) == (True, cut.reason)
    assert [move.outcome for move in champion_moves()] == ["moved"]


def test_the_champions_airflow_task_is_noted_on_its_mlflow_run(staged, monkeypatch, tmp_path):
    airflow(monkeypatch, "r1")
    out = tmp_path / "promotion.json"
    out.write_text(json.dumps(staged(GOOD)), encoding="utf-8")
    tags = client.get_run(versions.get_version(NAME, GOOD).run_id).data.tags
    assert (tags["airflow.promote"], tags["airflow.url"]) == ("r1", "http://airflow/r1")
    airflow(monkeypatch, "r2")  # which restores the stage
    verify_promotion(out, NAME)
    assert client.get_run(versions.get_version(NAME, GOOD).run_id).data.tags["airflow.promote"] == "r2"


def test_a_champion_that_changed_after_the_comparison_is_not_replaced(staged, monkeypatch):
    real = decide

    def slow(*arguments):
        decision = real(*arguments)
        promotion.promote_version(NAME, CALLS_ALL_FLIPS, why="somebody else was faster")
        return decision

    monkeypatch.setattr("pageflip.registry.promotion.decide", slow)
    with pytest.raises(
        UnavailableError, match="champion pointed to none when this was decided, and points to version 2"
    ):
        staged(GOOD)
    assert aliases.alias_history(NAME)[0]["champion"] == CALLS_ALL_FLIPS


def test_the_candidate_is_found_by_its_file(models_home, registered_database, write_package, tmp_path):
    package = registered_database.parent / "package-3"
    assert candidate_version(NAME, package) == TWIN_OF_GOOD
    with pytest.raises(UnavailableError, match="no version of pageflip with the ONNX file"):
        candidate_version(NAME, write_package(tmp_path / "other", middle=1.0))


def test_verify_holds_the_decision_against_the_champion_there_is_now(models_home, tmp_path):
    out: Path = tmp_path / "promotion.json"
    out.write_text(f'{{"champion_after": "{GOOD}"}}', encoding="utf-8")
    with pytest.raises(UnavailableError, match=f"left version {GOOD} as champion, now it is None"):
        verify_promotion(out, NAME)
    promotion.promote_version(NAME, GOOD, why="test")
    verify_promotion(out, NAME)
    promotion.promote_version(NAME, CALLS_ALL_FLIPS, why="by hand")
    with pytest.raises(UnavailableError, match="run promote again"):
        verify_promotion(out, NAME)
