"""Sprites of hands with forearm and sleeve, seen from above; drawn once per clip, then rotated, scaled and moved.

A hand is a height field (`field`) with clothing on top, lit with wrap lighting, ambient occlusion, cast shadows and
specular highlights. A right hand is drawn as a left one and mirrored.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.synthetic.hands.field import (
    ARM_ALONG,
    ARM_GIRTH,
    Grid,
    HandField,
    HandModel,
    add_finger,
    bare_skin,
    bell,
    forearm_axes,
    hand_back,
    smooth_noise,
)
from pageflip.synthetic.hands.skeleton import SHAPES, Skeleton, build_skeleton
from pageflip.synthetic.hands.styles import HandStyle
from pageflip.synthetic.primitives import SUBPIXEL_BITS, attenuate, fixed_point, smoothstep

ARM_END = 3.1


@dataclass(frozen=True)
class HandSprite:
    """A drawn hand: three pictures of one size, uint8 [h, w, 4], premultiplied RGBA.

    Attributes:
        picture: the hand with its arm.
        fingers: the four fingers from the knuckles on.
        thumb: the thumb as it looks where no finger hides it.
        tip: pixel (x, y) that the hand works with: between thumb and fingers for "pinch", the tip of the index finger
            for "point", otherwise that of the middle finger.
        elbow: pixel of the forearm's far end, which may be below the picture.
    """

    picture: np.ndarray
    fingers: np.ndarray
    thumb: np.ndarray
    tip: tuple[float, float]
    elbow: tuple[float, float]


def hand_sprite(
    style: HandStyle,
    shape: str,
    length: int,
    right: bool,
    light: tuple[float, float, float],
    seed: int,
    reach: float = ARM_END,
) -> HandSprite:
    """Draw a hand.

    Args:
        style: the person.
        shape: one of `SHAPES`.
        length: pixels from the wrist crease to the tip of the middle finger of a flat hand.
        right: a right hand; its thumb is on the left, as it is seen from its back.
        light: unit vector to the light (x right, y down, z to the viewer) in the sprite's axes.
        seed: varies skeleton and skin.
        reach: length of the forearm that is drawn, in hand lengths from the wrist; it does not change the rest.

    Raises:
        ConfigError: the shape is unknown, or the length is below 8.
    """
    if shape not in SHAPES:
        raise ConfigError(f"the hand shape is {shape!r}", f"use one of: {', '.join(SHAPES)}")
    if length < 8:
        raise ConfigError(f"the hand's length is {length} pixels", "use 8 or more")
    skeleton = build_skeleton(style, shape, np.random.default_rng([seed, 31]))
    hand = HandModel(style, skeleton, "right" if right else "left", seed)
    sun = np.asarray(light, np.float32) * ((-1 if right else 1), 1, 1)
    canvas = _sprite_grid(skeleton, length, reach)
    picture, finger_share, thumb = _render(hand, canvas, sun)
    fingers = attenuate(picture, finger_share)
    elbow = (np.sin(skeleton.arm_turn) * ARM_END, np.cos(skeleton.arm_turn) * ARM_END)
    spots = (np.array([skeleton.tip, elbow]) - (canvas.left, canvas.top)) * length
    if right:
        picture, fingers, thumb = (np.ascontiguousarray(layer[:, ::-1]) for layer in (picture, fingers, thumb))
        spots[:, 0] = canvas.wide - spots[:, 0]
    tip, end = ((float(x), float(y)) for x, y in spots)
    return HandSprite(picture, fingers, thumb, tip, end)


def _sprite_grid(skeleton: Skeleton, length: int, reach: float) -> Grid:
    points = np.vstack(skeleton.chains)[:, :2]
    end = np.array([np.sin(skeleton.arm_turn), np.cos(skeleton.arm_turn)]) * ARM_END
    low = np.minimum(points.min(0) - 0.13, (min(end[0] - 0.42, -0.36), 0))
    high = np.maximum(points.max(0) + 0.13, (max(end[0] + 0.42, 0.36), reach))
    wide, tall = (int(value) // 2 * 2 + 2 for value in (high - low) * length)
    return Grid(float(low[0]), float(low[1]), float(length), wide, tall)


def _render(hand: HandModel, canvas: Grid, sun: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the hand RGBA, the coverage of the fingers, uint8 [h, w], and the thumb RGBA, all of the canvas' size."""
    skeleton = hand.skeleton
    points = np.vstack([np.vstack(skeleton.chains)[:, :2], [(-0.3, 0.30), (0.3, 0.30)]])
    window = canvas.window(points, 0.13)
    rows, columns = window
    grid = Grid(
        canvas.left + columns.start / canvas.scale,
        canvas.top + rows.start / canvas.scale,
        canvas.scale,
        columns.stop - columns.start,
        rows.stop - rows.start,
    )
    skin = bare_skin(hand.style, grid)
    field = hand_back(hand, grid, skin)
    _add_clothing(hand, grid, field)
    share, area = add_finger(hand, 0, grid, field, skin)
    thumb = np.zeros((canvas.tall, canvas.wide, 4), np.uint8)
    near = canvas.window(skeleton.chains[0][1:], 0.12)
    inner = _shifted(near[0], rows.start), _shifted(near[1], columns.start)
    only = np.zeros(field.height.shape, np.float32)
    only[area] = share
    thumb[near] = _shade(field.part(inner), sun, canvas.scale, skeleton.floor, only[inner])
    fingers = np.zeros(field.height.shape, np.float32)
    for number in (4, 3, 1, 2):
        share, area = add_finger(hand, number, grid, field, skin)
        fingers[area] = np.maximum(fingers[area], share)
    picture = _render_forearm(hand, canvas, sun)
    lit = _shade(field, sun, canvas.scale, skeleton.floor)
    rest = max(int(0.1 * canvas.scale), 1)
    fade = np.ones((grid.tall, 1, 1), np.float32)
    fade[-rest:, 0, 0] = np.linspace(1, 0, rest)
    picture[window] = (lit * fade + picture[window] * (1 - fade)).astype(np.uint8)
    full = np.zeros(picture.shape[:2], np.uint8)
    full[window] = fingers * 255
    _add_hair(hand, canvas, picture)
    return picture, full, thumb


def _shifted(part: slice, start: int) -> slice:
    return slice(part.start - start, part.stop - start)


def _render_forearm(hand: HandModel, canvas: Grid, sun: np.ndarray) -> np.ndarray:
    """Return a canvas with the forearm only, rendered at half the resolution."""
    top = int((0.05 - canvas.top) * canvas.scale / 2)
    start, scale = canvas.top + 2 * top / canvas.scale, canvas.scale / 2
    half = Grid(canvas.left, start, scale, canvas.wide // 2, canvas.tall // 2 - top)
    field = hand_back(hand, half, bare_skin(hand.style, half))
    _add_clothing(hand, half, field)
    picture = np.zeros((canvas.tall, canvas.wide, 4), np.uint8)
    small = _shade(field, sun, half.scale, hand.skeleton.floor)
    picture[2 * top :] = cv2.resize(small, (canvas.wide, 2 * half.tall), interpolation=cv2.INTER_LINEAR)
    return picture


def _add_clothing(hand: HandModel, grid: Grid, field: HandField) -> None:
    style = hand.style
    along, beside = forearm_axes(hand.skeleton, *grid.points())
    if style.watch == hand.side and not (style.sleeve and style.sleeve_start < 0.3):
        _add_watch(style, along, beside, field)
    if style.sleeve:
        first = (style.sleeve_start - 0.15 - grid.top) * grid.scale
        rows = slice(int(np.clip(first, 0, grid.tall)), grid.tall)
        if rows.stop - rows.start > 1:
            below = replace(grid, top=grid.top + rows.start / grid.scale, tall=rows.stop - rows.start)
            _add_sleeve(hand, below, field.part(rows), along[rows], beside[rows])


def _add_watch(style: HandStyle, along: np.ndarray, beside: np.ndarray, field: HandField) -> None:
    strap = 1 - smoothstep(np.abs(along - 0.16), 0.052, 0.058)
    from_middle = np.sqrt((along - 0.16) ** 2 + beside**2)
    case = 1 - smoothstep(from_middle, 0.098, 0.104)
    face = 1 - smoothstep(from_middle, 0.078, 0.082)
    links = 0.85 + 0.15 * np.sign(np.sin(beside * 190))
    colour = np.asarray(style.strap, np.float32) * links[..., None]
    field.colour += (colour - field.colour) * strap[..., None]
    field.colour += (np.asarray(style.metal, np.float32) - field.colour) * case[..., None]
    dial = np.array([28, 30, 36] if sum(style.strap) > 250 else [222, 222, 216], np.float32)
    field.colour += (dial - field.colour) * face[..., None]
    dome = 0.035 + 0.136 * np.sqrt(np.clip(1 - (beside / 0.170) ** 2, 0, 1))
    field.height += (dome - field.height) * strap
    field.height += (0.185 - 0.005 * face - field.height) * case
    field.relief *= 1 - np.maximum(strap, case)
    field.gloss += case * np.float32(2.0)
    np.maximum(field.inside, np.minimum(0.170 - np.abs(beside), 0.055 - np.abs(along - 0.16)), out=field.inside)


def _add_sleeve(hand: HandModel, grid: Grid, field: HandField, along: np.ndarray, beside: np.ndarray) -> None:
    """Add a sleeve in place: an uneven outline, folds, a hem, and a pattern that follows the folds."""
    style, seed = hand.style, hand.seed
    girth = np.interp(along, ARM_ALONG, ARM_GIRTH).astype(np.float32)
    broad = _warp_noise([seed, 37], along * 7 + np.sign(beside) * 3.1, beside * 0)
    loose = style.sleeve_loose * (0.75 + 0.25 * smoothstep(along, 0, 1.5) * 4)
    girth = girth + 0.012 + loose * (1 + 0.18 * broad)
    rim = style.sleeve_start + 0.05 * (beside / girth) ** 2 + 0.008 * _warp_noise([seed, 38], beside * 9, along * 0)
    start = along - rim
    inside = np.minimum(girth - np.abs(beside), start)
    slant = _warp_noise([seed, 39], along * 9 + beside * 5, beside * 4)
    cross = _warp_noise([seed, 40], along * 15 - beside * 9, beside * 7 + along * 2)
    broad = _warp_noise([seed, 41], along * 3.5, beside * 5)
    folds = 0.014 * (1 - np.abs(slant)) + 0.007 * (1 - np.abs(cross)) + 0.012 * broad
    hem = 1 - smoothstep(start, 0.05, 0.062)
    dome = 0.05 + 0.80 * girth * np.sqrt(np.clip(1 - (beside / girth) ** 2, 0, 1))
    height = dome + folds * (1 - 0.65 * hem) * (0.5 + 9 * style.sleeve_loose) + hem * np.float32(0.006)
    height = np.maximum(height, field.height + 0.012)
    share = np.clip(inside * grid.scale + 0.5, 0, 1)
    weave = smooth_noise([style.texture, 36], min(grid.scale / 2.5, 120), grid)
    colour = _cloth_colour(style, along + 0.25 * folds, beside * (1 + folds), weave)
    colour *= (1 - 0.3 * bell(start, 0.056, 0.006))[..., None]
    field.height += (height - field.height) * share
    field.relief += (weave * np.float32(0.0012) - field.relief) * share
    field.gloss *= 1 - share
    field.colour += (colour - field.colour) * share[..., None]
    np.maximum(field.inside, inside, out=field.inside)


def _warp_noise(seed: list[int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return smooth noise of about N(0, 1) at any coordinates; a unit is a patch."""
    tile = np.random.default_rng(seed).normal(0, 1.2, (64, 64)).astype(np.float32)
    x, y = (item.astype(np.float32) + np.float32(16) for item in (x, y))
    return cv2.remap(tile, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _cloth_colour(style: HandStyle, along: np.ndarray, beside: np.ndarray, weave: np.ndarray) -> np.ndarray:
    first, second = np.asarray(style.cloth, np.float32), np.asarray(style.cloth_second, np.float32)
    if style.pattern == "stripes":
        mix = smoothstep(np.sin(beside * 95), 0.2, 0.5)
    elif style.pattern == "hoops":
        mix = smoothstep(np.sin(along * 50), 0.1, 0.3)
    elif style.pattern == "check":
        mix = 0.5 * (smoothstep(np.sin(beside * 60), 0.3, 0.6) + smoothstep(np.sin(along * 60), 0.3, 0.6))
    elif style.pattern == "ribs":
        mix = -0.10 * (1 + np.sin(beside * 230))
        second = np.full(3, 255, np.float32)
    else:
        mix = np.clip(weave * 0.3, 0, 1) if style.pattern == "heather" else np.zeros_like(along)
    colour = first + (second - first) * mix.astype(np.float32)[..., None]
    return np.maximum(colour * (1 + 0.05 * weave)[..., None] + 3, 6)


def _add_hair(hand: HandModel, canvas: Grid, picture: np.ndarray) -> None:
    """Add fine strokes on the forearm and the outer part of the hand's back in place; they darken what they cross."""
    style, turn = hand.style, hand.skeleton.arm_turn
    rng = np.random.default_rng([hand.seed, 42])
    last = min(style.sleeve_start - 0.05, 1.9) if style.sleeve else 1.9
    if style.hair < 0.05 or canvas.scale < 60:
        return
    count = int(3400 * style.hair * max(last + 0.35, 0.1))
    along = rng.uniform(-0.36, last, count)
    beside = rng.uniform(-1, 1, count)
    keep = rng.uniform(0, 1, count) < np.interp(along - 0.25 * beside, (-0.45, -0.1, 0.2, 0.5), (0.03, 0.18, 0.75, 1.0))
    if style.watch == hand.side:
        keep &= np.abs(along - 0.2) > 0.14
    along, beside = along[keep], beside[keep] * np.interp(along[keep], ARM_ALONG, ARM_GIRTH) * 0.99
    lean = 0.75 - 2.6 * beside + 0.35 * np.sin(beside * 14 + along * 7) + rng.normal(0, 0.3, len(along))
    size = rng.uniform(0.03, 0.085, len(along)) * (0.6 + 0.4 * style.hair)
    t = np.linspace(0, 1, 6)
    curve = rng.normal(0.3, 0.35, len(along))[:, None] * t**2
    s = along[:, None] + np.cos(lean[:, None] + curve) * size[:, None] * t
    b = beside[:, None] - np.sin(lean[:, None] + curve) * size[:, None] * t
    x, y = s * np.sin(turn) + b * np.cos(turn), s * np.cos(turn) - b * np.sin(turn)
    lines = np.stack([(x - canvas.left) * canvas.scale, (y - canvas.top) * canvas.scale], -1)
    top, bottom = (int(np.clip((edge - canvas.top) * canvas.scale, 0, canvas.tall)) for edge in (-0.5, last + 0.15))
    strokes, thickness = list(fixed_point(lines - (0, top))), max(round(canvas.scale / 420), 1)
    mask = np.zeros((bottom - top, canvas.wide), np.uint8)
    for start, strength in enumerate((60, 95, 150)):
        cv2.polylines(mask, strokes[start::3], False, strength, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    density = cv2.GaussianBlur(mask, (0, 0), 0.5).astype(np.float32)
    ratio = np.clip(np.asarray(style.hair_colour) / np.asarray(style.skin), 0.12, 1.0)
    amount = (density * np.float32((0.45 + 0.4 * style.hair) / 255))[..., None]
    part = picture[top:bottom, :, :3]
    part[:] = (part * (1 - amount * (1 - ratio).astype(np.float32))).astype(np.uint8)


def _shade(
    field: HandField, sun: np.ndarray, scale: float, floor: float, share: np.ndarray | None = None
) -> np.ndarray:
    """Light the field; return premultiplied RGBA, uint8 [h, w, 4]."""
    cover = np.clip(field.inside * scale + 0.5, 0, 1)
    solid = np.where(cover > 0, field.height, np.float32(floor))
    surface = cv2.GaussianBlur(field.height + field.relief, (0, 0), 0.7)
    gx, gy = (cv2.Sobel(surface, cv2.CV_32F, *axes, ksize=3, scale=scale / 8) for axes in ((1, 0), (0, 1)))
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    cosine = (np.float32(sun[2]) - gx * np.float32(sun[0]) - gy * np.float32(sun[1])) * nz
    direct, openness = _visibility(solid, sun, scale)
    level = max(float(sun[2]), 0.35)
    sky = (0.66 + 0.34 * nz) * openness
    lit = np.empty_like(field.colour)
    red: np.ndarray | None = None
    # wrap lighting: red light scatters furthest below the skin, and reaches beyond the edge of a shadow
    for channel, (wrap, ambient) in enumerate(((0.42, 0.31), (0.20, 0.24), (0.14, 0.22))):
        diffuse = np.clip((cosine + wrap) / (level + wrap), 0, 1.3)
        red = diffuse if red is None else red
        diffuse = np.minimum(diffuse, red) * (direct + (1 - direct) * np.float32(wrap * 0.35))
        lit[..., channel] = ambient * sky + (1 - ambient) * diffuse
    half = sun + np.array([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    specular = np.clip((np.float32(half[2]) - gx * np.float32(half[0]) - gy * np.float32(half[1])) * nz, 0, 1)
    for _ in range(3):
        specular = specular * specular
    specular = 0.5 * specular + specular**4
    colour = field.colour * lit + (specular * field.gloss * direct * np.float32(38))[..., None]
    cover = cover if share is None else cover * share
    # the camera's tone curve compresses highlights and keeps their hue
    peak = np.maximum(np.maximum(colour[..., 0], colour[..., 1]), np.maximum(colour[..., 2], 1))
    glare = np.maximum(peak - 195, 0)
    colour *= ((np.minimum(peak, 195) + glare * 70 / (70 + glare)) / peak)[..., None]
    rgb = np.clip(colour, 0, 255) * cover[..., None]
    return np.dstack([rgb, cover * 255]).astype(np.uint8)


def _visibility(solid: np.ndarray, sun: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the visibility of the light and the openness to the sky, float32 0..1; computed at half the resolution."""
    tall, wide = solid.shape
    small = cv2.resize(solid, (max(wide // 2, 1), max(tall // 2, 1)), interpolation=cv2.INTER_AREA)
    scale = scale / 2
    level = float(np.hypot(sun[0], sun[1]))
    blocked = np.zeros_like(small)
    if level > 0.05:
        rise = float(sun[2]) / level
        for far in (0.015, 0.03, 0.05, 0.08, 0.12):
            move = np.array([[1, 0, sun[0] / level * far * scale], [0, 1, sun[1] / level * far * scale]], np.float32)
            size, flags = (small.shape[1], small.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            other = cv2.warpAffine(small, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            blocked = np.maximum(blocked, (other - small - far * rise) / np.float32(0.012 + 0.25 * far))
    direct = 1 - cv2.GaussianBlur(np.clip(blocked, 0, 1), (0, 0), max(0.008 * scale, 0.5))
    narrow, broad = (
        np.clip(cv2.GaussianBlur(small, (0, 0), max(width * scale, 0.5)) - small, 0, None) for width in (0.02, 0.06)
    )
    openness = 1 / (1 + 14 * narrow + 7 * broad)
    direct, openness = (cv2.resize(item, (wide, tall), interpolation=cv2.INTER_LINEAR) for item in (direct, openness))
    return direct, openness
