"""The bending sheet and the flips that move it; the ranges from which they are drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pageflip.base.errors import ConfigError
from pageflip.synthetic.book.geometry import Bend, BookHalf, OpenBook, lying_page, sheet, sheet_lift
from pageflip.synthetic.ranges import DEFAULT_RANGES, FlipKinds, Synthesize, load_synthesize
from pageflip.synthetic.stage.motion import FlipMotion, hand_poses
from pageflip.synthetic.stage.scripts import video_script

PARAMS = Path(__file__).parents[3] / "params.yaml"
LEVEL = OpenBook((0.45, 0.8), (0.5, 0.8), 0.0, BookHalf(0.0, 0.0, 0.1), BookHalf(0.0, 0.0, 0.1))


@pytest.mark.parametrize("corner", [-0.8, 0.0, 0.5])
@pytest.mark.parametrize("side", [1, -1])
def test_a_sheet_bends_without_being_stretched_and_lies_flat_at_both_ends_only(corner, side):
    bend = Bend(corner=corner, lean=0.05, stiffness=0.5, lead=0.6, side=side)
    flat = lying_page(LEVEL, side)
    for progress in np.linspace(0, 1, 21):
        points = sheet(LEVEL, bend, float(progress))
        for axis in (0, 1):  # a mesh across a bend cuts corners, which makes it a little shorter than the paper
            lengths = np.linalg.norm(np.diff(points, axis=axis), axis=2).sum(axis=axis)
            assert lengths == pytest.approx(np.linalg.norm(np.diff(flat, axis=axis), axis=2).sum(axis=axis), rel=0.06)
        lift = sheet_lift(LEVEL, bend, float(progress))
        assert (lift == 0) if progress in (0, 1) else (lift > 0 or not 0.12 < progress < 0.96)
        assert points[..., 2].min() >= 0
    assert sheet(LEVEL, bend, 1.0)[:, -1, 0] == pytest.approx(-flat[:, -1, 0], rel=0.02)


def test_a_lifted_corner_rises_while_the_spine_and_the_other_corner_stay():
    bend = Bend(corner=0.7, lean=0.0, stiffness=0.5, lead=0.0, side=1)
    moved = np.linalg.norm(sheet(LEVEL, bend, 0.12) - lying_page(LEVEL, 1), axis=2)
    assert moved[-1, -1] > 0.02
    assert moved[0, -1] == 0
    assert moved[:, 0].max() == 0


def test_a_flip_goes_by_its_points_and_rests_before_and_after():
    flip = FlipMotion(((2.0, 0.1), (6.0, 0.5), (9.0, 0.5), (12.0, 0.9)), 0.5, Bend(0.0, 0.0, 0.5, 0.0, 1))
    way = [flip.progress(t) for t in np.linspace(0, 14, 50)]
    assert way == sorted(way)
    assert [flip.progress(t) for t in (0, 2, 6, 7.5, 12, 20)] == pytest.approx([0.1, 0.1, 0.5, 0.5, 0.9, 0.9])
    assert not flip.aborted
    assert replace(flip, path=((0.0, 0.0), (5.0, 0.3), (9.0, 0.0))).aborted


def test_hands_move_and_never_jump():
    for book in range(4):
        script, _ = video_script(3, book, 4, 16 / 9, 30, DEFAULT_RANGES)
        poses = list(hand_poses(script, 0.25))
        for hands in zip(*poses, strict=True):
            places = np.array([hand.tip[:2] for hand in hands])
            assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.15


def test_the_ranges_in_params_are_those_of_the_code():
    assert load_synthesize(PARAMS) == Synthesize()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{ boks: 3 }", r"unknown key boks \(did you mean books\?\)"),
        ("{ books: 0 }", "books = 0"),
        ("{ ranges: { camera: { tilt: [9, 3] } } }", r"tilt is \[9.0, 3.0\]"),
        ("{ ranges: { light: { patches: 1.5 } } }", "ranges.light.patches = 1.5"),
        ("{ ranges: { hands: { still: { none: 0, rest: -1 } } } }", "ranges.hands.still.rest = -1"),
        ("7", "the content = 7"),
    ],
)
def test_a_range_that_cannot_be_is_refused_by_name(tmp_path, section, message):
    (tmp_path / "params.yaml").write_text(f"synthesize: {section}\n")
    with pytest.raises(ConfigError, match=message):
        load_synthesize(tmp_path / "params.yaml")


def test_ranges_without_anything_to_choose_from_are_refused():
    with pytest.raises(ValueError, match="all weights are 0"):
        FlipKinds.model_validate(dict.fromkeys(FlipKinds.model_fields, 0))
