"""Texture mapping: draws meshes of bent pages onto premultiplied RGBA layers, cell by cell from far to near."""

import math

import cv2
import numpy as np

from pageflip.synthetic.book.geometry import ARC
from pageflip.synthetic.primitives import SUBPIXEL_BITS, Box, attenuate, bounding_box, composite, fixed_point

_SHADING_UNIT = 128.0
_FLAT = 0.6  # pixels; a part of the mesh that deviates less from a plane is drawn in one piece


def apply_shading(texture: np.ndarray, shading: np.ndarray) -> np.ndarray:
    """Multiply a texture, uint8 [h, w, 3], by the shading of a mesh's points, float32 [rows, columns]."""
    rows, columns = shading.shape
    evenly = np.interp(np.linspace(0, 1, columns), ARC, np.arange(columns)).astype(np.float32)
    grid = cv2.remap(shading, *np.meshgrid(evenly, np.arange(rows, dtype=np.float32)), cv2.INTER_LINEAR)
    field = cv2.resize(grid * _SHADING_UNIT, texture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    field = np.clip(field, 0, 255).astype(np.uint8)
    return cv2.multiply(texture, cv2.merge([field] * 3), scale=1 / _SHADING_UNIT)


def draw_mesh(
    layer: np.ndarray, picture: np.ndarray, points: np.ndarray, faces: tuple[np.ndarray, np.ndarray], side: int
) -> Box | None:
    """Draw a textured mesh onto a layer; nearly flat neighbouring cells are merged.

    Args:
        layer: uint8 [h, w, 4], premultiplied RGBA; modified in place.
        picture: float [rows, columns, 2], the mesh in the layer's pixels.
        points: float [rows, columns, 3], the mesh in world axes; higher cells are nearer to the camera.
        faces: textures, uint8 [.., .., 3], of the front and the back, both with the spine at the left.
        side: 1 where the mesh's columns run to the right when it lies, -1 where they run to the left.

    Returns:
        The pixel box that was drawn on; None when the mesh is outside the picture.
    """
    box = bounding_box(picture.reshape(-1, 2), 2, layer.shape)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    spread = float(np.ptp(picture, axis=(0, 1)).max()) / max(float(np.ptp(points, axis=(0, 1)).max()), 1e-9)
    rows, columns = _needed_rows(points, spread), _needed_columns(points, spread)
    local, height = (picture[rows][:, columns] - (x0, y0)).astype(np.float32), points[rows][:, columns, 2]
    tall, wide = np.asarray(rows) / rows[-1], ARC[columns]
    colour = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    mask, rim = np.zeros((2, *colour.shape[:2]), np.uint8)
    near = height[:-1, :-1] + height[1:, :-1] + height[:-1, 1:] + height[1:, 1:]
    for cell in np.argsort(near.ravel(), kind="stable"):
        i, j = divmod(int(cell), len(columns) - 1)
        quad = local[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
        cv2.fillConvexPoly(rim, fixed_point(quad), 255, cv2.LINE_AA, SUBPIXEL_BITS)
        face = faces[0] if cv2.contourArea(quad, True) * side >= 0 else faces[1]
        _draw_cell(colour, mask, quad, face, (tall[i], tall[i + 1]), (wide[j], wide[j + 1]))
    # anti-aliased along the outline of the sheet, opaque along the seams between cells
    alpha = cv2.min(cv2.max(rim, cv2.erode(mask, np.ones((3, 3), np.uint8))), mask)
    composite(layer[y0:y1, x0:x1], cv2.merge([*cv2.split(attenuate(colour, alpha)), alpha]))
    return box


def _needed_rows(points: np.ndarray, pixels: float) -> list[int]:
    """Return the mesh's rows without those that lie on a straight line between the others."""
    count = len(points) - 1
    for step in (count, count // 2, count // 4):
        kept = points[::step]
        share = (np.arange(count + 1) % step / step)[:-1, None, None]
        before = np.repeat(kept[:-1], step, axis=0)
        straight = before + (np.repeat(kept[1:], step, axis=0) - before) * share
        if np.abs(straight - points[:-1]).max() * pixels < _FLAT:
            return list(range(0, count + 1, step))
    return list(range(count + 1))


def _needed_columns(points: np.ndarray, pixels: float) -> list[int]:
    """Return the mesh's columns without those between which the paper turns by an invisible angle."""
    steps = np.diff(points, axis=1)
    lengths = np.linalg.norm(steps, axis=-1, keepdims=True)
    turns = np.linalg.norm(np.diff(steps / np.maximum(lengths, 1e-9), axis=1), axis=-1).max(0).tolist()
    reach = (lengths.max((0, 2)) * pixels).tolist()
    kept, turned, length = [0], 0.0, reach[0]
    for column, turn in enumerate(turns, 1):
        if (turned + turn) * (length + reach[column]) / 8 > _FLAT:  # the sagitta: distance between arc and chord
            kept.append(column)
            turned, length = 0.0, reach[column]
        else:
            turned, length = turned + turn, length + reach[column]
    return [*kept, len(turns) + 1]


def _draw_cell(
    colour: np.ndarray,
    mask: np.ndarray,
    quad: np.ndarray,
    face: np.ndarray,
    tall: tuple[float, float],
    wide: tuple[float, float],
) -> None:
    """Warp the part `tall` x `wide` of a face to a cell, float32 [4, 2] (corners clockwise), with a homography."""
    xs, ys = quad[:, 0].tolist(), quad[:, 1].tolist()
    x0, y0 = max(math.floor(min(xs)) - 1, 0), max(math.floor(min(ys)) - 1, 0)
    x1, y1 = min(math.ceil(max(xs)) + 2, colour.shape[1]), min(math.ceil(max(ys)) + 2, colour.shape[0])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    degenerate = cv2.contourArea(quad) < 2
    quad = quad - np.array([x0, y0], np.float32)
    shape = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(shape, fixed_point(quad), 255, shift=SUBPIXEL_BITS)
    h, w = face.shape[:2]
    top, bottom, left, right = tall[0] * h, tall[1] * h, wide[0] * w, wide[1] * w
    if degenerate:
        piece = np.full((*shape.shape, 3), face[min(int(top), h - 1), min(int(left), w - 1)], np.uint8)
    else:
        source = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, quad)
        piece = cv2.warpPerspective(face, matrix, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(piece, shape, colour[y0:y1, x0:x1])
    target = mask[y0:y1, x0:x1]
    cv2.max(target, shape, dst=target)
