"""Pixels: draws each moment of a script, layer by layer, and photographs it.

From below to above: desk and lying pages (drawn once per spread), shadows, hands at rest, the sheets in the air with
the hand behind, around or before them. What moves while the shutter is open is drawn several times and averaged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pageflip.synthetic.book import geometry, mesh
from pageflip.synthetic.book.pages import page_texture
from pageflip.synthetic.primitives import Box
from pageflip.synthetic.ranges import DEFAULT, Ranges
from pageflip.synthetic.stage import optics
from pageflip.synthetic.stage.clips import Clip
from pageflip.synthetic.stage.desks import desk_picture
from pageflip.synthetic.stage.hand_layers import People
from pageflip.synthetic.stage.looks import Look
from pageflip.synthetic.stage.motion import HandPose, Pose, Script, pose_at
from pageflip.synthetic.stage.scripts import OVER_AT, clip_script

_STEP = 2.5  # pixels that something may move between two moments of one exposure
_MOST_MOMENTS = 22
_SHADOW_STEP = 4
_SHOW_THROUGH = 0.4  # how dark the other face's print looks through a sheet, times the light that comes through
_BRIGHTEST = 246.0  # grey level above which hardly anything lies that is lit evenly


@dataclass(frozen=True)
class Frame:
    """One picture: uint8 [height, width, 3] RGB; `lift` of the sheet (0 lies flat), the pages that lie open or None,
    and the frame's number."""

    number: int
    image: np.ndarray
    lift: float
    pages: tuple[int, int] | None


def render_clip(clip: Clip, ranges: Ranges = DEFAULT) -> Iterator[Frame]:
    """Draw a clip frame by frame; the same clip and ranges give the same pixels."""
    yield from render_script(clip_script(clip, ranges), clip)


def render_script(script: Script, clip: Clip) -> Iterator[Frame]:
    """Draw the frames of a clip from its script, as kept in its scene.json."""
    stage = Stage(script, clip.width, clip.height)
    for number in clip.numbers:
        image, pose = stage.photograph((number - 1) * script.step)
        yield Frame(number, image, pose.lift, pose.pages)


class Stage:
    """Draws the moments of one script at one size. Holds a few page pictures and one spread; memory stays flat."""

    def __init__(self, script: Script, width: int, height: int) -> None:
        self.script, self.look = script, script.look
        self.wide, self.tall = width, height
        self.desk = desk_picture(self.look.desk, width, height)
        self.light = optics.light_map(self.look, width, height)
        self.grain = optics.grain(script.seed, self.look.sensor.noise, width, height)
        self._pages: dict[int, np.ndarray] = {}
        self.people = People(script, width, height)
        self._spread: tuple[tuple[int, int], np.ndarray] | None = None
        self._meter()

    def _meter(self) -> None:
        """Set the light map so that the first spread has the mean that the phone exposes for, as far as it can.

        Like a phone, it lets a dark desk stay dark rather than burn out the pages.
        """
        small = (self.wide // 8, self.tall // 8)
        scene = cv2.resize(self._lying(pose_at(self.script, 0.0)), small, interpolation=cv2.INTER_AREA)
        lit = cv2.multiply(scene, cv2.resize(self.light, small, interpolation=cv2.INTER_AREA), dtype=cv2.CV_32F)
        lit /= optics.LIGHT_UNIT
        gain = np.clip(self.look.sensor.metering / max(float(lit.mean()), 1.0), 0.55, 1.9) * self.look.light.exposure
        brightest = float(np.percentile(lit.max(2), 96))
        self.light = cv2.convertScaleAbs(self.light, alpha=float(min(gain, _BRIGHTEST / max(brightest, 1.0))))

    def photograph(self, t: float) -> tuple[np.ndarray, Pose]:
        """The picture taken at time t (frames): uint8 [height, width, 3] RGB, and the pose it is labelled by."""
        pose = pose_at(self.script, t)
        base = self._lying(pose).copy()
        self._shadows(base, pose)
        moments, scale = self._moments(t, pose)
        still = self._still_hands(moments)
        for hand, right in still:
            layer = np.zeros((self.tall, self.wide, 4), np.uint8)
            _compose(base, layer, self.people.draw(layer, hand, right))
        layer, box = self._exposed(moments, self._faces(pose, scale), scale, [right for _, right in still])
        if box is not None and scale < 1:
            layer = cv2.resize(layer, (self.wide, self.tall), interpolation=cv2.INTER_LINEAR)
            box = _scaled(box, 1 / scale, base.shape)
        _compose(base, layer, box)
        return self._develop(base, pose, t), pose

    def _exposed(self, moments: list[Pose], faces: list, scale: float, drawn: list[bool]) -> tuple:
        """What moves, averaged over the moments of one exposure: premultiplied RGBA of this scale, and its box."""
        layer = np.zeros((round(self.tall * scale), round(self.wide * scale), 4), np.uint8)
        if len(moments) == 1:
            return layer, self._moving(layer, moments[0], faces, scale, drawn)
        total, box = np.zeros(layer.shape, np.uint16), None
        for moment in moments:
            part = self._moving(layer, moment, faces, scale, drawn)
            if part is not None:
                x0, y0, x1, y1 = part
                total[y0:y1, x0:x1] += layer[y0:y1, x0:x1]
                layer[y0:y1, x0:x1] = 0
                box = _union(box, part)
        return cv2.convertScaleAbs(total, alpha=1 / len(moments)), box

    def _moments(self, t: float, middle: Pose) -> tuple[list[Pose], float]:
        """The poses that one exposure averages, and the scale to draw them at: what is smeared needs fewer pixels."""
        half = self.script.exposure / 2
        ends = [pose_at(self.script, t - half), pose_at(self.script, t + half)]
        travel = self._travel(*ends) * self.wide
        if travel < _STEP:
            return [middle], 1.0
        scale = 1.0 if travel < 2 * _STEP or self.wide < 400 else 0.5 if travel < 24 * _STEP else 0.25
        count = int(np.clip(np.ceil(travel * scale / _STEP) + 1, 2, _MOST_MOMENTS))
        poses = [pose_at(self.script, t + offset) for offset in np.linspace(-half, half, count)]
        # a sheet that lands or leaves during the exposure is drawn as it is in its middle, by which it is labelled
        poses = [pose for pose in poses if (pose.flip is None) == (middle.flip is None)] or [middle]
        layer = middle.turning.layer  # nor is a hand half before and half behind a sheet
        return [replace(pose, turning=replace(pose.turning, layer=layer)) for pose in poses], scale

    def _travel(self, one: Pose, two: Pose) -> float:
        """How many picture widths the hands and the sheets' edges move between two poses, at most."""
        phone = self.look.phone
        ways = [0.0]
        for a, b in ((one.turning, two.turning), (one.pinning, two.pinning)):
            points = geometry.project(phone, np.array([a.tip, b.tip]))
            if np.all(np.abs(points[0] - 0.5) < (1.2, phone.aspect)):
                ways.append(float(np.hypot(*(points[0] - points[1]))))
        if one.flip is not None and two.flip is not None:
            edges = [self._seen(pose, pose.progress)[0][:, -1] for pose in (one, two)]
            ways.append(float(np.abs(edges[0] - edges[1]).max()))
        return max(ways)

    def _still_hands(self, moments: list[Pose]) -> list[tuple[HandPose, bool]]:
        """The pinning hand, when it lies below all that moves and does not move itself: drawn once per exposure."""
        one, two = moments[0].pinning, moments[-1].pinning
        moved = np.hypot(one.tip[0] - two.tip[0], one.tip[1] - two.tip[1]) * self.wide
        return [(one, self.people.pins_with_right)] if moved < 1.0 else []

    def _seen(self, pose: Pose, progress: float) -> tuple[np.ndarray, np.ndarray]:
        """A sheet's mesh in the picture, in picture widths, and in space."""
        points = geometry.book_to_world(self.look.lying, geometry.sheet(self.look.lying, pose.flip.bend, progress))
        return geometry.project(self.look.phone, points), points

    def _page(self, number: int) -> np.ndarray:
        """A page's texture with the spine at its left; in a mirrored picture the pages change their sides."""
        if self.look.mirrored:
            number += 1 if number % 2 else -1
        if number not in self._pages:
            while len(self._pages) >= 8:
                self._pages.pop(next(iter(self._pages)))
            size = [max(int(length * self.wide * 1.1), 16) for length in self.look.lying.page]
            texture = page_texture(self.look.pages, self.look.book_seed, number, *size)
            self._pages[number] = texture if number % 2 else np.ascontiguousarray(texture[:, ::-1])
        return self._pages[number]

    def _lying(self, pose: Pose) -> np.ndarray:
        """The desk with the pages that lie; uint8 [tall, wide, 3]."""
        left, right = 2 * pose.spread, 2 * pose.spread + 1
        if pose.flip is not None:
            gone = 2 * pose.flip.leaves
            left, right = (left, right + gone) if pose.flip.bend.side > 0 else (left - gone, right)
        if self._spread is None or self._spread[0] != (left, right):
            canvas = self.desk.copy()
            _book_block(canvas, self.look)
            layer = np.zeros((self.tall, self.wide, 4), np.uint8)
            box = None
            for number, side, wave in ((left, -1, self.script.wave[0]), (right, 1, self.script.wave[1])):
                points = geometry.lying_page(self.look.lying, side, wave)
                shading = optics.paper_shading(self.look.light, points, side)[0]
                face = mesh.apply_shading(self._page(number), shading)
                space = geometry.book_to_world(self.look.lying, points)
                picture = geometry.project(self.look.phone, space) * self.wide
                box = _union(box, mesh.draw_mesh(layer, picture, space, (face, face), side))
            _compose(canvas, layer, box)
            self._spread = ((left, right), canvas)
        return self._spread[1]

    def _faces(self, pose: Pose, scale: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """The shaded faces of each sheet in the air: their shade hardly changes within an exposure."""
        faces = []
        for leaf, progress in enumerate(pose.sheets):
            side, step = pose.flip.bend.side, 2 * leaf
            front = 2 * pose.spread + (1 + step if side > 0 else -step)
            points = geometry.sheet(self.look.lying, pose.flip.bend, progress)
            both = optics.paper_shading(self.look.light, points, side)
            textures = [self._page(number) for number in (front, front + side)]
            if scale < 1:
                textures = [cv2.resize(t, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for t in textures]
            # a sheet that is about to lie down has dark paper behind it again
            upright = float(np.sin(np.pi * progress))
            shown, glow = _SHOW_THROUGH * self.look.light.through * upright, self.look.light.glow * upright
            bright = 240 * (glow - shown * (1 - glow))
            seen = [cv2.addWeighted(a, 1 - glow, b, shown * (1 - glow), bright) for a, b in (textures, textures[::-1])]
            faces.append((mesh.apply_shading(seen[0], both[0]), mesh.apply_shading(seen[1], both[1])))
        return faces

    def _shadows(self, canvas: np.ndarray, pose: Pose) -> None:
        """Darken what sheets and hands keep the light from; drawn coarsely and blurred, as shadows are."""
        light, wide = self.look.light, self.wide / _SHADOW_STEP
        shape = (self.tall // _SHADOW_STEP, self.wide // _SHADOW_STEP)
        cast, close = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        slant = np.clip(np.asarray(light.direction[:2]) / light.direction[2], -1.2, 1.2)
        height, floor = 0.05, (self.look.lying.left.edge + self.look.lying.right.edge) / 2
        for progress in pose.sheets:
            points = self._seen(pose, progress)[1]
            height = max(height, float(points[..., 2].max()))
            for mask, direction in ((cast, slant), (close, np.zeros(2))):
                fallen = points[:, ::2].copy()
                fallen[..., :2] -= np.maximum(fallen[..., 2:] - floor, 0) * direction
                fallen[..., 2] = floor
                outline = (geometry.project(self.look.phone, fallen) * wide * 16).astype(np.int32)
                for i, j in np.ndindex(outline.shape[0] - 1, outline.shape[1] - 1):
                    quad = outline[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
                    cv2.fillConvexPoly(mask, quad, 255, shift=4)
        pins_right = self.people.pins_with_right
        for hand, right in ((pose.turning, not pins_right), (pose.pinning, pins_right)):
            self.people.cast(cast, hand, right, slant, 1 / _SHADOW_STEP)
        strength = (1 - light.ambient) * (0.35 + 0.65 * light.hardness)
        sharp = cv2.GaussianBlur(cast, (0, 0), max(wide * (0.004 + 0.05 * height * (1.2 - light.hardness)), 0.7))
        soft = cv2.GaussianBlur(close, (0, 0), max(wide * 0.03, 0.8))
        dark = 255 - sharp * np.float32(0.75 * strength) - soft * np.float32(0.22)
        shade = cv2.resize(np.clip(dark, 0, 255).astype(np.uint8), (self.wide, self.tall))
        cv2.multiply(canvas, cv2.merge([shade, shade, shade]), dst=canvas, scale=1 / 255)

    def _moving(self, layer: np.ndarray, moment: Pose, faces: list, scale: float, drawn: list[bool]) -> Box | None:
        """Draw hands and sheets of one moment onto a layer, but for the hands that are drawn already."""
        pins_right = self.people.pins_with_right
        box = None
        if pins_right not in drawn:
            box = self.people.draw(layer, moment.pinning, pins_right, scale)
        hand, right = moment.turning, not pins_right
        if hand.layer != "over":
            within = moment.flip.bend.side if moment.flip and moment.progress < OVER_AT else 0
            box = _union(box, self.people.draw(layer, hand, right, scale, within=within))
        order = range(len(moment.sheets))
        if moment.progress < OVER_AT:
            order = reversed(order)  # the sheet that follows lies below while both rise
        for leaf in order:
            picture, points = self._seen(moment, moment.sheets[leaf])
            side = moment.flip.bend.side
            box = _union(
                box,
                mesh.draw_mesh(layer, picture * self.wide * scale, points, faces[leaf], side),
            )
        if hand.layer == "grip":
            # what faces the camera changes as the sheet is turned over
            shown = replace(hand, thumb_on_top=hand.thumb_on_top == (moment.progress < OVER_AT))
            box = _union(box, self.people.draw(layer, shown, right, scale, before=True))
        if hand.layer == "over":
            box = _union(box, self.people.draw(layer, hand, right, scale))
        return box

    def _develop(self, canvas: np.ndarray, pose: Pose, t: float) -> np.ndarray:
        """Let the light fall, shake the phone, and hand the picture to lens and sensor."""
        lit = cv2.multiply(canvas, self.light, scale=pose.gain / optics.LIGHT_UNIT)
        cos, sin = np.cos(pose.roll), np.sin(pose.roll)
        centre = np.array([self.wide / 2, self.tall / 2])
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        matrix[:, 2] = centre + np.asarray(pose.shift) * self.wide - matrix[:, :2] @ centre
        if self.look.mirrored:
            matrix = np.array([[-1.0, 0], [0, 1]]) @ matrix + np.array([[0, 0, self.wide - 1.0], [0, 0, 0]])
        size = (self.wide, self.tall)
        picture = cv2.warpAffine(lit, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        rng = np.random.default_rng([self.script.seed, 41, round(t * 100)])
        return optics.expose(picture, self.look.sensor, pose.blur, optics.cut_grain(self.grain, rng, *size))


def _compose(base: np.ndarray, layer: np.ndarray, box: Box | None) -> None:
    """Lay a premultiplied RGBA layer over an RGB picture, within the box that was drawn on."""
    if box is None:
        return
    x0, y0, x1, y1 = box
    part = layer[y0:y1, x0:x1]
    rest = 255 - part[..., 3]
    kept = cv2.multiply(base[y0:y1, x0:x1], cv2.merge([rest, rest, rest]), scale=1 / 255)
    base[y0:y1, x0:x1] = cv2.add(kept, cv2.cvtColor(part, cv2.COLOR_RGBA2RGB))


def _book_block(canvas: np.ndarray, look: Look) -> None:
    """The cover, the edges of the pages below, and the book's shadow on the desk."""
    wide = canvas.shape[1]
    tall = look.lying.page[1]
    paper = np.asarray(look.pages.paper)
    shadow = np.zeros((canvas.shape[0] // 4, canvas.shape[1] // 4), np.uint8)
    slices = []
    for side in (-1, 1):
        points = geometry.lying_page(look.lying, side)
        reach, top = abs(points[0, -1, 0]), points[0, -1, 2]
        for height in np.linspace(0, 1, 7):
            cover = height == 0.0
            out = reach + (look.cover_margin if cover else 0.0) + (1 - height) * 0.16 * top
            margin = look.cover_margin * 0.7 if cover else 0.0
            rim = np.array([(0, -tall / 2 - margin), (side * out, -tall / 2 - margin)])
            rim = np.vstack([rim, rim[::-1] * (1, -1)])
            flat = np.column_stack([rim, np.full(4, top * height)])
            quad = geometry.project(look.phone, geometry.book_to_world(look.lying, flat)) * wide
            colour = look.cover if cover else tuple(paper * (0.62 + 0.25 * ((height * 6) % 2) * 0.6 + 0.15 * height))
            slices.append((quad, colour))
    slant = np.asarray(look.light.direction[:2]) / look.light.direction[2]
    for quad, _ in slices:
        offset = -slant * 0.04 * wide
        cv2.fillConvexPoly(shadow, ((quad + offset) / 4).astype(np.int32), 130)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(wide / 160, 0.8))
    dark = cv2.resize(255 - shadow, canvas.shape[1::-1])
    cv2.multiply(canvas, cv2.merge([dark] * 3), dst=canvas, scale=1 / 255)
    for quad, colour in slices:
        cv2.fillConvexPoly(canvas, np.round(quad * 16).astype(np.int32), colour, cv2.LINE_AA, shift=4)


def _union(one: Box | None, two: Box | None) -> Box | None:
    if one is None or two is None:
        return one or two
    return (min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3]))


def _scaled(box: Box | None, grow: float, shape: tuple[int, ...]) -> Box | None:
    """A box of a smaller layer in the picture, with a pixel of that layer around it."""
    if box is None:
        return None
    x0, y0, x1, y1 = (round(v * grow) for v in (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1))
    return max(x0, 0), max(y0, 0), min(x1, shape[1]), min(y1, shape[0])
