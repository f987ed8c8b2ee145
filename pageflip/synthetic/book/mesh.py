"""Draws bent pages: textured meshes onto premultiplied RGBA layers, cell by cell from far to near."""

import math

import cv2
import numpy as np

from pageflip.synthetic.book import geometry
from pageflip.synthetic.stage.looks import Light

SHADE_UNIT = 128.0
Box = tuple[int, int, int, int]
_STRAIGHT = 0.6  # pixels; what is straight to this is drawn in one piece


def shades(light: Light, points: np.ndarray, normals: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """How bright both faces of a mesh are, float32 [rows, columns] each; 1 is a page that lies level.

    `side` is 1 where the mesh's columns run to the right when it lies, -1 where they run to the left.
    """
    up = normals * side
    facing = up @ np.asarray(light.direction)
    level = light.direction[2]
    spine = 1 - 0.3 * np.exp(-geometry.arc() / 0.05)  # the gutter gets less of the sky
    faces = []
    for towards in (facing, -facing):
        direct = np.where(towards > 0, towards, -towards * light.through)
        shade = light.ambient + (1 - light.ambient) * direct / level
        faces.append((np.clip(shade, 0.1, 1.4) * spine).astype(np.float32))
    return faces[0], faces[1]


def shaded(texture: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """A texture uint8 [h, w, 3] under the mesh's shade float32 [rows, columns]."""
    columns = shade.shape[1]
    even = np.linspace(0, 1, columns)
    positions = np.interp(even, geometry.arc(), np.arange(columns)).astype(np.float32)
    rows = np.arange(shade.shape[0], dtype=np.float32)
    grid = cv2.remap(shade, *np.meshgrid(positions, rows), cv2.INTER_LINEAR)
    wide = cv2.resize(grid * SHADE_UNIT, texture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    field = np.clip(wide, 0, 255).astype(np.uint8)
    return cv2.multiply(texture, cv2.merge([field, field, field]), scale=1 / SHADE_UNIT)


def draw_mesh(
    layer: np.ndarray, picture: np.ndarray, points: np.ndarray, faces: tuple[np.ndarray, np.ndarray], side: int
) -> Box | None:
    """Draw a mesh over a layer; where it is hardly bent, many of its cells are drawn as one.

    Args:
        layer: uint8 [h, w, 4], premultiplied RGBA; drawn on.
        picture: float [rows, columns, 2], the mesh's points in the layer's pixels.
        points: float [rows, columns, 3], the same in space; what is higher is nearer to the camera.
        faces: textures uint8 [.., .., 3] of the printed face and of its back, the spine at the left of both.
        side: as for `shades`.

    Returns:
        The box (x0, y0, x1, y1) that was drawn on, None when the mesh is out of the picture.
    """
    box = box_of(picture.reshape(-1, 2), 2, layer.shape)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    spread = float(np.ptp(picture, axis=(0, 1)).max()) / max(float(np.ptp(points, axis=(0, 1)).max()), 1e-9)
    rows, columns = _bent_rows(points, spread), _bent_columns(points, spread)
    local, height = (picture[rows][:, columns] - (x0, y0)).astype(np.float32), points[rows][:, columns, 2]
    tall, wide = np.asarray(rows) / rows[-1], geometry.arc()[columns]
    colour = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    mask, rim = np.zeros((2, *colour.shape[:2]), np.uint8)
    near = height[:-1, :-1] + height[1:, :-1] + height[:-1, 1:] + height[1:, 1:]
    for cell in np.argsort(near.ravel(), kind="stable"):
        i, j = divmod(int(cell), len(columns) - 1)
        quad = local[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
        cv2.fillConvexPoly(rim, np.round(quad * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        _draw_cell(colour, mask, quad, faces, side, (tall[i], tall[i + 1]), (wide[j], wide[j + 1]))
    # smooth where the sheet ends, and closed where its cells meet
    soft = cv2.min(cv2.max(rim, cv2.erode(mask, np.ones((3, 3), np.uint8))), mask)
    over(layer, colour, soft, box)
    return box


def _bent_rows(points: np.ndarray, pixels: float) -> list[int]:
    """The mesh's rows without those that lie on the straight line between their neighbours."""
    count = len(points) - 1
    for step in (count, count // 2, count // 4):
        kept = points[::step]
        share = (np.arange(count + 1) % step / step)[:-1, None, None]
        before = np.repeat(kept[:-1], step, axis=0)
        straight = before + (np.repeat(kept[1:], step, axis=0) - before) * share
        if np.abs(straight - points[:-1]).max() * pixels < _STRAIGHT:
            return list(range(0, count + 1, step))
    return list(range(count + 1))


def _bent_columns(points: np.ndarray, pixels: float) -> list[int]:
    """The mesh's columns without those between which the paper turns too little to be seen."""
    steps = np.diff(points, axis=1)
    lengths = np.linalg.norm(steps, axis=-1, keepdims=True)
    turns = np.linalg.norm(np.diff(steps / np.maximum(lengths, 1e-9), axis=1), axis=-1).max(0).tolist()
    reach = (lengths.max((0, 2)) * pixels).tolist()
    kept, turned, length = [0], 0.0, reach[0]
    for column, turn in enumerate(turns, 1):
        if (turned + turn) * (length + reach[column]) / 8 > _STRAIGHT:  # how far an arc is from its chord
            kept.append(column)
            turned, length = 0.0, reach[column]
        else:
            turned, length = turned + turn, length + reach[column]
    return [*kept, len(turns) + 1]


def _draw_cell(colour, mask, quad: np.ndarray, faces: tuple, side: int, tall: tuple, wide: tuple) -> None:
    """Draw one cell, float32 [4, 2] (its corners, clockwise as printed), from the face that is turned up."""
    xs, ys = quad[:, 0].tolist(), quad[:, 1].tolist()
    x0, y0 = max(math.floor(min(xs)) - 1, 0), max(math.floor(min(ys)) - 1, 0)
    x1, y1 = min(math.ceil(max(xs)) + 2, colour.shape[1]), min(math.ceil(max(ys)) + 2, colour.shape[0])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    area = cv2.contourArea(quad, True) * side
    face = faces[0] if area >= 0 else faces[1]
    quad = quad - np.array([x0, y0], np.float32)
    shape = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(shape, np.round(quad * 16).astype(np.int32), 255, shift=4)
    h, w = face.shape[:2]
    top, bottom, left, right = tall[0] * h, tall[1] * h, wide[0] * w, wide[1] * w
    if abs(area) < 2:
        piece = np.full((*shape.shape, 3), face[min(int(top), h - 1), min(int(left), w - 1)], np.uint8)
    else:
        source = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, quad)
        piece = cv2.warpPerspective(face, matrix, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(piece, shape, colour[y0:y1, x0:x1])
    target = mask[y0:y1, x0:x1]
    cv2.max(target, shape, dst=target)


def over(layer: np.ndarray, colour: np.ndarray, alpha: np.ndarray, box: Box, *, premultiplied: bool = False) -> None:
    """Lay uint8 `colour` [h, w, 3] with `alpha` [h, w] over a box of a premultiplied RGBA layer."""
    x0, y0, x1, y1 = box
    target = layer[y0:y1, x0:x1]
    if not premultiplied:
        colour = cv2.multiply(colour, cv2.merge([alpha, alpha, alpha]), scale=1 / 255)
    rest = 255 - alpha
    kept = cv2.multiply(target, cv2.merge([rest, rest, rest, rest]), scale=1 / 255)
    target[:] = cv2.add(kept, cv2.merge([*cv2.split(colour), alpha]))


def box_of(points: np.ndarray, margin: int, shape: tuple[int, ...]) -> Box | None:
    """The pixel box around points float [n, 2], cut to a picture's shape; None when it is outside."""
    low = np.floor(points.min(0)).astype(int) - margin
    high = np.ceil(points.max(0)).astype(int) + margin + 1
    x0, y0 = (max(int(v), 0) for v in low)
    x1, y1 = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None
