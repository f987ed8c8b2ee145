"""What lies before what: tucked hands, hands below a sheet, mirrored pictures, merged cells of a mesh."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pageflip.synthetic.book import mesh
from pageflip.synthetic.book.geometry import Bend, BookHalf, book_to_world, lying_page, project, sheet
from pageflip.synthetic.book.pages import page_texture
from pageflip.synthetic.ranges import DEFAULT_RANGES
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.synthetic.stage.hand_layers import HandRenderer
from pageflip.synthetic.stage.motion import HandPose, hand_poses, point_on_sheet, state_at
from pageflip.synthetic.stage.renderer import Renderer
from pageflip.synthetic.stage.scripts import clip_script

WIDE, TALL = 216, 384


def script_of(label="notflip", seed=3, ranges=DEFAULT_RANGES):
    clips = plan_clips(seed=seed, books=1, clips_per_book=2, frames_per_clip=4, width=WIDE, height=TALL)
    return clip_script(next(clip for clip in clips if clip.label == label), ranges)


def drawn(people, hand, **how):
    layer = np.zeros((TALL, WIDE, 4), np.uint8)
    people.draw(layer, hand, not people.pins_with_right, **how)
    return layer[..., 3].astype(int)


@pytest.fixture(name="held")
def a_hand_at_the_outer_edge():
    script = script_of()
    look = replace(script.look, lying=replace(script.look.lying, page=(0.38, 0.6), spine=(0.45, 0.8)))
    script = replace(script, look=look)
    tip = point_on_sheet(look, None, 0.0, 0.9, 0.1)
    return HandRenderer(script, WIDE, TALL), HandPose(tuple(tip), (1.5, 1.1), "pinch", "over", True)


@pytest.mark.parametrize("thumb_on_top", [True, False])
def test_a_tucked_hand_shows_only_its_thumb_or_all_but_its_thumb_above_the_page(held, thumb_on_top):
    people, hand = held
    hand = replace(hand, thumb_on_top=thumb_on_top)
    page = people.page_mask((0, 0, WIDE, TALL), 1.0) > 0
    whole, tucked = drawn(people, hand), drawn(people, replace(hand, layer="tucked"))
    on_top = drawn(people, hand, before=True)
    assert (tucked - on_top)[page].max() < 50  # at the rim of the thumb both are half there
    assert on_top[page].max() > 200
    assert tucked[page].sum() < whole[page].sum()
    assert np.abs(tucked - whole)[~page].max() <= 3


def test_a_tucked_hand_throws_no_shadow_on_the_page_above_it(held):
    people, hand = held
    over, tucked = np.zeros((96, 54), np.uint8), np.zeros((96, 54), np.uint8)
    for mask, layer in ((over, "over"), (tucked, "tucked")):
        people.cast_shadow(mask, replace(hand, layer=layer), not people.pins_with_right, np.array([0.4, -0.2]), 0.25)
    page = people.page_mask((0, 0, 54, 96), 0.25) > 0
    assert over[page].max() > 200
    assert tucked[page].max() == 0
    assert tucked.max() > 200


def test_a_hand_below_a_sheet_does_not_reach_past_the_spine(held):
    people, hand = held
    hand = replace(hand, tip=tuple(point_on_sheet(people.look, None, 0.0, 0.1, 0.0)))
    left = people.page_mask((0, 0, WIDE, TALL), 1.0, (-1,)) > 0
    assert drawn(people, hand)[left].max() > 200
    beyond = drawn(people, hand, within=1)[left]
    assert (beyond > 0).mean() < 0.005  # only where the rim, filled from another box, falls on the next pixel
    assert beyond.max() < 32


def test_arms_reach_to_the_rim_of_the_picture_whatever_is_drawn_of_them():
    for seed in range(4):
        script = script_of(seed=seed, label="flip")
        cut, whole = HandRenderer(script, WIDE, TALL), HandRenderer(script, WIDE, TALL)
        whole._reach = lambda shape, right: 3.1
        for hands in list(hand_poses(script))[::4]:
            for hand, right in zip(hands, (not cut.pins_with_right, cut.pins_with_right), strict=True):
                layers = [np.zeros((TALL, WIDE, 4), np.uint8) for _ in range(2)]
                for people, layer in zip((cut, whole), layers, strict=True):
                    people.draw(layer, hand, right)
                assert np.abs(layers[0][..., 3].astype(int) - layers[1][..., 3]).max() < 40


@pytest.mark.parametrize("mirrored", [False, True])
def test_print_reads_the_right_way_also_in_a_mirrored_picture(mirrored):
    script = script_of(seed=6)
    level = BookHalf(0.01, 0.01, 0.1)
    look = replace(script.look, mirrored=mirrored, lying=replace(script.look.lying, turn=0.0, right=level, left=level))
    renderer = Renderer(replace(script, look=look, wave=(0.0, 0.0)), WIDE * 2, TALL * 2)
    number = 2 * script.opened + 1
    picture = renderer._lying(state_at(renderer.script, 0.0))
    points = project(look.phone, book_to_world(look.lying, lying_page(look.lying, 1)))[[0, 0, -1, -1], [3, -1, -1, 3]]
    size = (200, 300)
    corners = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32)
    view = cv2.getPerspectiveTransform((points * renderer.wide).astype(np.float32), corners)
    seen = cv2.cvtColor(cv2.warpPerspective(picture, view, size), cv2.COLOR_RGB2GRAY)
    if mirrored:  # the whole picture is turned over once more when it is developed
        seen, number = seen[:, ::-1], number + 1
    tall = round(260 * look.lying.page[1] / look.lying.page[0])
    page = page_texture(look.pages, look.book_seed, number, 260, tall)
    start = int(260 * (3 / 22) ** 1.2)
    page = page[:, start:] if number % 2 else page[:, : 260 - start]
    page = cv2.cvtColor(cv2.resize(page, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    right, wrong = (_likeness(seen, other) for other in (page, page[:, ::-1]))
    assert right > wrong + 0.1


def _likeness(one, two):
    fine = [item - cv2.GaussianBlur(item, (0, 0), 9) for item in (one.astype(np.float32), two.astype(np.float32))]
    return float(np.corrcoef(*(item.ravel() for item in fine))[0, 1])


@pytest.mark.parametrize("progress", [0.05, 0.3, 0.6, 0.95])
def test_cells_that_are_drawn_as_one_are_where_the_single_ones_were(progress, monkeypatch):
    look = script_of().look
    points = book_to_world(look.lying, sheet(look.lying, Bend(0.6, 0.05, 0.4, 0.5, 1), progress))
    picture = project(look.phone, points) * WIDE
    face = np.zeros((200, 120, 3), np.uint8)
    face[::20], face[:, ::20] = 255, 255
    layers = [np.zeros((TALL, WIDE, 4), np.uint8) for _ in range(2)]
    assert mesh.draw_mesh(layers[0], picture, points, (face, 255 - face), 1) is not None
    monkeypatch.setattr(mesh, "_FLAT", 0.0)
    mesh.draw_mesh(layers[1], picture, points, (face, 255 - face), 1)
    assert np.abs(layers[0].astype(int) - layers[1]).mean() < 3
