"""Pixels: draws each moment of a script, layer by layer, and photographs it.

From below to above: desk and lying pages (drawn once per spread), shadows, the left hand, the sheet in the air with
the right hand behind or before it. Then the light falls on it, the phone shakes, and the sensor adds its noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pageflip.synthetic import geometry
from pageflip.synthetic.hands import HAND, hand_sprite
from pageflip.synthetic.looks import Look
from pageflip.synthetic.pages import desk_picture, page_texture
from pageflip.synthetic.scene import Clip, HandPose, Pose, Script, clip_script, pose_at

_LIGHT_UNIT = 128.0  # the value of the light map that leaves a colour as it is
_MOST_EXPOSURES = 6


@dataclass(frozen=True)
class Frame:
    """One picture: uint8 [height, width, 3] RGB; `lift` of the page (0 lies flat), and the frame's number."""

    number: int
    image: np.ndarray
    lift: float


def render_clip(clip: Clip) -> Iterator[Frame]:
    """Draw a clip frame by frame; the same clip gives the same pixels."""
    stage = Stage(clip_script(clip), clip.width, clip.height)
    for number in clip.numbers:
        image, lift = stage.photograph(number - 1)
        yield Frame(number, image, lift)


class Stage:
    """Draws the moments of one script at one size. Holds a few page pictures and one spread; memory stays flat."""

    def __init__(self, script: Script, width: int, height: int) -> None:
        self.script, self.look = script, script.look
        self.size = (width, height)
        self.scale = 0.5 if width >= 640 else 1.0
        self.wide, self.tall = round(width * self.scale), round(height * self.scale)
        length = max(int(HAND * self.look.page[0] * self.wide), 8)
        self.right = hand_sprite(self.look, script.right.shape, length, True, script.seed)
        self.left = hand_sprite(self.look, script.left.shape, length, False, script.seed + 1)
        self.desk = desk_picture(self.look, self.wide, self.tall)
        self.light = _light_map(self.look, self.wide, self.tall)
        self.grain = _grain(script, width, height)
        self._pages: dict[int, np.ndarray] = {}
        self._spread: tuple[tuple[int, int], np.ndarray] | None = None

    def photograph(self, t: float) -> tuple[np.ndarray, float]:
        """The picture taken at time t (frames): uint8 [height, width, 3] RGB, and the page's lift."""
        pose = pose_at(self.script, t)
        base = self._lying(pose).copy()
        self._shadows(base, pose)
        moments = self._moments(t)
        smears = [int(np.clip(way / len(moments), 1, 41)) for way in self._travel(moments[0], moments[-1])]
        total = np.zeros(base.shape, np.uint16) if len(moments) > 1 else None
        for moment in moments:
            canvas = base.copy()
            self._moving(canvas, moment, pose, smears)
            if total is None:
                total = canvas
            else:
                cv2.add(total, canvas, dst=total, dtype=cv2.CV_16U)
        if len(moments) > 1:
            total = cv2.convertScaleAbs(total, alpha=1 / len(moments))
        return self._develop(total, pose, t), pose.lift

    def _moments(self, t: float) -> list[Pose]:
        """The poses that one exposure averages: more of them the further things move while the shutter is open."""
        half, middle = self.script.exposure_share / 2, pose_at(self.script, t)
        ends = [pose_at(self.script, t - half), pose_at(self.script, t + half)]
        count = int(np.clip(np.ceil(max(self._travel(*ends)) / 4.0), 1, _MOST_EXPOSURES))
        if count == 1:
            return [middle]
        poses = [pose_at(self.script, t + offset) for offset in np.linspace(-half, half, count)]
        # a page that lands or leaves during the exposure is drawn as it is in its middle, by which it is labelled
        return [pose for pose in poses if (pose.progress is None) == (middle.progress is None)] or [middle]

    def _travel(self, one: Pose, two: Pose) -> tuple[float, float, float]:
        """How many pixels the left hand, the right hand and the sheet's edge move between two poses."""
        hands = [
            np.hypot(a.tip[0] - b.tip[0], a.tip[1] - b.tip[1])
            for a, b in ((one.left, two.left), (one.right, two.right))
        ]
        if min(one.right.tip[0], two.right.tip[0]) > 1.2:
            hands[1] = 0.0
        sheet = 0.0
        if one.progress is not None and two.progress is not None:
            edges = [geometry.project(self.look, self._sheet(pose)[0][:, -1]) for pose in (one, two)]
            sheet = np.abs(edges[0] - edges[1]).max()
        return tuple(float(way) * self.wide for way in (*hands, sheet))

    def _sheet(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        return geometry.sheet(self.look, pose.progress or 0.0, pose.skew)

    def _page(self, number: int) -> np.ndarray:
        if number not in self._pages:
            while len(self._pages) >= 6:
                self._pages.pop(next(iter(self._pages)))
            size = [max(int(length * self.wide * 1.15), 8) for length in self.look.page]
            self._pages[number] = page_texture(self.look, number, *size)
        return self._pages[number]

    def _lying(self, pose: Pose) -> np.ndarray:
        """The desk with the pages that lie flat; uint8 [tall, wide, 3]."""
        left = 2 * pose.spread
        pages = (left, left + 1 if pose.progress is None else left + 3)
        if self._spread is None or self._spread[0] != pages:
            canvas = self.desk.copy()
            _book_block(canvas, self.look)
            for number, progress in zip(pages, (1.0, 0.0), strict=True):
                points, angles = geometry.sheet(self.look, progress, 0.0)
                _draw_sheet(canvas, self.look, points, angles, self._page(number), self._page(number), 1, 1.0)
            self._spread = (pages, canvas)
        return self._spread[1]

    def _shadows(self, canvas: np.ndarray, pose: Pose) -> None:
        """Darken what the sheet and the hands keep the light from; drawn coarsely and blurred, as shadows are."""
        step = 4
        mask = np.zeros((self.tall // step, self.wide // step), np.uint8)
        light = np.asarray(self.look.light.direction)
        if pose.progress is not None:
            points = self._sheet(pose)[0]
            fallen = points.copy()
            fallen[..., :2] -= points[..., 2:] * np.clip(light[:2] / light[2], -0.9, 0.9)
            fallen[..., 2] = 0
            outline = geometry.project(self.look, fallen) * (self.wide / step)
            for i in range(geometry.STRIPS):
                quad = np.array([outline[0, i], outline[0, i + 1], outline[1, i + 1], outline[1, i]])
                cv2.fillConvexPoly(mask, quad.astype(np.int32), 120)
        for hand, sprite in ((pose.right, self.right), (pose.left, self.left)):
            tip = (hand.tip[0] - 0.03 * light[0], hand.tip[1] - 0.03 * light[1] + 0.008)
            matrix = _hand_matrix(HandPose(tip, hand.elbow, hand.scale), sprite[1], self.wide)
            alpha = cv2.warpAffine(sprite[0][..., 3], matrix / step, mask.shape[::-1], flags=cv2.INTER_NEAREST)
            mask = np.maximum(mask, (alpha * 0.45).astype(np.uint8))
        soft = cv2.GaussianBlur(mask, (0, 0), max(self.wide / step / 45, 0.8))
        shade = cv2.resize(255 - soft, (self.wide, self.tall), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(canvas, cv2.merge([shade, shade, shade]), dst=canvas, scale=1 / 255)

    def _moving(self, canvas: np.ndarray, moment: Pose, middle: Pose, smears: list[int]) -> None:
        left, right, sheet = smears
        _draw_hand(canvas, moment.left, self.left, self.wide, left)
        behind = moment.progress is not None and moment.progress < 0.5
        if behind:
            _draw_hand(canvas, moment.right, self.right, self.wide, right)
        if middle.progress is not None and moment.progress is not None:
            points, angles = self._sheet(moment)
            fade = 0.6 + 0.4 * float(np.clip((moment.progress - 0.75) / 0.2, 0, 1))
            front, back = (self._page(2 * moment.spread + 1), self._page(2 * moment.spread + 2))
            _draw_sheet(canvas, self.look, points, angles, front, back, sheet, fade)
        if not behind:
            _draw_hand(canvas, moment.right, self.right, self.wide, right)

    def _develop(self, canvas: np.ndarray, pose: Pose, t: float) -> np.ndarray:
        """Light, lens and sensor."""
        lit = cv2.multiply(canvas, self.light, scale=pose.gain / _LIGHT_UNIT)
        width, height = self.size
        grow = 1 / self.scale
        cos, sin = np.cos(pose.tilt) * grow, np.sin(pose.tilt) * grow
        dx, dy = pose.shift[0] * width, pose.shift[1] * width
        cx, cy = self.wide / 2, self.tall / 2
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        matrix[:, 2] = np.array([width / 2 + dx, height / 2 + dy]) - matrix[:, :2] @ np.array([cx, cy])
        picture = cv2.warpAffine(lit, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        rng = np.random.default_rng([self.script.seed, 41, int(t)])
        y, x = (int(v) for v in rng.integers(0, 64, 2))
        return cv2.add(picture, self.grain[y : y + height, x : x + width], dtype=cv2.CV_8U)


def _light_map(look: Look, wide: int, tall: int) -> np.ndarray:
    """How much light falls where: uint8 [tall, wide, 3], `_LIGHT_UNIT` leaves a colour as it is."""
    light = look.light
    rows, columns = np.mgrid[0:tall, 0:wide].astype(np.float32) / wide
    aspect = tall / wide
    field = 1 + light.slope[0] * (columns - 0.5) + light.slope[1] * (rows - aspect / 2)
    radius = ((columns - 0.5) ** 2 + (rows - aspect / 2) ** 2) / (0.25 + aspect**2 / 4)
    field *= light.exposure * (1 - light.vignette * radius)
    if light.patch:
        mask = np.zeros((tall, wide), np.uint8)
        cv2.fillConvexPoly(mask, (np.asarray(light.patch) * wide).astype(np.int32), 255)
        mask = cv2.GaussianBlur(mask, (0, 0), max(wide / 60, 0.8)).astype(np.float32) / 255
        field *= 1 + (light.patch_gain - 1) * mask
    tinted = field[..., None] * np.asarray(light.tint, np.float32) * _LIGHT_UNIT
    return np.clip(tinted, 0, 255).astype(np.uint8)


def _grain(script: Script, width: int, height: int) -> np.ndarray:
    """Sensor noise a little larger than the picture, to be cut at a new place for each frame; int8 [h, w, 3]."""
    rng = np.random.default_rng([script.seed, 42])
    noise = rng.normal(0, script.look.noise, (height + 64, width + 64)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6) * 1.5
    colour = cv2.resize(
        rng.normal(0, script.look.noise * 0.4, (height // 2, width // 2, 3)).astype(np.float32), noise.shape[::-1]
    )
    return np.clip(noise[..., None] + colour, -60, 60).astype(np.int8)


def _book_block(canvas: np.ndarray, look: Look) -> None:
    """The cover, the edges of the pages below, and the book's shadow on the desk."""
    wide = canvas.shape[1]
    shadow = np.zeros(canvas.shape[:2], np.uint8)
    sides = []
    for progress in (0.0, 1.0):
        points, _ = geometry.sheet(look, progress, 0.0)
        outward = 1 if progress == 0.0 else -1
        for spread, height, colour in ((0.028, 0.0, look.cover), (0.02, 0.3, None), (0.01, 0.7, None)):
            edge = points[:, [0, -1]].copy()
            edge[..., 2] *= height
            edge[:, 1, 0] += outward * (spread + (1 - height) * 0.25 * points[0, -1, 2])
            if colour:
                edge[0, :, 1] -= 0.008
                edge[1, :, 1] += 0.008
            quad = geometry.project(look, edge)[[0, 0, 1, 1], [0, 1, 1, 0]] * wide
            sides.append((quad.astype(np.int32), colour or tuple(c * (0.68 + 0.2 * height) for c in look.paper)))
    for quad, _ in sides:
        offset = np.array([-look.light.direction[0], -look.light.direction[1]]) * 0.03 * wide
        cv2.fillConvexPoly(shadow, (quad + offset).astype(np.int32), 110)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(wide / 45, 0.8))
    cv2.multiply(canvas, cv2.merge([255 - shadow] * 3), dst=canvas, scale=1 / 255)
    for quad, colour in sides:
        cv2.fillConvexPoly(canvas, quad, colour, cv2.LINE_AA)
        cv2.polylines(canvas, [quad], True, tuple(c * 0.82 for c in colour), 1, cv2.LINE_AA)


def _draw_sheet(canvas, look: Look, points, angles, front, back, smear: int, contrast: float) -> None:
    """Lay a sheet over the canvas, strip by strip from low to high, and soften its rim by the smear of motion."""
    wide = canvas.shape[1]
    picture = (geometry.project(look, points) * wide).astype(np.float32)
    box = _box(picture.reshape(-1, 2), smear + 3, canvas.shape)
    if box is None:
        return
    x0, y0, x1, y1 = box
    picture -= (x0, y0)
    layer = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    mask = np.zeros(layer.shape[:2], np.uint8)
    shades = _sheet_shades(look, angles.mean(0))
    faces = (_shaded(front, shades[0], 1.0), _shaded(back[:, ::-1] if back is not front else back, shades[1], contrast))
    if back is front:  # a page that lies flat shows one face only, on the left its spine is at the right
        lies_left = points[0, -1, 0] < 0
        faces = (_shaded(front[:, ::-1] if lies_left else front, shades[1 if lies_left else 0], 1.0),) * 2
    heights = points[..., 2].mean(0)
    for i in np.argsort(heights[:-1] + heights[1:], kind="stable"):
        _draw_strip(layer, mask, picture[:, i : i + 2], faces, geometry.arc()[i : i + 2])
    soft = cv2.multiply(cv2.subtract(cv2.blur(mask, (3, 3)), 127), 2)  # the strips' rims are jagged; the print is not
    mask = cv2.min(soft, mask)
    layer = cv2.multiply(layer, cv2.merge([mask, mask, mask]), scale=1 / 255)
    if smear > 1:
        layer, mask = cv2.blur(layer, (smear | 1, 1)), cv2.blur(mask, (smear | 1, 1))
    _blend(canvas[y0:y1, x0:x1], layer, mask)


def _draw_strip(layer, mask, corners: np.ndarray, faces: tuple, span: np.ndarray) -> None:
    """Draw one strip, float32 [2 rows, 2 columns, 2], from the face that is turned up."""
    quad = np.array([corners[0, 0], corners[0, 1], corners[1, 1], corners[1, 0]], np.float32)
    area = cv2.contourArea(quad, True)
    face = faces[0] if area > 0 else faces[1]
    box = _box(quad, 1, layer.shape)
    if box is None:
        return
    x0, y0, x1, y1 = box
    quad = quad - np.array([x0, y0], np.float32)
    shape = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(shape, np.round(quad * 16).astype(np.int32), 255, shift=4)
    tall, long = face.shape[:2]
    left, right = span * long
    if abs(area) < 3:
        strip = np.full((*shape.shape, 3), face[tall // 2, min(int(left), long - 1)], np.uint8)
    else:
        source = np.array([(left, 0), (right, 0), (right, tall), (left, tall)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, quad)
        strip = cv2.warpPerspective(face, matrix, shape.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(strip, shape, layer[y0:y1, x0:x1])
    mask[y0:y1, x0:x1] |= shape


def _sheet_shades(look: Look, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How bright the front and the back of the sheet are along it, float [STRIPS + 1].

    By slope, and by the light that comes through the paper from its other side.
    """
    light = look.light.direction
    facing = -np.sin(angles) * light[0] + np.cos(angles) * light[2]
    front, back = np.maximum(facing, 0), np.maximum(-facing, 0)
    ambient = look.light.ambient
    return ambient + (1.03 - ambient) * front + 0.2 * back, ambient - 0.02 + (1.03 - ambient) * back + 0.2 * front


def _shaded(face: np.ndarray, shades: np.ndarray, contrast: float) -> np.ndarray:
    """The face with its light, and its print faded by `contrast` towards the paper as seen at a slant."""
    along = np.interp(np.linspace(0, 1, face.shape[1]), geometry.arc(), shades)
    if contrast < 1:
        paper = np.percentile(face[::8, ::8], 75, axis=(0, 1))
        face = cv2.addWeighted(face, contrast, np.full_like(face, paper), 1 - contrast, 0)
    factor = np.clip(along * 200, 0, 255).astype(np.uint8)
    return cv2.multiply(
        np.ascontiguousarray(face), np.broadcast_to(factor[None, :, None], face.shape).copy(), scale=1 / 200
    )


def _draw_hand(canvas: np.ndarray, hand: HandPose, sprite: tuple, wide: int, smear: int) -> None:
    picture, tip = sprite
    matrix = _hand_matrix(hand, tip, wide)
    tall, width = picture.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, tall), (0, tall)]) @ matrix[:, :2].T + matrix[:, 2]
    box = _box(corners, smear + 1, canvas.shape)
    if box is None:
        return
    x0, y0, x1, y1 = box
    matrix[:, 2] -= (x0, y0)
    layer = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    if smear > 1:
        layer = cv2.blur(layer, (smear | 1, max(smear // 2, 1) | 1))
    _blend(canvas[y0:y1, x0:x1], np.ascontiguousarray(layer[..., :3]), layer[..., 3])


def _hand_matrix(hand: HandPose, tip: tuple[float, float], wide: int) -> np.ndarray:
    """The affine map from the sprite to the canvas: its tip on the pose's tip, its forearm towards the elbow."""
    dx, dy = hand.elbow[0] - hand.tip[0], hand.elbow[1] - hand.tip[1]
    length = max(float(np.hypot(dx, dy)), 1e-6)
    cos, sin = dy / length * hand.scale, -dx / length * hand.scale
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = np.array(hand.tip) * wide - matrix[:, :2] @ np.array(tip)
    return matrix


def _blend(under: np.ndarray, layer: np.ndarray, mask: np.ndarray) -> None:
    """Lay `layer`, already multiplied by `mask`, over `under`, in place."""
    rest = 255 - mask
    cv2.multiply(under, cv2.merge([rest, rest, rest]), dst=under, scale=1 / 255)
    cv2.add(under, layer, dst=under)


def _box(points: np.ndarray, margin: int, shape: tuple) -> tuple[int, int, int, int] | None:
    """The part of the canvas (x0, y0, x1, y1) around the points; None when it is empty."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + margin + 1, (shape[1], shape[0]))
    if np.any(high - low < 2):
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
