"""Printed pages and desks: the same seed gives the same bytes, every size the same layout, and room for the book."""

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest

from pageflip.base.errors import ConfigError
from pageflip.synthetic.book.page_styles import page_style
from pageflip.synthetic.book.pages import page_texture
from pageflip.synthetic.stage.desks import desk_picture, desk_style
from pageflip.synthetic.stage.props import outline

ASPECT = 1920 / 1080


def style(seed=0, genre=None):
    """The first style, from this seed on, of the genre."""
    while True:
        drawn = page_style(np.random.default_rng([seed, 7]))
        if genre in (None, drawn.genre):
            return drawn
        seed += 1


def desks(count):
    return [desk_style(np.random.default_rng([seed, 8]), ASPECT) for seed in range(count)]


def likeness(one, two):
    """The correlation of two pictures of one size."""
    return float(np.corrcoef(one.ravel().astype(float), two.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("genre", ["programming", "novel", "magazine", "children", "comic", "dictionary", "music"])
def test_a_page_is_a_picture_of_the_size_asked_with_ink_on_paper(genre):
    pages = [page_texture(style(genre=genre), 5, number, 260, 390) for number in range(3, 7)]
    assert all(page.shape == (390, 260, 3) and page.dtype == np.uint8 for page in pages)
    assert min(page.min() for page in pages) < 90
    assert np.std([page.mean() for page in pages]) > 0


def test_a_page_has_the_same_bytes_each_time_whatever_was_drawn_before():
    book = style(3)
    first = page_texture(book, 9, 5, 200, 300)
    for number in range(6, 14):
        page_texture(book, 9, number, 200, 300)
    assert np.array_equal(page_texture(book, 9, 5, 200, 300), first)
    first[:] = 0  # what a caller does with a page is its own affair
    assert page_texture(book, 9, 5, 200, 300).any()


def test_pages_and_books_differ():
    book = style(genre="novel")
    page = page_texture(book, 9, 5, 240, 360)
    for other in (page_texture(book, 9, 7, 240, 360), page_texture(book, 10, 5, 240, 360)):
        assert likeness(page[60:-60], other[60:-60]) < 0.6


@pytest.mark.parametrize("genre", ["programming", "science", "novel", "textbook", "magazine"])
def test_the_layout_is_the_same_at_every_size(genre):
    book = style(genre=genre)
    large, small = page_texture(book, 2, 8, 700, 1050), page_texture(book, 2, 8, 180, 270)
    assert likeness(cv2.resize(large, (180, 270), interpolation=cv2.INTER_AREA), small) > 0.93


def test_the_wider_inner_margin_lies_at_the_spine():
    book = replace(style(genre="novel"), margins=(0.3, 0.05, 0.15, 0.15), kinds=(("flow", 1),), see_through=0.0)
    for number in (5, 6):
        page = page_texture(book, 1, number, 300, 450)
        if number % 2 == 0:
            page = page[:, ::-1]
        assert page[60:-60, :75].min() > page[60:-60, 100:250].min() + 60


def test_the_other_side_of_the_leaf_shines_through_mirrored():
    book = replace(style(genre="novel"), kinds=(("picture", 1),))
    without, through = (page_texture(replace(book, see_through=share), 1, 7, 300, 450) for share in (0.0, 0.09))
    back = page_texture(book, 1, 8, 300, 450)[:, ::-1]
    light = through.astype(float).mean(2) / np.maximum(without.astype(float).mean(2), 1)
    assert light.min() < 0.98
    assert likeness(cv2.blur(light, (9, 9)), cv2.blur(back, (9, 9)).mean(2)) > 0.5


def test_styles_and_desks_can_be_written_as_json():
    for seed in range(5):
        json.dumps([asdict(style(seed)), asdict(desk_style(np.random.default_rng(seed), ASPECT))])


@pytest.mark.parametrize(("number", "seed", "size"), [(-1, 0, (50, 80)), (1, -2, (50, 80)), (1, 0, (4, 80))])
def test_a_page_that_cannot_be_drawn_is_refused(number, seed, size):
    with pytest.raises(ConfigError, match="cannot be drawn"):
        page_texture(style(), seed, number, *size)


def test_a_desk_is_a_picture_with_the_same_bytes_each_time():
    for desk in desks(12):
        picture = desk_picture(desk, 108, 192)
        assert picture.shape == (192, 108, 3)
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, desk_picture(desk, 108, 192))


def test_a_desk_looks_the_same_at_every_size():
    desk = next(desk for desk in desks(60) if desk.props and max(desk.edge) < 0.95 * ASPECT)
    large = cv2.resize(desk_picture(desk, 720, 1280), (180, 320), interpolation=cv2.INTER_AREA)
    assert likeness(large, desk_picture(desk, 180, 320)) > 0.95


def test_the_middle_of_the_desk_is_mostly_free_of_things():
    styles, crossing = desks(300), 0
    for prop in (prop for desk in styles for prop in desk.props if prop.kind != "cable"):
        points = outline(prop)[0]
        low, high = points.min(0), points.max(0)
        crossing += low[0] < 0.85 and high[0] > 0.15 and low[1] < 0.65 * ASPECT and high[1] > 0.15 * ASPECT
    assert sum(bool(desk.props) for desk in styles) > 100
    assert crossing < 0.08 * len(styles)


def test_a_desk_of_no_shape_is_refused():
    with pytest.raises(ConfigError, match="aspect is 0"):
        desk_style(np.random.default_rng(0), 0)
