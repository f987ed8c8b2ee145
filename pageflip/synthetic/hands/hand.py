"""Hands with forearm and sleeve, seen from above; drawn once per clip and then only turned, scaled and moved.

A hand is a height field: fingers are chains of tapered capsules, laid over the back of the hand and the forearm by a
smooth maximum. The light falls on that field (side light that bleeds red into the shade, as skin does, occlusion
between the fingers, shadows they cast on each other), and creases, nails, veins, hair, ring, watch and sleeve are
added to its height and its colour.

Inside this module lengths are in hand lengths (wrist crease to middle fingertip), the origin is the wrist, fingers
point up (-y), heights grow to the viewer, and the hand is a left one: a right hand is drawn mirrored.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.synthetic.hands.bones import PATTERNS, SHAPES, HandStyle, Pose, hand_pose, hand_style
from pageflip.synthetic.hands.field import (
    ARM_ALONG,
    ARM_GIRTH,
    Field,
    Grid,
    arm_axes,
    bare_skin,
    bell,
    cloud,
    hand_back,
    lay_limb,
    ramp,
)

__all__ = ["PATTERNS", "SHAPES", "HandSprite", "HandStyle", "hand_sprite", "hand_style"]

ARM_END = 3.1


@dataclass(frozen=True)
class HandSprite:
    """A drawn hand: three pictures of one size, uint8 [h, w, 4] RGBA with the colour already multiplied by alpha.

    `picture` is the hand with its arm, `fingers` the four fingers from the knuckles on, `thumb` the thumb as it looks
    where no finger hides it. `tip` is the pixel (x, y) the hand works at: where thumb and fingers meet for "pinch",
    the index fingertip for "point", else the middle fingertip. `elbow` is the pixel of the forearm's far end, below
    the picture where less of it is drawn.
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
    """Draw a hand whose wrist crease is `length` pixels from the tip of its middle finger when that is stretched.

    Args:
        shape: one of SHAPES.
        right: a right hand; its thumb is on the left, as both are seen from their backs.
        light: unit vector to the light (x right, y down, z to the viewer) in the sprite's own axes.
        seed: varies the pose and the skin, so that no two hands are alike.
        reach: how much of the forearm is drawn, in hand lengths from the wrist; the rest of the picture is the same.

    Raises:
        ConfigError: the shape is unknown, or the length is below 8.
    """
    if shape not in SHAPES:
        raise ConfigError(f"the hand shape is {shape!r}", f"use one of: {', '.join(SHAPES)}")
    if length < 8:
        raise ConfigError(f"the hand's length is {length} pixels", "use 8 or more")
    pose = hand_pose(style, shape, np.random.default_rng([seed, 31]))
    sun = np.asarray(light, np.float32) * ((-1 if right else 1), 1, 1)
    side = "right" if right else "left"
    canvas = _canvas(pose, length, reach)
    picture, finger_share, thumb_layer = _draw(style, pose, canvas, sun, side, seed)
    fingers = _share(picture, finger_share)
    elbow = (np.sin(pose.arm_turn) * ARM_END, np.cos(pose.arm_turn) * ARM_END)
    spots = [tuple((np.array(spot) - (canvas.left, canvas.top)) * length) for spot in (pose.tip, elbow)]
    layers = [picture, fingers, thumb_layer]
    if right:
        layers = [np.ascontiguousarray(layer[:, ::-1]) for layer in layers]
        spots = [(canvas.wide - x, y) for x, y in spots]
    tip, end = ((float(x), float(y)) for x, y in spots)
    return HandSprite(*layers, tip=tip, elbow=end)


def _share(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The picture times a uint8 share of 255."""
    return cv2.multiply(picture, cv2.merge([share] * 4), scale=1 / 255)


def _canvas(pose: Pose, length: int, reach: float) -> Grid:
    points = np.vstack(pose.chains)[:, :2]
    end = np.array([np.sin(pose.arm_turn), np.cos(pose.arm_turn)]) * ARM_END
    low = np.minimum(points.min(0) - 0.13, (min(end[0] - 0.42, -0.36), 0))
    high = np.maximum(points.max(0) + 0.13, (max(end[0] + 0.42, 0.36), reach))
    wide, tall = (int(value) // 2 * 2 + 2 for value in (high - low) * length)
    return Grid(float(low[0]), float(low[1]), float(length), wide, tall)


def _draw(style: HandStyle, pose: Pose, canvas: Grid, sun: np.ndarray, side: str, seed: int):
    """The whole hand RGBA, the fingers' share (uint8 [h, w]) and the thumb's layer RGBA, all of the canvas' size."""
    points = np.vstack([np.vstack(pose.chains)[:, :2], [(-0.3, 0.30), (0.3, 0.30)]])
    window = canvas.window(points, 0.13)
    rows, columns = window
    grid = Grid(
        canvas.left + columns.start / canvas.scale,
        canvas.top + rows.start / canvas.scale,
        canvas.scale,
        columns.stop - columns.start,
        rows.stop - rows.start,
    )
    skin = bare_skin(style, grid)
    field = hand_back(style, pose, grid, skin)
    _wear(style, pose, grid, field, side, seed)
    share, area = lay_limb(style, pose, 0, grid, field, skin, seed)
    thumb = np.zeros((canvas.tall, canvas.wide, 4), np.uint8)
    near = canvas.window(pose.chains[0][1:], 0.12)
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(near, window, strict=True))
    only = np.zeros(field.height.shape, np.float32)
    only[area] = share
    thumb[near] = _develop(field.part(inner), sun, canvas.scale, pose.floor, only[inner])
    fingers = np.zeros(field.height.shape, np.float32)
    for number in (4, 3, 1, 2):
        share, area = lay_limb(style, pose, number, grid, field, skin, seed, side)
        fingers[area] = np.maximum(fingers[area], share)
    picture = _arm(style, pose, canvas, sun, side, seed)
    hand = _develop(field, sun, canvas.scale, pose.floor)
    rest = max(int(0.1 * canvas.scale), 1)
    fade = np.ones((grid.tall, 1, 1), np.float32)
    fade[-rest:, 0, 0] = np.linspace(1, 0, rest)
    picture[window] = (hand * fade + picture[window] * (1 - fade)).astype(np.uint8)
    full = np.zeros(picture.shape[:2], np.uint8)
    full[window] = fingers * 255
    _hairs(style, pose, canvas, picture, side, seed)
    return picture, full, thumb


def _arm(style: HandStyle, pose: Pose, canvas: Grid, sun: np.ndarray, side: str, seed: int) -> np.ndarray:
    """The canvas with only the forearm on it, drawn at half the resolution."""
    top = int((0.05 - canvas.top) * canvas.scale / 2)
    start, scale = canvas.top + 2 * top / canvas.scale, canvas.scale / 2
    half = Grid(canvas.left, start, scale, canvas.wide // 2, canvas.tall // 2 - top)
    field = hand_back(style, pose, half, bare_skin(style, half))
    _wear(style, pose, half, field, side, seed)
    picture = np.zeros((canvas.tall, canvas.wide, 4), np.uint8)
    small = _develop(field, sun, half.scale, pose.floor)
    picture[2 * top :] = cv2.resize(small, (canvas.wide, 2 * half.tall), interpolation=cv2.INTER_LINEAR)
    return picture


def _wear(style: HandStyle, pose: Pose, grid: Grid, field: Field, side: str, seed: int) -> None:
    """Watch and sleeve over the forearm."""
    x, y = grid.points()
    along, beside = arm_axes(pose, x, y)
    if style.watch == side and not (style.sleeve and style.sleeve_start < 0.3):
        _watch(style, along, beside, field)
    if style.sleeve:
        first = (style.sleeve_start - 0.15 - grid.top) * grid.scale
        rows = slice(int(np.clip(first, 0, grid.tall)), grid.tall)
        if rows.stop - rows.start > 1:
            below = replace(grid, top=grid.top + rows.start / grid.scale, tall=rows.stop - rows.start)
            _sleeve(style, below, field.part(rows), along[rows], beside[rows], seed)


def _watch(style: HandStyle, along, beside, field: Field) -> None:
    strap = 1 - ramp(np.abs(along - 0.16), 0.052, 0.058)
    from_middle = np.sqrt((along - 0.16) ** 2 + beside**2)
    case = 1 - ramp(from_middle, 0.098, 0.104)
    face = 1 - ramp(from_middle, 0.078, 0.082)
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


def _sleeve(style: HandStyle, grid: Grid, field: Field, along, beside, seed: int) -> None:
    """Cloth over the forearm: an uneven outline, folds across it, a hem, and a pattern that follows the folds."""
    texture = [style.texture, 36]
    girth = np.interp(along, ARM_ALONG, ARM_GIRTH).astype(np.float32)
    broad = _warp_noise([seed, 37], along * 7 + np.sign(beside) * 3.1, beside * 0)
    loose = style.sleeve_loose * (0.75 + 0.25 * ramp(along, 0, 1.5) * 4)
    girth = girth + 0.012 + loose * (1 + 0.18 * broad)
    rim = style.sleeve_start + 0.05 * (beside / girth) ** 2 + 0.008 * _warp_noise([seed, 38], beside * 9, along * 0)
    start = along - rim
    inside = np.minimum(girth - np.abs(beside), start)
    slant = _warp_noise([seed, 39], along * 9 + beside * 5, beside * 4)
    cross = _warp_noise([seed, 40], along * 15 - beside * 9, beside * 7 + along * 2)
    broad = _warp_noise([seed, 41], along * 3.5, beside * 5)
    folds = 0.014 * (1 - np.abs(slant)) + 0.007 * (1 - np.abs(cross)) + 0.012 * broad
    hem = 1 - ramp(start, 0.05, 0.062)
    dome = 0.05 + 0.80 * girth * np.sqrt(np.clip(1 - (beside / girth) ** 2, 0, 1))
    height = dome + folds * (1 - 0.65 * hem) * (0.5 + 9 * style.sleeve_loose) + hem * np.float32(0.006)
    height = np.maximum(height, field.height + 0.012)
    share = np.clip(inside * grid.scale + 0.5, 0, 1)
    weave = cloud(texture, min(grid.scale / 2.5, 120), grid)
    colour = _cloth(style, along + 0.25 * folds, beside * (1 + folds), weave)
    colour *= (1 - 0.3 * bell(start, 0.056, 0.006))[..., None]
    field.height += (height - field.height) * share
    field.relief += (weave * np.float32(0.0012) - field.relief) * share
    field.gloss *= 1 - share
    field.colour += (colour - field.colour) * share[..., None]
    np.maximum(field.inside, inside, out=field.inside)


def _warp_noise(seed: list[int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth noise about N(0, 1) looked up at any places; a unit is a patch."""
    tile = np.random.default_rng(seed).normal(0, 1.2, (64, 64)).astype(np.float32)
    x, y = (item.astype(np.float32) + np.float32(16) for item in (x, y))
    return cv2.remap(tile, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _cloth(style: HandStyle, along, beside, weave) -> np.ndarray:
    """The cloth's colour float32 [h, w, 3]."""
    first, second = np.asarray(style.cloth, np.float32), np.asarray(style.cloth_second, np.float32)
    if style.pattern == "stripes":
        mix = ramp(np.sin(beside * 95), 0.2, 0.5)
    elif style.pattern == "hoops":
        mix = ramp(np.sin(along * 50), 0.1, 0.3)
    elif style.pattern == "check":
        mix = 0.5 * (ramp(np.sin(beside * 60), 0.3, 0.6) + ramp(np.sin(along * 60), 0.3, 0.6))
    elif style.pattern == "ribs":
        mix = -0.10 * (1 + np.sin(beside * 230))
        second = np.full(3, 255, np.float32)
    else:
        mix = np.clip(weave * 0.3, 0, 1) if style.pattern == "heather" else np.zeros_like(along)
    colour = first + (second - first) * mix.astype(np.float32)[..., None]
    return np.maximum(colour * (1 + 0.05 * weave)[..., None] + 3, 6)


def _hairs(style: HandStyle, pose: Pose, canvas: Grid, picture: np.ndarray, side: str, seed: int) -> None:
    """Fine strokes on the forearm and the outer part of the hand's back; they only darken what they cross."""
    rng = np.random.default_rng([seed, 42])
    watch = style.watch == side
    last = min(style.sleeve_start - 0.05, 1.9) if style.sleeve else 1.9
    if style.hair < 0.05 or canvas.scale < 60:
        return
    count = int(3400 * style.hair * max(last + 0.35, 0.1))
    along = rng.uniform(-0.36, last, count)
    beside = rng.uniform(-1, 1, count)
    keep = rng.uniform(0, 1, count) < np.interp(along - 0.25 * beside, (-0.45, -0.1, 0.2, 0.5), (0.03, 0.18, 0.75, 1.0))
    keep &= (np.abs(along - 0.2) > 0.14) | (not watch)
    along, beside = along[keep], beside[keep] * np.interp(along[keep], ARM_ALONG, ARM_GIRTH) * 0.99
    lean = 0.75 - 2.6 * beside + 0.35 * np.sin(beside * 14 + along * 7) + rng.normal(0, 0.3, len(along))
    size = rng.uniform(0.03, 0.085, len(along)) * (0.6 + 0.4 * style.hair)
    t = np.linspace(0, 1, 6)
    curve = rng.normal(0.3, 0.35, len(along))[:, None] * t**2
    s = along[:, None] + np.cos(lean[:, None] + curve) * size[:, None] * t
    b = beside[:, None] - np.sin(lean[:, None] + curve) * size[:, None] * t
    sine, cosine = np.sin(pose.arm_turn), np.cos(pose.arm_turn)
    x, y = s * sine + b * cosine, s * cosine - b * sine
    lines = np.stack([(x - canvas.left) * canvas.scale, (y - canvas.top) * canvas.scale], -1)
    top, bottom = (int(np.clip((edge - canvas.top) * canvas.scale, 0, canvas.tall)) for edge in (-0.5, last + 0.15))
    lines = np.round((lines - (0, top)) * 16).astype(np.int32)
    mask = np.zeros((bottom - top, canvas.wide), np.uint8)
    for share, strength in ((slice(0, None, 3), 60), (slice(1, None, 3), 95), (slice(2, None, 3), 150)):
        cv2.polylines(mask, list(lines[share]), False, strength, max(round(canvas.scale / 420), 1), cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.5)
    ratio = np.clip(np.asarray(style.hair_colour) / np.asarray(style.skin), 0.12, 1.0)
    amount = (mask.astype(np.float32) * np.float32((0.45 + 0.4 * style.hair) / 255))[..., None]
    part = picture[top:bottom, :, :3]
    part[:] = (part * (1 - amount * (1 - ratio).astype(np.float32))).astype(np.uint8)


def _develop(field: Field, sun: np.ndarray, scale: float, floor: float, share: np.ndarray | None = None) -> np.ndarray:
    """Light the field: uint8 [h, w, 4] RGBA, the colour multiplied by alpha."""
    cover = np.clip(field.inside * scale + 0.5, 0, 1)
    solid = np.where(cover > 0, field.height, np.float32(floor))
    lump = cv2.GaussianBlur(field.height + field.relief, (0, 0), 0.7)
    gx, gy = (cv2.Sobel(lump, cv2.CV_32F, *axes, ksize=3, scale=scale / 8) for axes in ((1, 0), (0, 1)))
    nz = 1 / np.sqrt(1 + gx * gx + gy * gy)
    facing = (np.float32(sun[2]) - gx * np.float32(sun[0]) - gy * np.float32(sun[1])) * nz
    shadow, hollow = _shadows(solid, sun, scale)
    # Red light wanders further inside skin: it reaches beyond the edge between light and shade.
    flat = max(float(sun[2]), 0.35)
    sky = (0.66 + 0.34 * nz) * hollow
    colour = field.colour
    lit = np.empty_like(colour)
    reddest = None
    for channel, (wrap, sheen) in enumerate(((0.42, 0.31), (0.20, 0.24), (0.14, 0.22))):
        key = np.clip((facing + wrap) / (flat + wrap), 0, 1.3)
        reddest = key if reddest is None else reddest
        key = np.minimum(key, reddest) * (shadow + (1 - shadow) * np.float32(wrap * 0.35))
        lit[..., channel] = sheen * sky + (1 - sheen) * key
    middle = sun + np.array([0, 0, 1], np.float32)
    middle = middle / np.linalg.norm(middle)
    shine = np.clip((np.float32(middle[2]) - gx * np.float32(middle[0]) - gy * np.float32(middle[1])) * nz, 0, 1)
    for _ in range(3):
        shine = shine * shine
    shine = 0.5 * shine + shine**4
    colour = colour * lit + (shine * field.gloss * shadow * np.float32(38))[..., None]
    cover = cover if share is None else cover * share
    # A camera bends bright colours before they burn out, and keeps their hue.
    peak = np.maximum(np.maximum(colour[..., 0], colour[..., 1]), np.maximum(colour[..., 2], 1))
    glare = np.maximum(peak - 195, 0)
    colour *= ((np.minimum(peak, 195) + glare * 70 / (70 + glare)) / peak)[..., None]
    rgb = np.clip(colour, 0, 255) * cover[..., None]
    return np.dstack([rgb, cover * 255]).astype(np.uint8)


def _shadows(solid: np.ndarray, sun: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the key light gets through and how open to the sky each pixel is, float32 0..1; worked at half size."""
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
    light = 1 - cv2.GaussianBlur(np.clip(blocked, 0, 1), (0, 0), max(0.008 * scale, 0.5))
    near = np.clip(cv2.GaussianBlur(small, (0, 0), max(0.02 * scale, 0.5)) - small, 0, None)
    far = np.clip(cv2.GaussianBlur(small, (0, 0), max(0.06 * scale, 0.5)) - small, 0, None)
    hollow = 1 / (1 + 14 * near + 7 * far)
    return tuple(cv2.resize(item, (wide, tall), interpolation=cv2.INTER_LINEAR) for item in (light, hollow))
