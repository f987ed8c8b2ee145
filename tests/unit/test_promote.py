"""The stage `promote`: who becomes champion, and why not."""

import json

import numpy as np
import pandas as pd
import pytest

from pageflip import registry
from pageflip.errors import ConfigError, UnavailableError
from tasks.promote import approved, candidate_version, decide, verify

GOOD, CALLS_ALL_FLIPS, TWIN_OF_GOOD = "1", "2", "3"  # see REGISTERED in conftest.py
WIDTH, HEIGHT = 27, 48


@pytest.fixture
def frames():
    """Bright frames are flips: version 1 has F1 1 on them, version 2 has 2/3."""
    return np.stack([np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in (230, 40) * 6])


@pytest.fixture
def assignment():
    labels = ("flip", "notflip") * 6
    parts = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    return pd.DataFrame({"row": range(12), "label": labels, "part": parts})


def test_the_first_candidate_above_the_floor_becomes_champion(models_home, frames, assignment):
    decision = decide("pageflip", GOOD, frames, assignment, "grouped", 0.5)
    assert decision["promoted"] is True
    assert (decision["candidate_f1"], decision["champion"], decision["champion_f1"]) == (1.0, None, None)
    assert decision["reason"] == "version 1 has F1 1.0000 on 4 test frames, and there was no champion"
    json.dumps(decision, allow_nan=False)


def test_a_better_candidate_takes_the_champions_place(models_home, frames, assignment):
    registry.promote_version("pageflip", CALLS_ALL_FLIPS, why="test")
    decision = decide("pageflip", GOOD, frames, assignment, "grouped", 0.5)
    assert decision["promoted"] is True
    assert decision["champion"] == CALLS_ALL_FLIPS
    assert decision["champion_f1"] == pytest.approx(2 / 3)
    assert "more than the champion, version 2" in decision["reason"]


@pytest.mark.parametrize("candidate", [CALLS_ALL_FLIPS, TWIN_OF_GOOD])
def test_a_candidate_that_is_not_better_leaves_the_champion(models_home, frames, assignment, candidate):
    registry.promote_version("pageflip", GOOD, why="test")
    decision = decide("pageflip", candidate, frames, assignment, "grouped", 0.5)
    assert decision["promoted"] is False
    assert (decision["champion"], decision["champion_f1"]) == (GOOD, 1.0)
    assert "not more than the champion, version 1" in decision["reason"]


def test_a_candidate_below_the_floor_is_not_even_the_first_champion(models_home, frames, assignment):
    decision = decide("pageflip", CALLS_ALL_FLIPS, frames, assignment, "grouped", 0.7)
    assert decision["promoted"] is False
    assert "below promote.min_f1 = 0.7" in decision["reason"]


def test_nothing_is_promoted_on_the_supplied_split(models_home, frames, assignment):
    decision = decide("pageflip", GOOD, frames, assignment, "supplied", 0.5)
    assert decision["promoted"] is False
    assert "supplied (leaky)" in decision["reason"]


def test_the_champion_is_not_promoted_again(models_home, frames, assignment):
    registry.promote_version("pageflip", GOOD, why="test")
    decision = decide("pageflip", GOOD, frames, assignment, "grouped", 0.5)
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


def test_only_the_test_part_is_judged(models_home, frames, assignment):
    frames[:8] = 255 - frames[:8]
    assert decide("pageflip", GOOD, frames, assignment, "grouped", 0.5)["candidate_f1"] == 1.0


def test_frames_of_another_size_are_refused(models_home, frames, assignment):
    with pytest.raises(ConfigError, match="takes frames of 27x48, the pack's are 26x48"):
        decide("pageflip", GOOD, frames[:, :, 1:], assignment, "grouped", 0.5)


def test_the_candidate_is_found_by_its_file(models_home, registered_database, write_package, tmp_path):
    package = registered_database.parent / "package-3"
    assert candidate_version("pageflip", package) == TWIN_OF_GOOD
    with pytest.raises(UnavailableError, match="no version of pageflip with the ONNX file"):
        candidate_version("pageflip", write_package(tmp_path / "other", middle=1.0))


def test_verify_holds_the_decision_against_the_champion_there_is_now(models_home, tmp_path):
    out = tmp_path / "promotion.json"
    out.write_text(f'{{"champion_after": "{GOOD}"}}', encoding="utf-8")
    with pytest.raises(UnavailableError, match=f"left version {GOOD} as champion, now it is None"):
        verify("pageflip", out)
    registry.promote_version("pageflip", GOOD, why="test")
    verify("pageflip", out)
    registry.promote_version("pageflip", "1" if GOOD != "1" else "2", why="by hand")
    with pytest.raises(UnavailableError, match="run promote again"):
        verify("pageflip", out)
