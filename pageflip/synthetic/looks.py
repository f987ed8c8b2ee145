"""How a book and its recording place look: drawn once per book from a seed, so that every clip of a book agrees.

Lengths are in picture widths, x to the right, y down, from the picture's top left corner; colours are RGB 0..255.
"""

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]

_DESKS = ((216, 212, 200), (232, 231, 228), (196, 172, 138), (168, 128, 92), (188, 196, 204), (150, 152, 150))
_SKINS = ((226, 172, 148), (208, 142, 116), (240, 196, 172), (164, 108, 80), (118, 76, 56), (188, 130, 98))
_SLEEVES = ((22, 22, 26), (38, 44, 66), (92, 96, 100), (120, 34, 36), (36, 66, 52), (206, 204, 198), (60, 84, 128))
_BELOWS = ((16, 14, 14), (34, 26, 20), (24, 28, 38), (62, 50, 40), (84, 84, 88))


@dataclass(frozen=True)
class TextStyle:
    """The typography of a book. `pitch` is the line distance and `margin` the margin, both in page widths."""

    font: int
    pitch: float
    margin: float
    figures: float
    columns: int
    ink: Colour


@dataclass(frozen=True)
class Light:
    """The light on the scene.

    `direction` is the unit vector to the light, `slope` the fall-off over the picture, `ambient` how bright paper is
    that turns away from the light, `patch` the corners of the window's light.
    """

    direction: tuple[float, float, float]
    slope: tuple[float, float]
    tint: Colour
    vignette: float
    exposure: float
    ambient: float
    patch: tuple[tuple[float, float], ...]
    patch_gain: float


@dataclass(frozen=True)
class Look:
    """Everything that stays the same in a clip. `thickness` is how steeply the left and right pages leave the spine."""

    book_seed: int
    page: tuple[float, float]
    spine: tuple[float, float]
    turn: float
    camera: tuple[float, float, float]
    thickness: tuple[float, float]
    paper: Colour
    cover: Colour
    desk: Colour
    grain: float
    desk_edge: tuple[float, float]
    far_edge: tuple[float, float]
    below: Colour
    skin: Colour
    sleeve: Colour
    sleeve_start: float
    noise: float
    text: TextStyle
    light: Light


def book_look(book_seed: int, aspect: float) -> Look:
    """The look of one book, for pictures whose height is `aspect` times their width."""
    rng = np.random.default_rng([book_seed, 11])
    width = rng.uniform(0.66, 0.96) / 2
    tall = min(width * rng.uniform(1.45, 1.8), aspect * 0.56)
    white = rng.uniform(222, 246)
    warmth = rng.uniform(0, 26)
    return Look(
        book_seed=book_seed,
        page=(width, tall),
        spine=(0.5 + rng.uniform(-0.05, 0.05), aspect * rng.uniform(0.38, 0.46)),
        turn=np.deg2rad(rng.uniform(-4, 4)),
        camera=(0.5 + rng.uniform(-0.06, 0.06), aspect * rng.uniform(0.42, 0.56), rng.uniform(1.35, 2.0)),
        thickness=(rng.uniform(0.35, 1.4), rng.uniform(0.25, 1.0)),
        paper=(white, white - warmth * 0.35, white - warmth),
        cover=_shift(rng, (90, 84, 84), 45),
        desk=_pick(rng, _DESKS, 9),
        grain=rng.uniform(0, 10),
        desk_edge=(aspect * rng.uniform(0.8, 0.93), rng.uniform(-0.12, 0.04)),
        far_edge=(aspect * rng.uniform(-0.05, 0.05), rng.uniform(-0.03, 0.03)),
        below=_pick(rng, _BELOWS, 6),
        skin=_pick(rng, _SKINS, 8),
        sleeve=_pick(rng, _SLEEVES, 10),
        sleeve_start=rng.uniform(1.15, 2.2),
        noise=rng.uniform(1.5, 5.0),
        text=_text(rng),
        light=_light(rng, aspect),
    )


def clip_look(look: Look, clip_seed: int) -> Look:
    """The book's look with what differs between recordings of it: a nudge of book and phone, exposure, the sun."""
    rng = np.random.default_rng([clip_seed, 12])
    light = look.light
    shift = rng.normal(0, 0.04, 2)
    patch = tuple((x + shift[0], y + shift[1]) for x, y in light.patch) if rng.random() < 0.8 else ()
    light = replace(light, exposure=light.exposure * rng.uniform(0.78, 1.16), patch=patch)
    spine = (look.spine[0] + rng.normal(0, 0.012), look.spine[1] + rng.normal(0, 0.02))
    return replace(look, spine=spine, turn=look.turn + rng.normal(0, 0.008), light=light)


def _text(rng: np.random.Generator) -> TextStyle:
    grey = rng.uniform(20, 80)
    return TextStyle(
        font=int(rng.choice([0, 2, 3, 4])),  # the Hershey fonts of OpenCV: simplex, duplex, complex, triplex
        pitch=rng.uniform(0.034, 0.05),
        margin=rng.uniform(0.09, 0.16),
        figures=rng.uniform(0.1, 0.75),
        columns=2 if rng.random() < 0.2 else 1,
        ink=(grey, grey, grey + rng.uniform(0, 10)),
    )


def _light(rng: np.random.Generator, aspect: float) -> Light:
    angle = rng.uniform(0, 2 * np.pi)
    flat = rng.uniform(0.25, 0.6)
    strength = rng.uniform(0.05, 0.22)
    tone = rng.uniform(-0.06, 0.06)
    start = np.array([rng.uniform(-0.1, 0.8), aspect * rng.uniform(0.05, 0.5)])
    along = np.array([rng.uniform(0.3, 0.9), aspect * rng.uniform(0.05, 0.4)])
    across = np.array([rng.uniform(-0.15, 0.3), aspect * rng.uniform(0.08, 0.25)])
    corners = (start, start + along, start + along + across, start + across)
    return Light(
        direction=(float(np.cos(angle) * flat), float(np.sin(angle) * flat), float(np.sqrt(1 - flat**2))),
        slope=(float(np.cos(angle) * strength), float(np.sin(angle) * strength)),
        tint=(1 + tone, 1 + 0.2 * tone, 1 - tone),
        vignette=rng.uniform(0.06, 0.3),
        exposure=rng.uniform(0.72, 1.05),
        ambient=rng.uniform(0.76, 0.94),
        patch=tuple((float(x), float(y)) for x, y in corners) if rng.random() < 0.75 else (),
        patch_gain=rng.uniform(1.12, 1.5),
    )


def _pick(rng: np.random.Generator, choices: tuple[Colour, ...], spread: float) -> Colour:
    return _shift(rng, choices[int(rng.integers(len(choices)))], spread)


def _shift(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.uniform(-spread, spread, 3), 4, 250)
    return float(red), float(green), float(blue)
