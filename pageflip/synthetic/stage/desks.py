"""The desk and its surroundings, seen from above and evenly lit.

Lengths are in picture widths, x to the right, y down, from the top left corner; colours are RGB 0..255.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pageflip.base.errors import ConfigError
from pageflip.synthetic.primitives import Colour, attenuate, blend, clip_colour, draw_line, fill_polygon, triple
from pageflip.synthetic.stage.props import HALF_LENGTHS, Prop, draw_prop, outline

_KINDS = {"plain": 0.46, "wood": 0.27, "cloth": 0.11, "stone": 0.07, "carpet": 0.04, "glass": 0.05}
_PLAIN = ((232, 232, 228), (222, 220, 210), (205, 203, 196), (240, 240, 240), (184, 186, 186), (214, 202, 180),
          (140, 142, 144), (196, 206, 214), (80, 82, 86), (44, 44, 48), (150, 172, 160), (176, 150, 130))  # fmt: skip
_PLAIN_CHANCES = np.array([7, 6, 5, 5, 3.5, 3.5, 1.6, 1, 1, 1, 0.5, 0.6])
_WOOD = ((204, 170, 128), (176, 132, 90), (140, 96, 62), (104, 70, 46), (222, 196, 158), (70, 48, 36), (168, 150, 130))
_FLOORS = (*_WOOD, (120, 118, 114), (96, 98, 104), (160, 152, 140), (110, 60, 52), (60, 70, 90))
_CLOTH = (
    (214, 206, 190),
    (150, 160, 176),
    (120, 40, 44),
    (52, 66, 96),
    (230, 228, 222),
    (92, 104, 84),
    (190, 150, 110),
)
_CARPET = ((140, 128, 112), (96, 100, 108), (170, 160, 146), (90, 60, 56), (60, 66, 80))
_MAX_PIXEL = 2**16  # fixed-point coordinates beyond this overflow in OpenCV
_Leg = tuple[float, float, float, float, float]  # x, y, radius across, radius down, lean
_CLOTHES = ((16, 16, 20), (22, 26, 40), (40, 54, 84), (58, 58, 62), (92, 82, 66), (30, 30, 32), (110, 112, 116))


@dataclass(frozen=True)
class DeskStyle:
    """A desk and its surroundings.

    Attributes:
        kind: of surface.
        aspect: the picture's height over its width.
        colour: of the surface.
        second: darker colour of its pattern.
        coarse: size of the pattern.
        strong: contrast of the pattern.
        turn: direction of the pattern in radians.
        edge: height of the front edge at the left and the right side; 9 is out of view.
        lip: thickness of the board at the front edge.
        far: height of the far edge at the left and the right side; -9 is out of view.
        wall: colour of what is beyond the far edge.
        floor: kind of floor.
        floor_colour: colour of the floor.
        clothes: colour of the person's clothes.
        legs: (x, y, radius across, radius down, lean) of knees and jacket in front of the desk.
        chair: (x, y, half width), or empty.
        props: objects on the desk.
        seed: of the surface.
    """

    kind: str
    aspect: float
    colour: Colour
    second: Colour
    coarse: float
    strong: float
    turn: float
    edge: tuple[float, float]
    lip: float
    far: tuple[float, float]
    wall: Colour
    floor: str
    floor_colour: Colour
    clothes: Colour
    legs: tuple[_Leg, ...]
    chair: tuple[float, ...]
    props: tuple[Prop, ...]
    seed: int


def desk_style(rng: np.random.Generator, aspect: float) -> DeskStyle:
    """Sample a desk for pictures whose height is `aspect` times their width.

    Raises:
        ConfigError: `aspect` is not in 0.2 to 5.
    """
    if not 0.2 <= aspect <= 5:
        raise ConfigError(f"the picture's aspect is {aspect}", "give height / width, between 0.2 and 5.")
    kind = str(rng.choice(list(_KINDS), p=np.array(list(_KINDS.values())) / sum(_KINDS.values())))
    colour = _surface_colour(rng, kind)
    darker, in_shadow = rng.uniform(0.55, 0.85), rng.uniform(0.12, 0.55)
    edge = _edge(rng, 0.75 * aspect, 1.02 * aspect) if rng.random() < 0.68 else (9.0, 9.0)
    far = _edge(rng, 0.0, 0.07 * aspect) if rng.random() < 0.22 else (-9.0, -9.0)
    return DeskStyle(
        kind=kind,
        aspect=aspect,
        colour=colour,
        second=_vary(rng, np.array(colour) * darker, 10),
        coarse=rng.uniform(0.5, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, 2.0),
        strong=rng.uniform(0.4, 1.1),
        turn=float(rng.choice([0.0, np.pi / 2])) + rng.normal(0, 0.06),
        edge=edge,
        lip=rng.uniform(0.004, 0.02) if rng.random() < 0.6 else 0.0,
        far=far,
        wall=_vary(rng, _PLAIN[rng.integers(7)], 18) if rng.random() < 0.6 else _vary(rng, (50, 46, 44), 25),
        floor=str(rng.choice(["boards", "tiles", "carpet"], p=[0.55, 0.15, 0.3])),
        floor_colour=_vary(rng, np.array(_FLOORS[rng.integers(len(_FLOORS))]) * in_shadow, 8),
        clothes=_vary(rng, _CLOTHES[rng.choice(7, p=[0.3, 0.18, 0.14, 0.1, 0.07, 0.16, 0.05])], 6),
        legs=_legs(rng, edge, aspect),
        chair=(rng.uniform(0.3, 0.7), aspect * rng.uniform(0.96, 1.05), rng.uniform(0.3, 0.55))
        if rng.random() < 0.3
        else (),
        props=_props(rng, aspect, edge, far),
        seed=int(rng.integers(2**31)),
    )


def _vary(rng: np.random.Generator, colour: ArrayLike, spread: float) -> Colour:
    return clip_colour(np.array(colour) + rng.normal(0, spread / 2) + rng.normal(0, spread / 5, 3), 4, 250)


def _surface_colour(rng: np.random.Generator, kind: str) -> Colour:
    if kind == "plain":
        return _vary(rng, _PLAIN[rng.choice(len(_PLAIN), p=_PLAIN_CHANCES / _PLAIN_CHANCES.sum())], 12)
    if kind == "stone":
        return _vary(rng, [(222, 220, 216), (70, 70, 74), (168, 160, 150)][rng.integers(3)], 16)
    if kind == "glass":
        return _vary(rng, (30, 32, 36), 16)
    tones = {"wood": _WOOD, "cloth": _CLOTH, "carpet": _CARPET}[kind]
    return _vary(rng, tones[rng.integers(len(tones))], 18)


def _edge(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    left = rng.uniform(low, high)
    return (left, float(np.clip(left + rng.normal(0, 0.06), low, high)))


def _legs(rng: np.random.Generator, edge: tuple[float, float], aspect: float) -> tuple[_Leg, ...]:
    """Sample the knees of the person at the desk, and sometimes the hem of a jacket between them."""
    if rng.random() < 0.2:
        return ()
    low = min(max(edge), aspect)
    found = []
    for x in (rng.uniform(-0.08, 0.3), rng.uniform(0.68, 1.08)):
        if rng.random() < 0.85:
            top = low + rng.uniform(-0.03, 0.22) * aspect * 0.5
            found.append((x, top, rng.uniform(0.15, 0.28), rng.uniform(0.14, 0.34), rng.normal(0, 0.25)))
    if rng.random() < 0.3:
        found.append((rng.uniform(0.35, 0.65), aspect * rng.uniform(0.97, 1.04), rng.uniform(0.3, 0.5), 0.12, 0.0))
    return tuple(found)


def _props(
    rng: np.random.Generator, aspect: float, edge: tuple[float, float], far: tuple[float, float]
) -> tuple[Prop, ...]:
    """Sample objects near the borders, often none; a paper or notebook sometimes reaches towards the middle."""
    count = int(rng.choice([0, 1, 2, 3, 4, 5], p=[0.42, 0.2, 0.15, 0.11, 0.07, 0.05]))
    kinds = list(HALF_LENGTHS)
    weights = np.array([3, 1.6, 2.6, 1.6, 3, 2, 1.2, 1.6, 0.6, 0.9, 1.6, 1.0, 0.9, 0.6, 0.5])
    bottom = min(min(edge), aspect)
    props: list[Prop] = []
    for _ in range(count):
        kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
        turn = float(rng.choice([0, np.pi / 2, np.pi])) + rng.normal(0, 0.22 if kind != "pen" else 1.2)
        half = rng.uniform(*HALF_LENGTHS[kind])
        prop = Prop(kind, (0.0, 0.0), turn, half, _prop_colour(rng), int(rng.integers(2**31)))
        reach = 0.25 if kind in ("paper", "notebook") and rng.random() < 0.2 else rng.uniform(0.03, 0.1)
        at = _place_prop(rng, prop, aspect, bottom, max(far), reach)
        if at is not None and all(
            np.hypot(at[0] - other.at[0], at[1] - other.at[1]) > 0.7 * (half + other.half) for other in props
        ):
            props.append(replace(prop, at=at))
    return tuple(props)


def _place_prop(
    rng: np.random.Generator, prop: Prop, aspect: float, bottom: float, top: float, reach: float
) -> tuple[float, float] | None:
    """Sample a place that reaches `reach` into the picture from a side, or lies behind or in front of the book."""
    wide, high = np.abs(outline(prop)[0]).max(0)
    if prop.kind == "cable":
        wide, high = prop.half * 0.9, prop.half * 0.3
    side = rng.choice(["left", "right", "far", "near"], p=[0.32, 0.32, 0.22, 0.14])
    if side == "far":
        return (rng.uniform(0, 1), rng.uniform(0.04, 0.11) * aspect - high) if top < 0 else None
    if side == "near":
        y = bottom - high - rng.uniform(0.0, 0.12)
        return (float(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1)])), y) if y - high > 0.72 * aspect else None
    low, end = max(top, 0) + 0.3 * high, bottom - high * 1.05
    shown = min(reach, 2 * wide)
    return (shown - wide if side == "left" else 1 - shown + wide, rng.uniform(low, end)) if low < end else None


def _prop_colour(rng: np.random.Generator) -> Colour:
    return clip_colour(rng.uniform(30, 235) + rng.normal(0, 1, 3) * rng.choice([4, 18, 40]), 15, 245)


def desk_picture(style: DeskStyle, width: int, height: int) -> np.ndarray:
    """Draw a desk: uint8 [height, width, 3] RGB, evenly lit, the same bytes each time."""
    half = width >= 600
    small = (width // 2 + 1, height // 2 + 1) if half else (width, height)
    picture = _surface(style, *small)
    if half:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    picture = cv2.add(picture, _speckle(style, width, height), dtype=cv2.CV_8U)
    picture = _add_shadows(picture, style)
    for prop in style.props:
        draw_prop(picture, prop)
    if min(style.edge) * width < height:
        _draw_front(picture, style)
    if max(style.far) > 0:
        _draw_wall(picture, style)
    return picture


def _speckle(style: DeskStyle, width: int, height: int) -> np.ndarray:
    """Return the finest grain of the surface, int8 [height, width, 3], at the resolution of the picture."""
    strength = {"plain": 0.9, "wood": 1.6, "cloth": 3.0, "stone": 2.4, "carpet": 13.0, "glass": 0.6}[style.kind]
    tile = np.clip(_grain_tile() * strength * (0.5 + style.strong), -80, 80).astype(np.int8)
    single = np.tile(tile, (height // 512 + 1, width // 512 + 1))[:height, :width]
    return cv2.merge([np.ascontiguousarray(single)] * 3)


@lru_cache(maxsize=1)
def _grain_tile() -> np.ndarray:
    noise = np.random.default_rng([0, 31]).normal(0, 1, (592, 592)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 0.9) * 2.6)[40:-40, 40:-40]


def _surface(style: DeskStyle, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng([style.seed, 32])
    mix = _PATTERNS[style.kind](style, rng, width, height)  # 0: first colour, 255: second
    share = np.arange(256, dtype=np.float32)[:, None] / 255
    table = np.array(style.colour) + (np.array(style.second) - np.array(style.colour)) * share
    return cv2.LUT(cv2.merge([mix] * 3), np.clip(table, 0, 255).astype(np.uint8)[:, None, :])


def _smooth_noise(rng: np.random.Generator, columns: int, rows: int, size: tuple[int, int]) -> np.ndarray:
    """Return smooth noise about 0, float32 [height, width]."""
    grid = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)


def _plain(style: DeskStyle, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    spread = 40 if style.kind == "carpet" else 5
    size = (width // 4 + 1, height // 4 + 1)
    noise = _smooth_noise(rng, 3, 5, size) + 0.3 * _smooth_noise(rng, 14, 24, size)
    coarse = np.clip(spread * (1 + noise) * style.strong, 0, 255).astype(np.uint8)
    mix = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if style.kind == "carpet":
        return mix
    for _ in range(int(rng.integers(0, 7))):  # specks and scratches
        x, y = rng.uniform(0, 1) * width, rng.uniform(0, 1) * height
        dx, dy = rng.normal(0, 0.03, 2) * width * (rng.random() < 0.4)
        tone = float(rng.uniform(40, 200)) if abs(dx) + abs(dy) < 1 else 40.0
        cv2.line(mix, (int(x), int(y)), (int(x + dx), int(y + dy)), tone, 1, cv2.LINE_AA)
    return mix


def _wood(style: DeskStyle, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return boards with the grain in one direction; drawn in a square around the picture and rotated into place."""
    side = 640
    across = np.arange(side, dtype=np.float32)[:, None] / side
    bands = _smooth_noise(rng, 3, int(16 / style.coarse) + 4, (side, side))
    warp = _smooth_noise(rng, 4, 5, (side, side)) * 0.05 + bands * 0.008
    rings = np.sin((across + warp) * (2 * np.pi * rng.uniform(9, 22) / style.coarse))
    fine = _smooth_noise(rng, 9, 420, (side, side)) + 0.7 * _smooth_noise(rng, 40, 640, (side, side))
    field = 70 + style.strong * (34 * bands + 22 * rings * rng.uniform(0.2, 1.0) + 17 * fine)
    if rng.random() < 0.5:
        field = _boards(field, rng, side)
    field = np.clip(field, 0, 255).astype(np.uint8)
    reach = np.hypot(width, height) * 1.02 / side
    cos, sin = np.cos(style.turn) * reach, np.sin(style.turn) * reach
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = np.array([width, height]) / 2 - matrix[:, :2] @ (side / 2, side / 2)
    return cv2.warpAffine(field, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _boards(field: np.ndarray, rng: np.random.Generator, side: int) -> np.ndarray:
    """Cut the grain into boards of different tone, shifted against each other, with dark joints."""
    field, y = field.copy(), int(rng.integers(-60, 0))
    broad = int(rng.integers(55, 170))
    while y < side:
        part = field[max(y, 0) : y + broad]
        part[:] = np.roll(part, int(rng.integers(0, side)), 1) + rng.normal(0, 18)
        field[max(y, 0) : max(y, 0) + 2] += 90
        end = int(rng.integers(0, side))
        part[:, end : end + 2] += 80
        y += broad
    return field


def _cloth(style: DeskStyle, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return a weave of threads of different tone: plain, striped or checked."""
    pitch = max(0.0055 * style.coarse * width, 2.0)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    column, row = (np.sin(v * (2 * np.pi / pitch)) for v in (x, y))
    tones = [np.interp(v, np.arange(0, n + pitch, pitch), rng.normal(0, 1, len(np.arange(0, n + pitch, pitch))))
             for v, n in ((x, width), (y, height))]  # fmt: skip
    bands = [np.zeros_like(x), np.zeros_like(y)]
    pattern = rng.choice(["none", "stripes", "checks"], p=[0.6, 0.2, 0.2])
    period = rng.uniform(0.06, 0.22) * width
    if pattern != "none":
        bands[0] = 110.0 * (np.sin(2 * np.pi * x / period) > rng.uniform(-0.2, 0.8))
    if pattern == "checks":
        bands[1] = 110.0 * (np.sin(2 * np.pi * y / period) > 0.3)
    weave = np.outer(row, column).astype(np.float32) * 26
    weave += (bands[0] + 9 * tones[0])[None] + (bands[1] + 9 * tones[1])[:, None]
    folds = cv2.resize(_smooth_noise(rng, 4, 6, (64, 96)), (width, height)) * 9
    return np.clip(45 + (weave + folds) * (0.5 + 0.5 * style.strong), 0, 255).astype(np.uint8)


def _stone(style: DeskStyle, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return marble with veins, or granite."""
    size = (width // 2 + 1, height // 2 + 1)
    if rng.random() < 0.45:
        cells = (int(110 / style.coarse), int(110 / style.coarse * height / width))
        grains = _smooth_noise(rng, *cells, size) + 0.6 * _smooth_noise(rng, cells[0] * 2, cells[1] * 2, size)
        mix = 60 + 60 * style.strong * np.tanh(1.6 * grains)
    else:
        warp = (
            _smooth_noise(rng, 4, 6, size)
            + 0.4 * _smooth_noise(rng, 12, 20, size)
            + 0.15 * _smooth_noise(rng, 40, 70, size)
        )
        veins = np.exp(-np.abs(warp) * 16) + 0.5 * np.exp(-np.abs(warp - 0.8) * 26)
        mix = 14 * (1 + _smooth_noise(rng, 5, 8, size)) + 120 * style.strong * veins
    return cv2.resize(np.clip(mix, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)


def _glass(style: DeskStyle, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return soft reflections of the room in a dark and smooth surface."""
    mix = np.clip(90 + 60 * _smooth_noise(rng, 3, 4, (48, 80)), 0, 255).astype(np.uint8)
    return cv2.resize(mix, (width, height), interpolation=cv2.INTER_CUBIC)


_PATTERNS = {"plain": _plain, "wood": _wood, "cloth": _cloth, "stone": _stone, "carpet": _plain, "glass": _glass}


def _add_shadows(picture: np.ndarray, style: DeskStyle) -> np.ndarray:
    """Return the picture with soft shadows of the objects."""
    if not style.props:
        return picture
    height, width = picture.shape[:2]
    step = 4 if width >= 400 else 1
    mask = np.zeros((height // step + 1, width // step + 1), np.uint8)
    side = 1 if style.seed % 2 else -1
    for prop in style.props:
        points, high = outline(prop)
        if prop.kind in ("cable", "glasses"):
            continue
        for reach, dark in ((1.2, 45), (0.6, 75)):
            moved = (points + np.array([0.7 * side, 0.8]) * high * reach) * (width / step)
            layer = np.zeros_like(mask)
            fill_polygon(layer, moved, dark)
            mask = np.maximum(mask, cv2.GaussianBlur(layer, (0, 0), max((0.004 + high * 0.35) * width / step, 0.6)))
    return attenuate(picture, cv2.resize(255 - mask, (width, height), interpolation=cv2.INTER_LINEAR))


def _draw_front(picture: np.ndarray, style: DeskStyle) -> None:
    """Draw floor, legs and chair in front of the desk, and the edge of its board, in place."""
    height, width = picture.shape[:2]
    start = max(int(min(style.edge) * width) - 2, 0)
    tall = height - start
    step = 2 if width >= 600 else 1
    floor = _floor_picture(style, width // step + 1, tall // step + 1)
    _draw_person(floor, style, start / width, step / width)
    floor = cv2.GaussianBlur(floor, (0, 0), max(0.0022 * width / step, 0.5))
    floor = cv2.resize(floor, (width, tall), interpolation=cv2.INTER_LINEAR)
    lip = np.zeros((tall, width), np.uint8)
    mask = np.zeros((tall, width), np.uint8)
    for layer, down in ((lip, 0.0), (mask, style.lip)):
        corners = [(0, style.edge[0] + down), (1, style.edge[1] + down), (1, 9), (0, 9)]
        fill_polygon(layer, np.array(corners) * width - (0, start), 255)
    below = picture[start:]
    if style.lip:
        tone = np.full_like(below, np.clip(np.array(style.second) * (0.5 + 0.5 * style.strong), 0, 255))
        below = blend(below, tone, lip)
    picture[start:] = blend(below, floor, mask)


def _floor_picture(style: DeskStyle, width: int, height: int) -> np.ndarray:
    """Return boards, tiles or carpet in the shadow of the desk, uint8 [height, width, 3]."""
    rng = np.random.default_rng([style.seed, 33])
    size = (width, height)
    if style.floor == "boards":
        field = 0.09 * _smooth_noise(rng, 90, 4, size) + 0.1 * _smooth_noise(rng, 12, 2, size)
        count = int(rng.integers(4, 12))
        board = (np.arange(width) * count // width).astype(int)
        field += rng.normal(0, 0.12, count)[board][None]
        joints = np.flatnonzero(np.diff(board))
        field[:, joints] -= 0.5
    else:
        field = 0.1 * _smooth_noise(rng, 60, 30, size) + 0.06 * _smooth_noise(rng, 300, 150, size)
        if style.floor == "tiles":
            step = max(width // int(rng.integers(3, 6)), 2)
            field[::step] -= 0.4
            field[:, ::step] -= 0.4
    dark = np.clip(0.55 + np.linspace(0, 1, height)[:, None] * 0.6, 0, 1).astype(np.float32)
    tone = (np.clip(1 + field, 0.2, 1.7) * dark)[..., None] * np.array(style.floor_colour, np.float32)
    return np.clip(tone, 2, 235).astype(np.uint8)


def _draw_person(floor: np.ndarray, style: DeskStyle, top: float, pixel: float) -> None:
    """Draw chair, knees and jacket in place; `top` is the strip's first row, `pixel` its pixel, in picture widths."""
    rng = np.random.default_rng([style.seed, 34])
    if style.chair:
        x, y, half = style.chair
        box = np.array([(x - half, y), (x + half, y - 0.02), (x + half * 0.9, 9), (x - half * 0.9, 9)])
        fill_polygon(floor, (box - (0, top)) / pixel, triple(c * 0.5 + 8 for c in style.floor_colour))
    turn = np.linspace(0, 2 * np.pi, 48)
    cloth = np.array(style.clothes)
    for x, y, across, down, lean in style.legs:
        # a knee is lighter towards its middle
        wave = 1 + 0.03 * np.sin(turn * 3 + rng.uniform(0, 6))
        for i, share in enumerate(np.linspace(1.0, 0.2, 14)):
            shape = np.stack([np.cos(turn) * across * share * wave, np.minimum(np.sin(turn), 9) * down * share], 1)
            shape[np.sin(turn) > 0, 1] *= 9
            shape[:, 0] += lean * (shape[:, 1].clip(-1, 1.5))
            rim = ((shape + np.array([x, y + down - top])) / pixel).clip(-_MAX_PIXEL, _MAX_PIXEL)
            fill_polygon(floor, rim, triple(cloth * (0.6 + 0.5 * np.sqrt(i / 13))))
        for _ in range(int(rng.integers(0, 4))):
            a = np.array([x + rng.uniform(-0.7, 0.7) * across, y + down * rng.uniform(0.4, 1.2)])
            b = a + rng.normal(0, 0.06, 2) + (0, 0.05)
            draw_line(floor, (np.stack([a, b]) - (0, top)) / pixel, triple(cloth * 0.82), max(int(0.005 / pixel), 1))


def _draw_wall(picture: np.ndarray, style: DeskStyle) -> None:
    """Draw the wall or the room beyond the far edge, with a shadow along it, in place."""
    height, width = picture.shape[:2]
    end = min(int(max(style.far) * width) + 3, height)
    rows = np.linspace(0.8, 1.0, end)[:, None, None]
    wall = np.clip(np.array(style.wall) * rows * np.ones((1, width, 1)), 0, 255).astype(np.uint8)
    for spread, dark in ((0.012, 70), (0.0, 255)):
        mask = np.zeros((end, width), np.uint8)
        corners = np.array([(0, -9), (1, -9), (1, style.far[1] + spread), (0, style.far[0] + spread)])
        fill_polygon(mask, corners * width, 255)
        above = np.zeros_like(wall) if spread else wall
        picture[:end] = blend(picture[:end], above, cv2.convertScaleAbs(mask, alpha=dark / 255))
