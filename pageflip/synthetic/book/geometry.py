"""Geometry of book and camera: lying pages, the bending sheet, perspective projection.

A sheet is a developable surface: it bends about straight lines only, its rulings. While a corner is lifted the rulings
are oblique to the spine; they turn parallel to it as the sheet is swept over.

Book axes: x across the spine, y along it (down in the picture), z up from the desk. World axes: x and y on the desk, as
in the picture, z up. Lengths are in picture widths.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from pageflip.synthetic.primitives import smoothstep

COLUMNS, ROWS = 22, 8
VISIBLE_LIFT = 0.04  # page widths; a sheet below this is labelled and drawn as lying flat
CLEAR_LIFT = 0.12  # page widths; see `raised_share`
# Positions of the mesh's columns from the spine (0) to the outer edge (1): finer near the spine, where pages bend most.
ARC = np.linspace(0, 1, COLUMNS + 1) ** 1.2
_DISTANCES = np.linspace(0, 1.25, 160)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks from `place` at the `target` on the desk.

    The focal length is the distance to the target, so that a picture width is the unit of length there. `roll` is in
    radians, `aspect` the picture's height over its width.
    """

    place: tuple[float, float, float]
    target: tuple[float, float]
    roll: float
    aspect: float


@dataclass(frozen=True)
class BookHalf:
    """One half of the open book: height of its outer `edge`, height of the `arch`, and the arch's place."""

    edge: float
    arch: float
    at: float


@dataclass(frozen=True)
class OpenBook:
    """The open book on the desk: page width and height, midpoint of the spine, rotation in radians, both halves."""

    page: tuple[float, float]
    spine: tuple[float, float]
    turn: float
    right: BookHalf
    left: BookHalf


@dataclass(frozen=True)
class Bend:
    """Bend of one sheet.

    Attributes:
        corner: angle in radians between rulings and spine while the sheet is lifted; positive lifts the lower corner.
        lean: the same angle during the sweep.
        stiffness: share of the lifted part that is bent; the rest is straight.
        lead: how far the outer edge runs ahead at first and lags behind later.
        side: 1 for a sheet that is lifted on the right, -1 on the left.
    """

    corner: float
    lean: float
    stiffness: float
    lead: float
    side: int


@lru_cache(maxsize=32)
def lying_page(book: OpenBook, side: int, wave: float = 0.0) -> np.ndarray:
    """Return the mesh of the page that lies on one side (1 right, -1 left).

    `wave` is the height of a swelling in the middle of a page that does not lie flat. The result is float64
    [ROWS + 1, COLUMNS + 1, 3] in book axes, read-only.
    """
    width, tall = book.page
    x, z = _half_profile(book.right if side > 0 else book.left, ARC * width)
    points = np.zeros((ROWS + 1, COLUMNS + 1, 3))
    rows = np.linspace(-0.5, 0.5, ROWS + 1)
    points[..., 0], points[..., 1], points[..., 2] = side * x, rows[:, None] * tall, z
    if wave:
        hill = np.sin(np.pi * ARC) ** 2 * (1 + 0.5 * np.cos(2.2 * np.pi * rows[:, None]))
        points[..., 2] += abs(wave) * hill
    points.flags.writeable = False  # cached
    return points


@lru_cache(maxsize=128)
def sheet(book: OpenBook, bend: Bend, progress: float) -> np.ndarray:
    """Return the mesh of a sheet at `progress` (0 where it was lifted, 1 on the other side), like `lying_page`."""
    width, tall = book.page
    u = float(np.clip(progress, 0, 1))
    s, v = np.meshgrid(ARC * width, np.linspace(-0.5, 0.5, ROWS + 1) * tall)
    oblique = bend.corner * (1 - smoothstep(u / 0.42)) + bend.lean * np.sin(np.pi * u) * smoothstep(u / 0.3)
    cos, sin = np.cos(oblique), np.sin(oblique)
    spine, far = tall / 2 * abs(sin), width * cos + tall / 2 * abs(sin)
    begin = far + (spine - far) * smoothstep(u / 0.36)  # between the spine and this line the sheet still lies
    q = s * cos + v * sin - begin
    out = _bend_profile(np.maximum(q, 0), far - begin, bend, u)
    flat_x, flat_y = s - np.maximum(q, 0) * cos + out[0] * cos, v - np.maximum(q, 0) * sin + out[0] * sin
    points = _lay_on_book(book, bend.side, flat_x, flat_y, out[1])
    points.flags.writeable = False  # cached
    return points


def _bend_profile(q: np.ndarray, length: float, bend: Bend, u: float) -> tuple[np.ndarray, np.ndarray]:
    """Map arc lengths `q` from the bending line to distances along the desk and heights."""
    steps = np.linspace(0, max(length, 1e-6), 65)
    share = steps / max(length, 1e-6)
    angle = np.pi * (1 - (1 - u) ** 1.35)
    soft = bend.stiffness * (1 - smoothstep((u - 0.45) / 0.5)) + 0.02
    turned = angle * smoothstep(share / soft)
    # the fingers pull the edge ahead while it rises, the air holds it back while it falls
    turned = turned + bend.lead * np.sin(np.pi * u) * np.cos(np.pi * u) * 2 * share**1.5
    turned = np.clip(turned, 0, np.pi * 1.02)
    middle = (turned[1:] + turned[:-1]) / 2
    step = np.diff(steps)
    along = np.concatenate([[0], np.cumsum(np.cos(middle) * step)])
    height = np.maximum(np.concatenate([[0], np.cumsum(np.sin(middle) * step)]), 0)
    return np.interp(q, steps, along), np.interp(q, steps, height)


def _lay_on_book(book: OpenBook, side: int, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Add the arched halves of the book below a sheet that was bent over a plane."""
    start, end = (book.right, book.left) if side > 0 else (book.left, book.right)
    near, near_z = _half_profile(start, np.maximum(x, 0))
    far, far_z = _half_profile(end, np.maximum(-x, 0))
    points = np.zeros((*x.shape, 3))
    points[..., 0] = side * np.where(x >= 0, near, -far)
    points[..., 1] = y
    points[..., 2] = z + np.where(x >= 0, near_z, far_z)
    return points


def _half_profile(half: BookHalf, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map arc lengths `s` on one half of the book to distances from the spine and heights."""
    x = _DISTANCES
    z = half.edge * (1 - np.exp(-x / 0.04)) + half.arch * (x / half.at) * np.exp(1 - x / half.at)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    return np.interp(s, length, x), np.interp(s, length, z)


def sheet_lift(book: OpenBook, bend: Bend, progress: float) -> float:
    """Return the largest distance of a sheet from where it lies, in page widths; 0 below `VISIBLE_LIFT`."""
    if not 0 < progress < 1:
        return 0.0
    points = sheet(book, bend, progress)
    away = [np.linalg.norm(points - lying_page(book, side), axis=-1).max() for side in (1, -1)]
    lift = float(min(away)) / book.page[0]
    return lift if lift >= VISIBLE_LIFT else 0.0


def raised_share(book: OpenBook, bend: Bend, progress: float) -> float:
    """Return the share of a sheet's area that is at least `CLEAR_LIFT` off the pages."""
    points = sheet(book, bend, progress)
    away = np.min([np.linalg.norm(points - lying_page(book, side), axis=-1) for side in (1, -1)], axis=0)
    cells = (away[:-1, :-1] + away[1:, :-1] + away[:-1, 1:] + away[1:, 1:]) / 4 >= CLEAR_LIFT * book.page[0]
    return float((cells * np.diff(ARC)).sum() / ROWS)


def surface_height(book: OpenBook, point: np.ndarray) -> float:
    """Return the height of the page or desk below a point, float [3], in world axes."""
    cos, sin = np.cos(book.turn), np.sin(book.turn)
    x, y = float(point[0]) - book.spine[0], float(point[1]) - book.spine[1]
    across, along = x * cos + y * sin, y * cos - x * sin
    if abs(along) > book.page[1] / 2 or abs(across) > book.page[0]:
        return 0.0
    return float(_half_profile(book.right if across > 0 else book.left, np.array([abs(across)]))[1][0])


def book_to_world(book: OpenBook, points: np.ndarray) -> np.ndarray:
    """Transform points, float [..., 3], from book axes to world axes."""
    cos, sin = np.cos(book.turn), np.sin(book.turn)
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cos - y * sin + book.spine[0], x * sin + y * cos + book.spine[1], points[..., 2]], axis=-1)


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Project points, float [..., 3] in world axes, to the picture; float [..., 2] in picture widths."""
    rotation, distance = _camera_axes(camera)
    local = (np.asarray(points, float) - np.asarray(camera.place)) @ rotation.T
    depth = np.maximum(local[..., 2], 0.15 * distance)
    return local[..., :2] * (distance / depth)[..., None] + np.array([0.5, camera.aspect / 2])


def magnification(camera: Camera, point: ArrayLike) -> float:
    """Return the scale of the projection at a point, float [3], relative to the camera's target."""
    rotation, distance = _camera_axes(camera)
    depth = float((np.asarray(point, float) - np.asarray(camera.place)) @ rotation[2])
    return distance / max(depth, 0.15 * distance)


def normals(points: np.ndarray) -> np.ndarray:
    """Return unit normals of a mesh, float64 [rows, columns, 3], that point up where it lies as printed."""
    along_s, along_v = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(along_s, along_v)
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


@lru_cache(maxsize=32)
def _camera_axes(camera: Camera) -> tuple[np.ndarray, float]:
    """Return the rotation from world axes to camera axes (right, down, forward) and the distance to the target."""
    forward = np.array([*camera.target, 0.0]) - np.asarray(camera.place)
    distance = float(np.linalg.norm(forward))
    forward = forward / distance
    down = np.array([0.0, 1.0, 0.0]) - forward * forward[1]
    down /= np.linalg.norm(down)
    right = np.cross(forward, down)  # y points down, so the order is this
    cos, sin = np.cos(camera.roll), np.sin(camera.roll)
    return np.array([right * cos + down * sin, down * cos - right * sin, forward]), distance
