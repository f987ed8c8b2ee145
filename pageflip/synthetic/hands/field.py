"""Height field and colours of a bare hand and forearm, in the lengths and axes of `skeleton`.

Fingers are chains of tapered capsules that a smooth maximum joins with the back of the hand and the forearm. Creases,
tendons, veins and nails change height and colour; `sprite` lights the result.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pageflip.synthetic.hands.skeleton import ALONG, FINGER_GIRTH, FINGER_RADII, THUMB_GIRTH, THUMB_RADIUS, Skeleton
from pageflip.synthetic.hands.styles import HandStyle
from pageflip.synthetic.primitives import draw_line, fill_polygon, smoothstep

ARM_ALONG, ARM_GIRTH = (-0.3, 0.0, 0.15, 0.45, 1.0, 1.8, 3.2), (0.06, 0.158, 0.160, 0.187, 0.238, 0.285, 0.30)
_CREASES = ((1, 0.075, (-2.2, -1.2, -0.4, 0.5, 1.3, 2.3)), (2, 0.06, (-1.5, -0.1, 1.2)))

Window = tuple[slice, slice]


@dataclass(frozen=True)
class HandModel:
    """Model of one hand: style, skeleton, side ("left" or "right"), and the seed of its random details."""

    style: HandStyle
    skeleton: Skeleton
    side: str
    seed: int


@dataclass(frozen=True)
class Grid:
    """A raster over the hand: the corner of pixel (0, 0) is at (left, top), and `scale` pixels are a hand length."""

    left: float
    top: float
    scale: float
    wide: int
    tall: int

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the x and y coordinates of the pixels' centres, float32 [tall, wide] each."""
        x = (np.arange(self.wide, dtype=np.float32) + 0.5) / np.float32(self.scale) + np.float32(self.left)
        y = (np.arange(self.tall, dtype=np.float32) + 0.5) / np.float32(self.scale) + np.float32(self.top)
        return np.meshgrid(x, y)

    def window(self, points: np.ndarray, margin: float) -> Window:
        """Return the rows and columns that contain points, float [n, 2 or 3], with a margin, all in hand lengths."""
        low = (points.min(0)[:2] - margin - (self.left, self.top)) * self.scale
        high = (points.max(0)[:2] + margin - (self.left, self.top)) * self.scale
        (x0, y0), (x1, y1) = np.maximum(low, 0).astype(int), np.maximum(np.ceil(high), 0).astype(int)
        return slice(y0, min(y1, self.tall)), slice(x0, min(x1, self.wide))


@dataclass
class HandField:
    """Layers of a hand, float32 [h, w]; colour float32 [h, w, 3], RGB 0..255.

    Attributes:
        height: of the surface.
        relief: fine structure on top of it.
        inside: distance inside the outline, negative outside.
        gloss: strength of highlights.
        colour: before lighting.
    """

    height: np.ndarray
    relief: np.ndarray
    inside: np.ndarray
    gloss: np.ndarray
    colour: np.ndarray

    def part(self, window: slice | Window) -> "HandField":
        """Return a view of some rows, or of a window."""
        return HandField(*(item[window] for item in (self.height, self.relief, self.inside, self.gloss, self.colour)))


class Skin(NamedTuple):
    """Colour, float32 [h, w, 3], and relief, float32 [h, w], of bare skin."""

    colour: np.ndarray
    grain: np.ndarray


def bell(values: np.ndarray, middle: float, wide: float) -> np.ndarray:
    """Return 1 at `middle`, falling off over `wide`: a cheap substitute for a Gaussian."""
    t = (values - middle) / wide
    t = 1 + t * t
    return 1 / (t * t)


def smooth_noise(seed: list[int], cells: float, grid: Grid) -> np.ndarray:
    """Return smooth noise of about N(0, 1) that is fixed to the hand, with `cells` patches per hand length."""
    tile = np.random.default_rng(seed).normal(0, 1.25, (160, 96)).astype(np.float32)
    step = cells / grid.scale
    move = np.array([[step, 0, (grid.left + 1.4) * cells], [0, step, (grid.top + 1.4) * cells]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(tile, move, (grid.wide, grid.tall), flags=flags, borderMode=cv2.BORDER_WRAP)


def bare_skin(style: HandStyle, grid: Grid) -> Skin:
    """Return skin with blotches, freckle-sized spots and a net of fine lines, before joints and light are added."""
    large = smooth_noise([style.texture, 32], 9, grid)
    small = smooth_noise([style.texture, 33], 55, grid)
    amount = np.stack([large * 0.018 + small * 0.012, large * 0.034 + small * 0.022, large * 0.036 + small * 0.024], -1)
    grain = smooth_noise([style.texture, 43], min(grid.scale / 2.2, 170), grid) * np.float32(0.00022)
    grain += small * np.float32(0.0002)
    return Skin(np.asarray(style.skin, np.float32) * (1 + amount), grain)


def forearm_axes(skeleton: Skeleton, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions along the forearm from the wrist, and across it to the right of its axis."""
    sine, cosine = np.float32(np.sin(skeleton.arm_turn)), np.float32(np.cos(skeleton.arm_turn))
    return x * sine + y * cosine, x * cosine - y * sine


def hand_back(hand: HandModel, grid: Grid, skin: Skin) -> HandField:
    """Return the field of the forearm and the back of the hand."""
    style, skeleton = hand.style, hand.skeleton
    x, y = grid.points()
    along, beside = forearm_axes(skeleton, x, y)
    girth = np.interp(along, ARM_ALONG, ARM_GIRTH).astype(np.float32)
    inside = girth - np.abs(beside)
    dome = 0.02 + 0.78 * girth * np.sqrt(np.clip(1 - (beside / girth) ** 2, 0, 1))
    arm = np.minimum(dome, 0.155 + 0.1 * along.clip(0, 1)) + 2 * np.minimum(inside, 0)
    arm -= 0.35 * (1 - smoothstep(along, -0.3, -0.02))
    inside = np.minimum(inside, along + 0.14)
    field = HandField(arm, skin.grain.copy(), inside, np.full_like(arm, 0.5 * style.oily), skin.colour.copy())
    rows = slice(0, int(np.clip((0.34 - grid.top) * grid.scale, 0, grid.tall)))
    if grid.top < -0.2 and rows.stop > 0:
        palm, depth = _back_height(skeleton, grid, rows)
        field.height[rows] = _smooth_maximum(field.height[rows], palm, 0.06)[0]
        field.inside[rows] = _smooth_maximum(inside[rows], depth, 0.05)[0]
        _add_knuckles(hand, x[rows], y[rows], field.part(rows))
    _add_veins(hand, grid, field)
    return field


def _smooth_maximum(below: np.ndarray, above: np.ndarray, soft: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the smooth maximum of two height fields, and the weight of the upper one."""
    gap = above - below
    lift = np.maximum(soft - np.abs(gap), 0)
    return np.maximum(below, above) + lift * lift / (4 * soft), np.clip(gap / soft + 0.5, 0, 1)


def _back_height(skeleton: Skeleton, grid: Grid, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of the back of the hand, and the distance inside its outline (negative outside)."""
    knuckles = np.array([chain[0][:2] for chain in skeleton.chains[1:]])
    aims = np.array([chain[1][:2] - chain[0][:2] for chain in skeleton.chains[1:]])
    aims /= np.maximum(np.linalg.norm(aims, axis=1, keepdims=True), 1e-6)
    webs = (knuckles[1:] + knuckles[:-1]) / 2 + (aims[1:] + aims[:-1]) / 2 * 0.105
    thumb = skeleton.chains[0]
    crotch = thumb[1][:2] * 0.55 + (knuckles[0] + (0.05, 0.03)) * 0.45 + (-0.015, 0.03)
    sine, cosine = np.sin(skeleton.arm_turn), np.cos(skeleton.arm_turn)
    corners = ((0.2, 0.12), (0.05, 0.15), (0.05, -0.15), (0.2, -0.12))  # along the forearm and beside it
    wrist = [(a * sine + b * cosine, a * cosine - b * sine) for a, b in corners]
    outline: list[ArrayLike] = [*wrist[:2], (0.185, -0.08), thumb[1][:2] + np.array((-0.02, 0.03)), crotch]
    outline += [knuckles[0] + (0.055, 0.0)]
    outline += [knuckles[0] + (0.045, -0.05), *webs, knuckles[3] + (-0.03, -0.05), knuckles[3] + (-0.055, 0.01)]
    outline += [(-0.232, -0.26), (-0.205, -0.12), *wrist[2:]]
    mask = np.zeros((rows.stop // 2, grid.wide // 2), np.uint8)
    fill_polygon(mask, (np.array(outline) - (grid.left, grid.top)) * grid.scale / 2, 255)
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.022 * grid.scale / 2, 0.6))
    dome = cv2.GaussianBlur(soft, (0, 0), max(0.05 * grid.scale / 2, 0.6))
    size = (grid.wide, rows.stop)
    soft, dome = (cv2.resize(item, size, interpolation=cv2.INTER_LINEAR) for item in (soft, dome))
    soft = soft - np.clip(1 - soft / 0.1, 0, 1)
    height = 0.155 * np.sqrt(np.clip((dome - 0.35) * 1.54, 0, 1)) - 0.6 * np.clip(0.35 - dome, 0, 1)
    return height, (soft - 0.5) * 0.055


def _add_knuckles(hand: HandModel, x: np.ndarray, y: np.ndarray, field: HandField) -> None:
    """Add knuckles and tendons in place; the knuckle of a bent finger is higher."""
    style, skeleton = hand.style, hand.skeleton
    warm = np.zeros_like(x)
    for chain, bend in zip(skeleton.chains[1:], skeleton.knuckle_bends, strict=True):
        kx, ky = (float(value) for value in chain[0][:2])
        bump = bell((x - kx) ** 2 + (y - ky + 0.01) ** 2, 0, 0.0020)
        field.height += bump * np.float32((0.004 + 0.00015 * bend) * (0.4 + 0.6 * style.bony))
        warm += bump
        share = np.clip((y - ky) / (0.02 - ky), 0, 1)
        middle = kx + (0.1 * kx - kx) * share * 0.85
        ridge = bell(x - middle, 0, 0.026) * smoothstep(share, 0.0, 0.2) * (1 - smoothstep(share, 0.55, 0.95))
        field.height += ridge * np.float32(0.005 * style.bony)
    field.colour *= 1 + warm[..., None] * (np.array([0.012, -0.06, -0.054], np.float32) * np.float32(style.blush))


def _add_veins(hand: HandModel, grid: Grid, field: HandField) -> None:
    """Add bluish veins on the back of the hand and the forearm in place."""
    rng = np.random.default_rng([hand.style.texture, 34])
    mask = np.zeros(field.height.shape, np.uint8)
    for _ in range(7):
        y = np.linspace(-0.42, 1.9, 18)
        x = rng.uniform(-0.13, 0.13) + np.cumsum(rng.normal(0, 0.022, 18)) - rng.uniform(-0.1, 0.1) * (y + 0.4)
        x = np.where(y > 0, x * 0.8 + np.tan(hand.skeleton.arm_turn) * y, x)
        line = np.stack([(x - grid.left) * grid.scale, (y - grid.top) * grid.scale], 1)
        draw_line(mask, line[: int(rng.integers(7, 19))], 255, max(int(0.012 * grid.scale), 1))
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.009 * grid.scale, 0.5)).astype(np.float32)
    soft *= np.float32(hand.style.veins / 255)
    field.height += soft * np.float32(0.006)
    field.colour *= 1 - soft[..., None] * np.array([0.06, 0.035, 0.01], np.float32)


def add_finger(hand: HandModel, number: int, grid: Grid, field: HandField, skin: Skin) -> tuple[np.ndarray, Window]:
    """Add the thumb (0) or a finger (1 to 4) to the field; return its coverage, float32, and the window of it."""
    style = hand.style
    thumb = number == 0
    thick = (THUMB_RADIUS if thumb else FINGER_RADII[number - 1]) * style.slender
    joints = hand.skeleton.chains[number]
    reach = np.vstack([joints, joints[0] * 0.6])
    area = grid.window(reach, thick * 1.25 + 3 / grid.scale)
    height, inside, u, v = _finger_capsules(
        joints, np.array(THUMB_GIRTH if thumb else FINGER_GIRTH) * thick, grid, area, thumb
    )
    below = field.height[area]
    merged, weight = _smooth_maximum(below, height, 0.05 if thumb else 0.035)
    if not thumb:
        # away from the knuckles no skin joins neighbouring fingers, they only touch
        sharp = smoothstep(u, 0.40, 0.70)
        merged += (np.maximum(below, height) - merged) * sharp
        weight += (np.clip((height - below) / 0.004 + 0.5, 0, 1) - weight) * sharp
    colour, relief, gloss = _finger_skin(hand, number, u, v, skin.colour[area])
    if number == 3 and style.ring == hand.side:
        _add_ring(style, u, v, colour, relief, gloss)
    field.height[area] = merged
    relief += skin.grain[area]
    for item, new in ((field.relief, relief), (field.gloss, gloss)):
        item[area] += (new - item[area]) * weight
    field.colour[area] += (colour - field.colour[area]) * weight[..., None]
    field.inside[area] = _smooth_maximum(field.inside[area], inside, 0.04 if thumb else 0.012)[0]
    cover = np.clip(inside * grid.scale + 0.5, 0, 1)
    way = joints[3] - joints[1] if thumb else joints[1] - joints[0]
    dx, dy = (way[:2] / (np.hypot(*way[:2]) + 1e-6)).tolist()
    x, y = (np.arange(part.start, part.stop, dtype=np.float32) / np.float32(grid.scale) for part in area[::-1])
    sx, sy = (joints[1 if thumb else 0][:2] - (grid.left, grid.top)).tolist()
    passed = (x[None] - sx) * dx + (y[:, None] - sy) * dy
    start = (-0.06, 0.02) if thumb else (0.03, 0.10)
    return weight * cover * smoothstep(passed, *start), area


def _finger_capsules(joints: np.ndarray, girth: np.ndarray, grid: Grid, area: Window, thumb: bool) -> list[np.ndarray]:
    """Return height, distance inside the outline, and position along (u) and across (v) a chain of tapered capsules."""
    along, nodes = _capsule_nodes(joints, girth, thumb)
    rows, columns = area
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    drawn = [np.full(shape, value, np.float32) for value in (-9, -9, 0, 0)]
    left, top = grid.left + columns.start / grid.scale, grid.top + rows.start / grid.scale
    local = Grid(left, top, grid.scale, shape[1], shape[0])
    bones = np.diff(joints, axis=0)
    level = np.hypot(bones[:, 0], bones[:, 1])
    axes = bones[:, :2] / (level * np.maximum(level, 0.4 * np.linalg.norm(bones, axis=1)) + 1e-6)[:, None]
    x, y = ((np.arange(count) + 0.5) / grid.scale for count in (shape[1], shape[0]))
    for k in range(len(along) - 1):
        near = local.window(nodes[k : k + 2], float(nodes[k : k + 2, 3].max()) + 0.03)
        places = (x[near[1]] + left).astype(np.float32)[None], (y[near[0]] + top).astype(np.float32)[:, None]
        height, inside, cross = _capsule(*places, nodes[k].tolist(), nodes[k + 1].tolist())
        # capsules overlap: measuring along the whole bone avoids steps from one to the next
        bone = int(np.clip(along[k], 0, 2))
        (ox, oy), (dx, dy) = (value.tolist() for value in (joints[bone][:2], axes[bone]))
        u = (places[0] - ox) * dx + (places[1] - oy) * dy + bone
        old = [item[near] for item in drawn]
        better = height > old[0]
        np.maximum(inside, old[1], out=old[1])
        for item, new in ((old[0], height), (old[2], u), (old[3], cross)):
            np.copyto(item, new, where=better)
    return drawn


def _capsule_nodes(joints: np.ndarray, girth: np.ndarray, thumb: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return positions along a finger, and there, float [n, 5]: x, y, height, radius, vertical thickness in radii."""
    along = np.array(ALONG)
    spots = np.stack([np.interp(along, range(4), joints[:, axis]) for axis in range(3)], 1)
    for joint in (3, 7):
        spots[joint] = spots[joint] * 0.6 + (spots[joint - 1] + spots[joint + 1]) * 0.2
    if not thumb:  # the bone in the back of the hand, sinking into it
        spots = np.vstack([joints[0] * (0.6, 0.6, 0.45), spots])
        along, girth = np.r_[-0.8, along], np.r_[girth[0] * 0.85, girth]
    steps = np.diff(spots, axis=0)
    slopes = np.hypot(steps[:, 0], steps[:, 1]) / np.maximum(np.linalg.norm(steps, axis=1), 1e-6)
    steep = 0.86 / np.clip(np.r_[1, (slopes[1:] + slopes[:-1]) / 2, 1], 0.55, 1)
    steep[:3] = 0.86
    return along, np.column_stack([spots, girth, steep])


def _capsule(x: np.ndarray, y: np.ndarray, a: list[float], b: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return height, distance inside the outline, and position across (-1..1) of one tapered capsule."""
    ax, ay, az, ar, at = a
    bx, by, bz, br, bt = b
    size = max(float(np.hypot(bx - ax, by - ay)), 1e-6)
    # a vertical bone is a point from above: any unit vector will do as its direction
    dx, dy = ((bx - ax) / size, (by - ay) / size) if size > 1e-4 else (0.0, -1.0)
    px, py = x - ax, y - ay
    way, cross = px * dx + py * dy, py * dx - px * dy
    t = np.clip(way / size, 0, 1)
    over = way - t * size
    r = ar + t * (br - ar)
    gap = np.sqrt(cross * cross + over * over)
    dome = np.sqrt(np.maximum(1 - (gap / r) ** 2, 0)) * r * (at + t * (bt - at))
    return az + t * (bz - az) + dome - 2 * np.maximum(gap - r, 0), r - gap, cross / r


def _finger_skin(
    hand: HandModel, number: int, u: np.ndarray, v: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return colour, relief and gloss of a finger's back: creases, redder joints and tip, the nail."""
    style, skeleton = hand.style, hand.skeleton
    rng = np.random.default_rng([hand.seed, 35, number])
    bend = 12.0 if number == 0 else skeleton.joint_bends[number - 1]
    taut = float(np.clip(1.15 - bend / 60, 0.25, 1)) * style.wrinkles
    chain = skeleton.chains[number]
    fall = np.degrees(np.arcsin(np.clip((chain[2][2] - chain[3][2]) / np.linalg.norm(chain[3] - chain[2]), -1, 1)))
    folds = np.zeros_like(u)
    fade = 1 - smoothstep(np.abs(v), 0.55, 1.0)
    creases = [(joint, spread * wide, wide) for joint, wide, spreads in _CREASES for spread in spreads]
    for joint, off, wide in creases:
        if (number == 0 and joint == 1) or (joint == 2 and fall > 45):
            continue
        middle = joint + off * (1 + 0.8 * v * v) + rng.normal(0, 0.015)
        slant = rng.normal(0, 0.03) * v
        folds += bell(u - middle - slant, 0, 0.014 + 0.006 * wide) * np.float32(rng.uniform(0.35, 1.0))
    folds *= fade * np.float32(taut)
    joints = bell(u, 1.0, 0.34) + 0.7 * bell(u, 2.0, 0.32) if number else bell(u, 2.0, 0.25)
    tips = smoothstep(u, 2.1, 3.1)
    warm = (0.42 * joints + 0.75 * tips + 0.3 * smoothstep(u, 0.3, 1.4)) * np.float32(style.blush)
    dark = np.float32(0.10 * style.dark)
    colour = skin * (1 + warm[..., None] * np.array([0.03, -0.125, -0.10], np.float32))
    colour *= (1 - joints * dark)[..., None]
    colour *= 1 - folds[..., None] * np.array([0.16, 0.24, 0.24], np.float32)
    relief = folds * np.float32(-0.0035) + joints * np.float32(0.0015)
    gloss = np.full_like(u, 0.55 * style.oily)
    if fall < 66 and not (number and bend > 60):
        across = (v - 0.28) / 0.66 if number == 0 else v / 0.70
        along = (u - (2.97 + style.nail_length)) / (0.34 + style.nail_length)
        _add_nail(style, along, across, colour, relief, gloss)
    return colour, relief, gloss


def _add_nail(
    style: HandStyle, p: np.ndarray, q: np.ndarray, colour: np.ndarray, relief: np.ndarray, gloss: np.ndarray
) -> None:
    """Paint a nail with lunula, rim and free edge in place; `p` and `q` are -1..1 along and across it."""
    round_ = (np.abs(p) ** 2.3 + np.abs(q) ** 2.8).astype(np.float32)
    plate = 1 - smoothstep(round_, 0.82, 1.0)
    rim = bell(round_, 1.08, 0.16)
    paint = np.asarray(style.nail, np.float32)
    tone = np.broadcast_to(paint, colour.shape).copy()
    if not style.varnish:
        moon = 1 - smoothstep((p + 0.95) ** 2 * 1.6 + q * q * 1.4, 0.25, 0.55)
        edge = smoothstep(p + 0.12 * q * q, 0.66, 0.80)
        pale = np.minimum(paint * np.array([1.06, 1.12, 1.12], np.float32) + 14, 250)
        tone += (pale - tone) * np.clip(0.45 * moon + 0.75 * edge, 0, 1)[..., None]
    colour *= 1 - rim[..., None] * np.array([0.16, 0.26, 0.26], np.float32)
    colour += (tone - colour) * (plate * (1.0 if style.varnish else 0.85))[..., None]
    relief += plate * np.float32(0.003) - rim * np.float32(0.003)
    gloss += plate * np.float32(2.2 if style.varnish else 1.0)


def _add_ring(
    style: HandStyle, u: np.ndarray, v: np.ndarray, colour: np.ndarray, relief: np.ndarray, gloss: np.ndarray
) -> None:
    band = 1 - smoothstep(np.abs(u - 0.55 + 0.05 * v * v), 0.05, 0.065)
    side = bell(np.abs(u - 0.55), 0.085, 0.02)
    colour *= 1 - 0.25 * side[..., None]
    shine = 0.55 + 0.5 * bell(v, -0.3, 0.25) + 0.3 * bell(v, 0.45, 0.15)
    colour += (np.asarray(style.metal, np.float32) * shine[..., None] - colour) * band[..., None]
    relief += band * np.float32(0.006)
    gloss += band * np.float32(2.5)
