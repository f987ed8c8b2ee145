"""Page stills: which frame of a rest is kept, and that the same pages are kept once."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pageflip.events.flip import Flip
from pageflip.events.stills import (
    Picture,
    Rest,
    agreeing_share,
    agreement,
    find_rests,
    measure_picture,
    pick_stills,
    rate_candidates,
)
from pageflip.params.scoring import Stills

FPS, WIDE, TALL = 30, 180, 320


def page(seed, shift=0):
    """A made-up page: paper on a dark desk, rows of words that the seed settles."""
    rng = np.random.default_rng(seed)
    picture = np.full((TALL, WIDE), 40, np.uint8)
    picture[20:300, 15:165] = 225
    for y in range(30, 290, 8):
        x = 22
        while x < 150:
            word = int(rng.integers(5, 22))
            picture[y : y + 4, x : min(x + word, 158)] = 60
            x += word + 4
    return np.repeat(np.roll(picture, shift, axis=1)[..., None], 3, axis=2)


def blurred(rgb):
    values = rgb.astype(np.float32)
    for axis in (0, 1):
        values = sum(np.roll(values, k, axis) for k in (-2, -1, 0, 1, 2)) / 5
    return values.astype(np.uint8)


def with_hand(rgb):
    covered = rgb.copy()
    covered[180:320, 60:140] = (205, 150, 120)
    return covered


def picture_of(index, rgb):
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return Picture(index, rgb, ".png", buffer.getvalue)


def flip(first, last):
    return Flip(first, last, first / FPS, last / FPS, 0.9)


def rests_of(flips, count, **plan):
    return find_rests(flips, np.full(count, 0.1), np.arange(count) / FPS, Stills(**plan))


def test_rests_lie_before_between_and_after_flips():
    rests = rests_of([flip(20, 39), flip(60, 79)], 100, candidates=100, margin_s=0.0)
    assert [(rest.first, rest.last) for rest in rests] == [(0, 19), (40, 59), (80, 99)]
    assert [(rest.first, rest.last) for rest in rests_of([], 30)] == [(0, 29)]


def test_candidates_keep_away_from_flips_and_are_spread_evenly():
    (_, rest, _) = rests_of([flip(20, 39), flip(60, 79)], 100, candidates=4, margin_s=0.1)
    assert rest.candidates == (43, 47, 52, 56)


def test_a_rest_too_short_has_no_still_and_one_shorter_than_its_margins_keeps_its_middle():
    assert [rest.first for rest in rests_of([flip(20, 39), flip(42, 60)], 61, shortest_s=0.2)] == [0]
    (_, rest) = rests_of([flip(20, 39), flip(45, 60)], 61, shortest_s=0.1, margin_s=1.0)
    assert rest.candidates == (42,)


def test_frames_that_cannot_be_read_are_no_candidates():
    probabilities = np.full(10, 0.1)
    probabilities[[0, 5]] = np.nan
    (rest,) = find_rests([], probabilities, np.arange(10) / FPS, Stills(candidates=20))
    assert rest.candidates == (1, 2, 3, 4, 6, 7, 8, 9)


def best_of(pictures, probabilities=None):
    known = np.full(len(pictures), 0.1) if probabilities is None else np.array(probabilities)
    return int(rate_candidates([measure_picture(rgb) for rgb in pictures], known)["score"].argmax())


def test_the_sharpest_frame_is_kept():
    assert best_of([blurred(page(1)), page(1), blurred(page(1))]) == 1


def test_a_frame_without_the_hand_is_kept():
    pictures = [with_hand(page(1)), page(1), page(1)]
    assert best_of(pictures) in (1, 2)
    assert rate_candidates([measure_picture(rgb) for rgb in pictures], np.full(3, 0.1))["covered"][0] > 0.1


def test_a_frame_that_is_well_exposed_is_kept():
    bright = np.clip(page(1).astype(int) + 60, 0, 255).astype(np.uint8)
    assert best_of([bright, page(1)]) == 1


def test_the_frame_that_looks_least_like_a_flip_is_kept_among_equals():
    assert best_of([page(1)] * 3, [0.4, 0.3, 0.05]) == 2


@pytest.mark.parametrize("shift", [0, 2])
def test_the_same_page_is_known_again_under_a_hand_and_after_a_nudge(shift):
    one = measure_picture(page(1)).small
    assert agreeing_share(agreement(one, measure_picture(with_hand(page(1, shift))).small), 0.85) >= 0.65
    assert agreeing_share(agreement(one, measure_picture(page(2, shift)).small), 0.85) < 0.65


def test_two_rests_of_the_same_pages_share_the_better_still(tmp_path):
    rests = [Rest(0, 1, (0, 1)), Rest(5, 6, (5, 6)), Rest(9, 9, (9,))]
    shown = {0: blurred(page(1)), 1: blurred(page(1)), 5: page(1), 6: page(1), 9: page(2)}
    shown[0] = shown[1] = with_hand(page(1))
    pictures = iter([picture_of(index, rgb) for index, rgb in shown.items()])
    probabilities = np.full(10, 0.1)
    probabilities[:2] = 0.3
    stills = pick_stills(rests, pictures, probabilities, [None] * 10, Stills(), tmp_path)
    assert [(still.index, still.rests, still.looked_at) for still in stills] == [(5, 2, 2), (9, 1, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000005.png", "000009.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "000009.png")), page(2))
    assert "best of 2 frames" in stills[0].reason


def test_pictures_of_another_size_in_one_rest_are_left_out(tmp_path):
    pictures = iter([picture_of(0, page(1)), picture_of(1, page(1)[:, :100]), picture_of(2, page(1))])
    (still,) = pick_stills([Rest(0, 2, (0, 1, 2))], pictures, np.full(3, 0.1), [None] * 3, Stills(), tmp_path)
    assert still.looked_at == 2


def with_poster(rgb):
    """A bright sheet with print on it that lies on the desk through the whole recording, larger than the book."""
    return np.concatenate([rgb, *[page(90 + number) for number in range(9)]], axis=1)


def test_print_that_lies_beside_the_book_all_the_time_does_not_make_pages_the_same(tmp_path):
    rests = [Rest(i, i, (i,)) for i in range(8)]
    shown = [10, 11, 12, 13, 14, 14, 15, 14]  # the page that lies open in each rest
    pictures = [picture_of(i, with_poster(page(seed))) for i, seed in enumerate(shown)]
    stills = pick_stills(rests, iter(pictures), np.full(8, 0.1), [None] * 8, Stills(), tmp_path)
    again = {still.index: still.rests for still in stills if still.index >= 4}
    assert again == {4: 3, 6: 1}
