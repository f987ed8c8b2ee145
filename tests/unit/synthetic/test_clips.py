"""The renderer of labelled clips: plans, labels by construction, the same pixels for the same seed."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from pageflip.base.errors import ConfigError
from pageflip.synthetic.book.geometry import sheet_lift
from pageflip.synthetic.ranges import DEFAULT_RANGES, FlipKinds, Ranges, StillKinds
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.synthetic.stage.motion import state_at
from pageflip.synthetic.stage.renderer import Renderer
from pageflip.synthetic.stage.scripts import clip_script

SMALL = {"width": 108, "height": 192}


def plan(seed=3, books=2, clips_per_book=4, frames_per_clip=6, **size):
    return plan_clips(
        seed=seed, books=books, clips_per_book=clips_per_book, frames_per_clip=frames_per_clip, **(size or SMALL)
    )


def render(clip):
    """The picture and the state of each frame."""
    script = clip_script(clip, DEFAULT_RANGES)
    renderer = Renderer(script, clip.width, clip.height)
    for number in clip.numbers:
        yield renderer.render((number - 1) * script.step)


def first_image(clip):
    return next(render(clip))[0]


def test_plan_gives_each_book_as_many_clips_of_either_label_and_numbers_labels_separately():
    clips = plan(books=3, clips_per_book=4)
    for label in ("flip", "notflip"):
        mine = [clip for clip in clips if clip.label == label]
        assert [clip.video for clip in mine] == [f"{number:04d}" for number in range(1, 7)]
        assert [clip.book for clip in mine] == ["book-01"] * 2 + ["book-02"] * 2 + ["book-03"] * 2


def test_plan_leaves_a_gap_in_the_frame_numbers_of_one_clip_of_each_label():
    clips = plan(frames_per_clip=6)
    gaps = [clip for clip in clips if any(two - one > 1 for one, two in pairwise(clip.numbers))]
    assert [(clip.label, clip.video) for clip in gaps] == [("flip", "0002"), ("notflip", "0002")]
    assert all(len(clip.numbers) == 6 for clip in clips)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"books": 0}, "books is 0"),
        ({"clips_per_book": 1}, "clips_per_book is 1"),
        ({"frames_per_clip": 1.5}, "frames_per_clip is 1.5"),
        ({"books": 900, "clips_per_book": 40}, "18000 video numbers"),
        ({"width": 30, "height": 60}, "width is 30"),
        ({"width": 109, "height": 192}, "odd"),
        ({"width": 192, "height": 108}, "upright"),
    ],
)
def test_plan_refuses_numbers_that_cannot_be(wrong, message):
    with pytest.raises(ConfigError, match=message):
        plan(**wrong)


def test_every_flip_frame_has_its_page_in_the_air_and_no_other_frame_has():
    for clip in plan(seed=5, books=5, clips_per_book=4, frames_per_clip=2, width=64, height=112):
        for image, state in render(clip):
            assert (state.lift > 0) == (clip.label == "flip"), clip
            assert (image.shape, image.dtype) == ((112, 64, 3), np.uint8)


def test_frames_depend_on_the_seed_and_on_nothing_else():
    one, again, other = ([image for image, _ in render(plan(seed=seed)[0])] for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_large_picture_shows_the_same_scene_as_a_small_one():
    clip = plan(frames_per_clip=2)[0]
    large = first_image(replace(clip, width=648, height=1152))
    small = first_image(replace(clip, width=324, height=576))
    difference = cv2.resize(large, (27, 48), interpolation=cv2.INTER_AREA).astype(int) - cv2.resize(
        small, (27, 48), interpolation=cv2.INTER_AREA
    )
    assert np.abs(difference).mean() < 4


def test_books_look_different_and_both_labels_come_in_the_same_brightness():
    clips = plan(seed=9, books=12, clips_per_book=2, frames_per_clip=2, width=64, height=112)
    means = {label: [] for label in ("flip", "notflip")}
    for clip in clips:
        means[clip.label].append(first_image(clip).mean())
    assert np.std(means["flip"]) > 10
    assert np.std(means["notflip"]) > 10
    assert abs(np.mean(means["flip"]) - np.mean(means["notflip"])) < 20


@pytest.mark.parametrize("kind", FlipKinds.model_fields)
def test_every_kind_of_flip_has_its_sheet_in_the_air_in_each_frame(kind):
    weights = dict.fromkeys(FlipKinds.model_fields, 0.0) | {kind: 1.0}
    ranges = Ranges.model_validate({"flips": {"clip": weights, "two_sheets": 0.5, "backward": 0.5}})
    for clip in plan(seed=12, books=4, frames_per_clip=8):
        if clip.label == "flip":
            script = clip_script(clip, ranges)
            states = [state_at(script, (number - 1) * script.step) for number in clip.numbers]
            assert all(state.flip and state.lift > 0 and state.pages is None for state in states), clip


@pytest.mark.parametrize("kind", StillKinds.model_fields)
def test_every_hard_negative_leaves_all_pages_lying(kind):
    weights = dict.fromkeys(StillKinds.model_fields, 0.0) | {kind: 1.0}
    ranges = Ranges.model_validate({"hands": {"still": weights}})
    for clip in plan(seed=12, books=4, frames_per_clip=8):
        if clip.label == "notflip":
            script = clip_script(clip, ranges)
            states = [state_at(script, (number - 1) * script.step) for number in clip.numbers]
            assert script.flips == ()
            assert {(state.flip, state.lift, state.pages) for state in states} == {(None, 0.0, states[0].pages)}


def test_no_two_clips_look_alike():
    clips = plan(seed=8, books=4, frames_per_clip=2, width=64, height=112)
    small = [cv2.resize(first_image(clip), (16, 28), interpolation=cv2.INTER_AREA) for clip in clips]
    for i, one in enumerate(small):
        assert all(np.abs(one.astype(int) - two).mean() > 2 for two in small[i + 1 :])


def test_labels_agree_with_where_the_sheet_is_over_many_scripts():
    for clip in plan(seed=21, books=40, clips_per_book=2, frames_per_clip=4):
        script = clip_script(clip, DEFAULT_RANGES)
        for number in clip.numbers:
            state = state_at(script, (number - 1) * script.step)
            assert (state.lift > 0) == (state.flip is not None) == (clip.label == "flip")
            assert (state.pages is None) == (state.lift > 0)
            if state.flip:
                assert state.lift == sheet_lift(script.look.lying, state.flip.bend, state.progress)
