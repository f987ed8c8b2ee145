"""Drawn hands: the same seed gives the same bytes, no two are alike, layers lie within the hand, the light counts."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from pageflip.base.errors import ConfigError
from pageflip.synthetic.hands.skeleton import SHAPES
from pageflip.synthetic.hands.sprite import hand_sprite
from pageflip.synthetic.hands.styles import hand_style

LEFT_LIGHT = (-0.6, 0.0, 0.8)
BARE = {"sleeve": False, "watch": "", "ring": "", "hair": 0.0, "veins": 0.0}


def style(seed=3, **changes):
    return replace(hand_style(np.random.default_rng(seed)), **changes)


def sprite(shape="flat", seed=1, length=90, right=False, light=LEFT_LIGHT, **changes):
    return hand_sprite(style(**changes), shape, length, right, light, seed)


def alpha_near(picture, spot, reach=4):
    x, y = (round(value) for value in spot)
    return picture[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1, 3].max()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_hand():
    one, again, other = sprite(), sprite(), sprite(seed=2)
    for layer in ("picture", "fingers", "thumb"):
        np.testing.assert_array_equal(getattr(one, layer), getattr(again, layer))
    assert (one.tip, one.elbow) == (again.tip, again.elbow)
    assert one.picture.shape != other.picture.shape or (one.picture != other.picture).any()


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_layers_of_one_size_and_works_where_there_is_skin(shape, right):
    hand = sprite(shape, right=right)
    for layer in (hand.picture, hand.fingers, hand.thumb):
        assert layer.dtype == np.uint8
        assert layer.shape == hand.picture.shape
        assert layer[..., 3].max() > 200
        assert (layer[..., :3] <= layer[..., 3:].astype(int) + 2).all(), "the colour is not multiplied by alpha"
        assert (layer[..., 3] <= hand.picture[..., 3].astype(int) + 2).all(), "a layer sticks out of the hand"
    assert alpha_near(hand.picture, hand.tip) > 200
    assert hand.elbow[1] - hand.tip[1] > 3 * 90
    assert alpha_near(hand.picture, (hand.elbow[0], hand.elbow[1] - 5)) == 255


def test_a_right_hand_has_its_thumb_on_the_left():
    for right in (False, True):
        hand = sprite("spread", right=right, **BARE)
        across = [np.nonzero(layer[..., 3])[1].mean() for layer in (hand.thumb, hand.fingers)]
        assert (across[0] < across[1]) == right


@pytest.mark.parametrize("right", [False, True])
def test_the_side_that_faces_the_light_is_the_brighter_one(right):
    hand = sprite(right=right, length=120, **BARE)
    row = round(hand.elbow[1] - 120)
    inside = np.nonzero(hand.picture[row, :, 3] == 255)[0]
    third = len(inside) // 3
    brightness = hand.picture[row, inside, :3].mean(-1)
    assert brightness[:third].mean() > 1.15 * brightness[-third:].mean()


def test_a_stretched_hand_is_as_long_as_asked_and_a_curled_one_shorter():
    flat, curl = sprite("flat", length=160), sprite("curl", length=160)
    lengths = [hand.elbow[1] - hand.tip[1] for hand in (flat, curl)]
    assert 3.9 * 160 < lengths[0] < 4.25 * 160
    assert lengths[1] < lengths[0] - 0.1 * 160


def test_a_sleeve_covers_the_arm_but_not_the_fingers():
    bare = sprite(**BARE)
    clad = sprite(**(BARE | {"sleeve": True, "sleeve_start": 0.3, "cloth": (20.0, 60.0, 200.0), "pattern": "plain"}))
    x, y = (round(value) for value in clad.elbow)
    red, _, blue = clad.picture[y - 60, x, :3].astype(int)
    assert blue > 2 * red
    np.testing.assert_array_equal(bare.fingers[:60], clad.fingers[:60])


def test_styles_are_plain_data_over_the_whole_range_of_skins():
    styles = [hand_style(np.random.default_rng(seed)) for seed in range(60)]
    for item in styles:
        assert json.loads(json.dumps(asdict(item)))["skin"] == list(item.skin)
    red = [item.skin[0] for item in styles]
    assert min(red) < 110
    assert max(red) > 220
    assert {item.sleeve for item in styles} == {True, False}
    assert len({item.texture for item in styles}) == len(styles)


def test_an_unknown_shape_or_a_tiny_hand_is_refused():
    with pytest.raises(ConfigError, match=r"'fist'.*\n.*flat, spread, point"):
        sprite("fist")
    with pytest.raises(ConfigError, match="7 pixels"):
        sprite(length=7)
    assert sprite(length=8).picture.size > 0
