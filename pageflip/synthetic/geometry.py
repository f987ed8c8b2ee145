"""Where a sheet of the book is in space and in the picture.

A sheet is a curve in the plane across the spine (arc length from the spine, tangent angle at each point), drawn out
along the spine: angle 0 lies flat on the right, pi flat on the left. Lengths are in picture widths.
"""

import numpy as np

from pageflip.synthetic.looks import Look

STRIPS = 18
VISIBLE_LIFT = 0.012  # page widths; below this a page counts as lying flat, and is drawn so
_ARC = np.linspace(0, 1, STRIPS + 1) ** 1.25  # finer near the spine, where the page bends most


def arc() -> np.ndarray:
    """The mesh's positions along a page, from the spine (0) to the outer edge (1); float64 [STRIPS + 1]."""
    return _ARC


def tangents(look: Look, progress: np.ndarray) -> np.ndarray:
    """Tangent angles of the sheet, float64 [rows, STRIPS + 1] in radians, for the progress (0..1) of each row.

    The outer edge leads while the page is lifted and trails while it falls: it is pulled first and held by air after.
    """
    fall = np.exp(-_ARC / 0.26)
    right, left = look.thickness[1] * fall, np.pi - look.thickness[0] * fall
    u = np.asarray(progress, float)[:, None]
    inner = _smooth((u - 0.1) / 0.75)
    outer = 0.5 * _smooth(u / 0.5) + 0.5 * _smooth((u - 0.5) / 0.5)
    weight = inner + (outer - inner) * _ARC**1.2
    return right + (left - right) * weight


def sheet(look: Look, progress: float, skew: float) -> tuple[np.ndarray, np.ndarray]:
    """The sheet at `progress`; its top row runs ahead of the bottom row when `skew` > 0, behind when < 0.

    Returns:
        points float64 [2 rows (top, bottom), STRIPS + 1, 3 (across the spine, along it, height)], in the book's own
        axes, and the tangent angles float64 [2, STRIPS + 1].
    """
    reach = 1.8 * progress * (1 - progress)
    rows = np.clip(np.array([progress + skew * reach, progress - skew * reach]), 0, 1)
    angles = tangents(look, rows)
    width, tall = look.page
    middle = (angles[:, 1:] + angles[:, :-1]) / 2
    steps = np.diff(_ARC) * width
    across = np.cumsum(np.cos(middle) * steps, axis=1)
    height = np.cumsum(np.sin(middle) * steps, axis=1)
    points = np.zeros((2, STRIPS + 1, 3))
    points[:, 1:, 0], points[:, 1:, 2] = across, np.maximum(height, 0)
    points[0, :, 1], points[1, :, 1] = -tall / 2, tall / 2
    return points, angles


def lift_of(look: Look, progress: float, skew: float) -> float:
    """How far the outer edge is in space from where it lies flat, in page widths; 0 below what an eye would see."""
    if not 0 < progress < 1:
        return 0.0
    edge = sheet(look, progress, skew)[0][:, -1]
    away = [np.linalg.norm(edge - sheet(look, end, 0.0)[0][:, -1], axis=1).max() for end in (0.0, 1.0)]
    lift = float(min(away)) / look.page[0]
    return lift if lift >= VISIBLE_LIFT else 0.0


def project(look: Look, points: np.ndarray) -> np.ndarray:
    """Book points float [..., 3] to picture points float [..., 2], in picture widths: a phone looking straight down."""
    turned = np.stack(
        [
            points[..., 0] * np.cos(look.turn) - points[..., 1] * np.sin(look.turn) + look.spine[0],
            points[..., 0] * np.sin(look.turn) + points[..., 1] * np.cos(look.turn) + look.spine[1],
        ],
        axis=-1,
    )
    centre = np.array(look.camera[:2])
    return centre + (turned - centre) * magnification(look, points[..., 2])[..., None]


def magnification(look: Look, height: np.ndarray) -> np.ndarray:
    """How much larger something at `height` above the desk looks than on the desk."""
    return look.camera[2] / (look.camera[2] - np.minimum(height, look.camera[2] * 0.7))


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
