"""Primitives that the drawing modules share: colours, smoothstep, sub-pixel polygons, pixel boxes, alpha compositing.

Pictures are uint8 [height, width, channels]. Layers are RGBA with the colour multiplied by alpha (premultiplied).
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike

Triple = tuple[float, float, float]
Colour = Triple  # RGB 0..255
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; x1 and y1 are excluded

SUBPIXEL_BITS = 4  # fractional bits of the coordinates that OpenCV draws polygons with

_Number = TypeVar("_Number", float, np.ndarray)


def triple(values: Iterable[float]) -> Triple:
    """Return three numbers as a tuple of Python floats, which JSON can hold."""
    first, second, third = (float(value) for value in values)
    return first, second, third


def clip_colour(values: ArrayLike, low: float = 0, high: float = 255) -> Colour:
    """Return an RGB colour with each channel clipped to [low, high]."""
    return triple(np.clip(values, low, high))


def smoothstep(x: _Number, low: float = 0, high: float = 1) -> _Number:
    """Return 0 below `low`, 1 above `high`, and the cubic Hermite interpolation between."""
    t: Any = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def fixed_point(points: ArrayLike) -> np.ndarray:
    """Return pixel coordinates as OpenCV's fixed-point numbers (`shift=SUBPIXEL_BITS`); int32 of the same shape."""
    return np.round(np.asarray(points, np.float64) * 2**SUBPIXEL_BITS).astype(np.int32)


def fill_polygon(
    picture: np.ndarray, points: ArrayLike, tone: float | Sequence[float], line_type: int = cv2.LINE_AA
) -> None:
    """Fill a polygon, float [n, 2] in pixels, in place."""
    cv2.fillPoly(picture, [fixed_point(points)], tone, line_type, shift=SUBPIXEL_BITS)


def draw_line(
    picture: np.ndarray, points: ArrayLike, tone: float | Sequence[float], thickness: int, *, closed: bool = False
) -> None:
    """Draw an anti-aliased polyline, float [n, 2] in pixels, in place."""
    cv2.polylines(picture, [fixed_point(points)], closed, tone, thickness, cv2.LINE_AA, shift=SUBPIXEL_BITS)


def bounding_box(points: np.ndarray, margin: int, shape: tuple[int, ...]) -> Box | None:
    """Return the pixel box around points, float [n, 2], clipped to a picture's shape; None when it lies outside."""
    low = np.floor(points.min(0)).astype(int) - margin
    high = np.ceil(points.max(0)).astype(int) + margin + 1
    x0, y0 = (max(int(v), 0) for v in low)
    x1, y1 = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def union(one: Box | None, two: Box | None) -> Box | None:
    """Return the smallest box around both; None stands for an empty one."""
    if one is None or two is None:
        return one or two
    return (min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3]))


def attenuate(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return a picture with all channels multiplied by share / 255; `share` is uint8 [height, width]."""
    return cv2.multiply(picture, cv2.merge([share] * picture.shape[2]), scale=1 / 255)


def blend(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return `above` over `below`, two RGB pictures, where `above` has the given alpha, uint8 [height, width]."""
    return cv2.add(attenuate(below, 255 - alpha), attenuate(above, alpha))


def composite(target: np.ndarray, layer: np.ndarray) -> None:
    """Composite a premultiplied RGBA layer over a premultiplied RGBA or an RGB picture of its size, in place."""
    kept = attenuate(target, 255 - cv2.extractChannel(layer, 3))
    added = layer if target.shape[2] == 4 else cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)
    target[:] = cv2.add(kept, added)
