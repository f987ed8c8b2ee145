"""Where pages are in space and in the picture: the lying pages, a sheet in the air, and the phone that sees them.

A sheet is a developable surface: it bends along one direction only, about straight lines. While a corner is lifted
these lines are oblique to the spine, and turn parallel to it as the sheet is swept over. Book axes: x across the spine,
y along it (down in the picture), z up from the desk; lengths are in picture widths.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

COLUMNS, ROWS = 22, 8
VISIBLE_LIFT = 0.04  # page widths; below this a page counts as lying flat, and is drawn so
CLEAR_LIFT = 0.12  # page widths; see `raised_share`
_ARC = np.linspace(0, 1, COLUMNS + 1) ** 1.2  # finer near the spine, where pages bend most
_PROFILE = np.linspace(0, 1.25, 160)


@dataclass(frozen=True)
class Phone:
    """The camera: `place` in space, the point of the desk it looks at, its roll in radians, and the picture's height.

    The focal length is the distance to that point, so that there a picture width is the unit of length.
    """

    place: tuple[float, float, float]
    target: tuple[float, float]
    roll: float
    aspect: float


@dataclass(frozen=True)
class Stack:
    """One half of the open book: height at the outer edge, height of the arch, and where from the spine that is."""

    edge: float
    arch: float
    at: float


@dataclass(frozen=True)
class Lying:
    """How the book lies: page width and height, the spine's middle on the desk, its turn in radians, both halves."""

    page: tuple[float, float]
    spine: tuple[float, float]
    turn: float
    right: Stack
    left: Stack


@dataclass(frozen=True)
class Bend:
    """How one sheet moves: `corner` is the obliqueness in radians with which it is lifted (its sign chooses the corner:
    above 0 the lower one), `lean` that of the sweep, `stiffness` the bent share of its lifted part, `lead` how far
    its outer edge runs ahead at first and lags later, `side` 1 for a sheet that is lifted on the right, -1 on the left.
    """

    corner: float
    lean: float
    stiffness: float
    lead: float
    side: int


def arc() -> np.ndarray:
    """The mesh's positions along a page, from the spine (0) to the outer edge (1); float64 [COLUMNS + 1]."""
    return _ARC


@lru_cache(maxsize=32)
def lying_page(book: Lying, side: int, wave: float = 0.0) -> np.ndarray:
    """The page that lies on one side (1 right, -1 left): float64 [ROWS + 1, COLUMNS + 1, 3] in book axes.

    `wave` is the height of a swelling in the middle of a page that does not lie flat.
    """
    width, tall = book.page
    x, z = _resting(book.right if side > 0 else book.left, _ARC * width)
    points = np.zeros((ROWS + 1, COLUMNS + 1, 3))
    rows = np.linspace(-0.5, 0.5, ROWS + 1)
    points[..., 0], points[..., 1], points[..., 2] = side * x, rows[:, None] * tall, z
    if wave:
        hill = np.sin(np.pi * _ARC) ** 2 * (1 + 0.5 * np.cos(2.2 * np.pi * rows[:, None]))
        points[..., 2] += abs(wave) * hill
    points.flags.writeable = False  # it is kept for the next caller
    return points


@lru_cache(maxsize=128)
def sheet(book: Lying, bend: Bend, progress: float) -> np.ndarray:
    """The sheet at `progress` (0 lies where it was lifted, 1 on the other side): as `lying_page`."""
    width, tall = book.page
    u = float(np.clip(progress, 0, 1))
    s, v = np.meshgrid(_ARC * width, np.linspace(-0.5, 0.5, ROWS + 1) * tall)
    oblique = bend.corner * (1 - _smooth(u / 0.42)) + bend.lean * np.sin(np.pi * u) * _smooth(u / 0.3)
    cos, sin = np.cos(oblique), np.sin(oblique)
    spine, far = tall / 2 * abs(sin), width * cos + tall / 2 * abs(sin)
    begin = far + (spine - far) * _smooth(u / 0.36)  # nothing left of this line has moved
    q = s * cos + v * sin - begin
    out = _bent(np.maximum(q, 0), far - begin, bend, u)
    flat_x, flat_y = s - np.maximum(q, 0) * cos + out[0] * cos, v - np.maximum(q, 0) * sin + out[0] * sin
    points = _on_the_book(book, bend.side, flat_x, flat_y, out[1])
    points.flags.writeable = False  # it is kept for the next caller
    return points


def _bent(q: np.ndarray, length: float, bend: Bend, u: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the lifted part goes: distance along the desk and height for arc lengths `q` from the line of bending."""
    steps = np.linspace(0, max(length, 1e-6), 65)
    share = steps / max(length, 1e-6)
    angle = np.pi * (1 - (1 - u) ** 1.35)
    soft = bend.stiffness * (1 - _smooth((u - 0.45) / 0.5)) + 0.02
    turned = angle * _smooth(share / soft)
    # pulled ahead by the fingers while it rises, held back by the air while it falls
    turned = turned + bend.lead * np.sin(np.pi * u) * np.cos(np.pi * u) * 2 * share**1.5
    turned = np.clip(turned, 0, np.pi * 1.02)
    middle = (turned[1:] + turned[:-1]) / 2
    step = np.diff(steps)
    along = np.concatenate([[0], np.cumsum(np.cos(middle) * step)])
    height = np.maximum(np.concatenate([[0], np.cumsum(np.sin(middle) * step)]), 0)
    return np.interp(q, steps, along), np.interp(q, steps, height)


def _on_the_book(book: Lying, side: int, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Lift a sheet that was bent over a level plane onto the arched halves of the book."""
    start, end = (book.right, book.left) if side > 0 else (book.left, book.right)
    near, near_z = _resting(start, np.maximum(x, 0))
    far, far_z = _resting(end, np.maximum(-x, 0))
    points = np.zeros((*x.shape, 3))
    points[..., 0] = side * np.where(x >= 0, near, -far)
    points[..., 1] = y
    points[..., 2] = z + np.where(x >= 0, near_z, far_z)
    return points


def _resting(stack: Stack, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the spine and height of the arc lengths `s` on one half of the book."""
    x = _PROFILE
    z = stack.edge * (1 - np.exp(-x / 0.04)) + stack.arch * (x / stack.at) * np.exp(1 - x / stack.at)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    return np.interp(s, length, x), np.interp(s, length, z)


def lift_of(book: Lying, bend: Bend, progress: float) -> float:
    """How far a sheet is from where it lies flat, in page widths; 0 below what an eye would see."""
    if not 0 < progress < 1:
        return 0.0
    points = sheet(book, bend, progress)
    away = [np.linalg.norm(points - lying_page(book, side), axis=-1).max() for side in (1, -1)]
    lift = float(min(away)) / book.page[0]
    return lift if lift >= VISIBLE_LIFT else 0.0


def raised_share(book: Lying, bend: Bend, progress: float) -> float:
    """The share of a sheet's area that is clearly off the pages, by `CLEAR_LIFT`."""
    points = sheet(book, bend, progress)
    away = np.min([np.linalg.norm(points - lying_page(book, side), axis=-1) for side in (1, -1)], axis=0)
    cells = (away[:-1, :-1] + away[1:, :-1] + away[:-1, 1:] + away[1:, 1:]) / 4 >= CLEAR_LIFT * book.page[0]
    return float((cells * np.diff(_ARC)).sum() / ROWS)


def ground(book: Lying, point: np.ndarray) -> float:
    """How high what lies below a point of space float [3] is: a page of the book, or the desk."""
    cos, sin = np.cos(book.turn), np.sin(book.turn)
    x, y = float(point[0]) - book.spine[0], float(point[1]) - book.spine[1]
    across, along = x * cos + y * sin, y * cos - x * sin
    if abs(along) > book.page[1] / 2 or abs(across) > book.page[0]:
        return 0.0
    return float(_resting(book.right if across > 0 else book.left, np.array([abs(across)]))[1][0])


def in_space(book: Lying, points: np.ndarray) -> np.ndarray:
    """Book axes float [..., 3] to the desk's axes, in picture widths."""
    cos, sin = np.cos(book.turn), np.sin(book.turn)
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cos - y * sin + book.spine[0], x * sin + y * cos + book.spine[1], points[..., 2]], axis=-1)


def project(phone: Phone, points: np.ndarray) -> np.ndarray:
    """Points of space float [..., 3] to picture points float [..., 2], in picture widths."""
    turned, distance = _camera(phone)
    local = (np.asarray(points, float) - np.asarray(phone.place)) @ turned.T
    depth = np.maximum(local[..., 2], 0.15 * distance)
    return local[..., :2] * (distance / depth)[..., None] + np.array([0.5, phone.aspect / 2])


def magnification(phone: Phone, point: np.ndarray) -> float:
    """How much larger something at a point of space float [3] looks than at the point the phone looks at."""
    turned, distance = _camera(phone)
    depth = float((np.asarray(point, float) - np.asarray(phone.place)) @ turned[2])
    return distance / max(depth, 0.15 * distance)


def normals(points: np.ndarray) -> np.ndarray:
    """Unit normals float64 [rows, columns, 3] of a mesh, on the side that looks up where it lies as printed."""
    along_s, along_v = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(along_s, along_v)
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


@lru_cache(maxsize=32)
def _camera(phone: Phone) -> tuple[np.ndarray, float]:
    """The rotation of space to the camera's axes (right, down, forward), and the distance to what it looks at."""
    forward = np.array([*phone.target, 0.0]) - np.asarray(phone.place)
    distance = float(np.linalg.norm(forward))
    forward = forward / distance
    down = np.array([0.0, 1.0, 0.0]) - forward * forward[1]
    down /= np.linalg.norm(down)
    right = np.cross(forward, down)  # y points down, so the order is this
    cos, sin = np.cos(phone.roll), np.sin(phone.roll)
    return np.array([right * cos + down * sin, down * cos - right * sin, forward]), distance


def _smooth(x: np.ndarray | float) -> np.ndarray | float:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
