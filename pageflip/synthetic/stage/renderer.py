"""Renders the frames of a script, layer by layer.

From back to front: desk and lying pages (rendered once per spread), shadows, hands at rest, the sheets in the air with
the hand behind, around or in front of them. Whatever moves while the shutter is open is rendered several times and
averaged (motion blur).
"""

from dataclasses import replace

import cv2
import numpy as np

from pageflip.synthetic.book import geometry, mesh
from pageflip.synthetic.book.pages import page_texture
from pageflip.synthetic.primitives import SUBPIXEL_BITS, Box, attenuate, composite, fixed_point, union
from pageflip.synthetic.stage import optics
from pageflip.synthetic.stage.desks import desk_picture
from pageflip.synthetic.stage.hand_layers import HandRenderer
from pageflip.synthetic.stage.looks import Look
from pageflip.synthetic.stage.motion import FlipMotion, HandPose, SceneState, Script, state_at
from pageflip.synthetic.stage.scripts import UPRIGHT

_MAX_STEP = 2.5  # pixels that anything may move between two samples of one exposure
_MAX_SAMPLES = 22
_SHADOW_STEP = 4
_SHOW_THROUGH = 0.4  # contrast of the other face's print, times the light that comes through the sheet
_MAX_LEVEL = 246.0  # grey level that the brightest evenly lit parts are exposed for

_Faces = list[tuple[np.ndarray, np.ndarray]]  # front and back of each sheet in the air


class Renderer:
    """Renders a script at one picture size; keeps a few page textures and one spread in memory."""

    def __init__(self, script: Script, width: int, height: int) -> None:
        self.script, self.look = script, script.look
        self.wide, self.tall = width, height
        self.hands = HandRenderer(script, width, height)
        self._desk = desk_picture(self.look.desk, width, height)
        self._noise = optics.noise_tile(script.seed, self.look.sensor.noise, width, height)
        self._pages: dict[int, np.ndarray] = {}
        self._spread: tuple[tuple[int, int], np.ndarray] | None = None
        self._light = self._metered_light()

    def _metered_light(self) -> np.ndarray:
        """Return the light map, scaled so that the first spread has the mean level that the phone exposes for.

        As on a phone, a dark desk stays dark where the pages would be overexposed otherwise.
        """
        light = optics.light_map(self.look, self.wide, self.tall)
        small = (self.wide // 8, self.tall // 8)
        scene = cv2.resize(self._lying(state_at(self.script, 0.0)), small, interpolation=cv2.INTER_AREA)
        lit = cv2.multiply(scene, cv2.resize(light, small, interpolation=cv2.INTER_AREA), dtype=cv2.CV_32F)
        lit = lit / np.float32(optics.LIGHT_UNIT)
        gain = np.clip(self.look.sensor.metering / max(float(lit.mean()), 1.0), 0.55, 1.9) * self.look.light.exposure
        brightest = float(np.percentile(lit.max(2), 96))
        return cv2.convertScaleAbs(light, alpha=float(min(gain, _MAX_LEVEL / max(brightest, 1.0))))

    def render(self, t: float) -> tuple[np.ndarray, SceneState]:
        """Return the picture at time t in frames, uint8 [height, width, 3] RGB, and the state that labels it."""
        state = state_at(self.script, t)
        base = self._lying(state).copy()
        self._cast_shadows(base, state)
        samples, scale = self._exposure_samples(t, state)
        still = self._still_hands(samples)
        for hand, right in still:
            layer = np.zeros((self.tall, self.wide, 4), np.uint8)
            _composite_box(base, layer, self.hands.draw(layer, hand, right))
        moving, box = self._average(samples, self._shaded_faces(state, scale), scale, [right for _, right in still])
        if box is not None and scale < 1:
            moving = cv2.resize(moving, (self.wide, self.tall), interpolation=cv2.INTER_LINEAR)
            box = _enlarged(box, 1 / scale, base.shape)
        _composite_box(base, moving, box)
        return self._photograph(base, state, t), state

    def _average(
        self, samples: list[SceneState], faces: _Faces, scale: float, drawn: list[bool]
    ) -> tuple[np.ndarray, Box | None]:
        """Return whatever moves, averaged over one exposure: premultiplied RGBA at `scale`, and its box."""
        layer = np.zeros((round(self.tall * scale), round(self.wide * scale), 4), np.uint8)
        if len(samples) == 1:
            return layer, self._draw_moving(layer, samples[0], faces, scale, drawn)
        total = np.zeros(layer.shape, np.uint16)
        box: Box | None = None
        for state in samples:
            part = self._draw_moving(layer, state, faces, scale, drawn)
            if part is not None:
                x0, y0, x1, y1 = part
                total[y0:y1, x0:x1] += layer[y0:y1, x0:x1]
                layer[y0:y1, x0:x1] = 0
                box = union(box, part)
        return cv2.convertScaleAbs(total, alpha=1 / len(samples)), box

    def _exposure_samples(self, t: float, middle: SceneState) -> tuple[list[SceneState], float]:
        """Return the states that one exposure averages, and the scale to render them at: blur needs fewer pixels."""
        half = self.script.exposure / 2
        travel = self._travel(state_at(self.script, t - half), state_at(self.script, t + half)) * self.wide
        if travel < _MAX_STEP:
            return [middle], 1.0
        scale = 1.0 if travel < 2 * _MAX_STEP or self.wide < 400 else 0.5 if travel < 24 * _MAX_STEP else 0.25
        count = int(np.clip(np.ceil(travel * scale / _MAX_STEP) + 1, 2, _MAX_SAMPLES))
        states = [state_at(self.script, t + offset) for offset in np.linspace(-half, half, count)]
        # the label follows the middle of the exposure: a sheet that lands or leaves meanwhile is drawn as it is then
        states = [state for state in states if (state.flip is None) == (middle.flip is None)] or [middle]
        layer = middle.turning.layer  # nor may a hand be partly behind and partly in front of a sheet
        return [replace(state, turning=replace(state.turning, layer=layer)) for state in states], scale

    def _travel(self, one: SceneState, two: SceneState) -> float:
        """Return the largest movement of hands and sheet edges between two states, in picture widths."""
        camera = self.look.phone
        lengths = [0.0]
        for a, b in ((one.turning, two.turning), (one.pinning, two.pinning)):
            points = geometry.project(camera, np.array([a.tip, b.tip]))
            if np.all(np.abs(points[0] - 0.5) < (1.2, camera.aspect)):
                lengths.append(float(np.hypot(*(points[0] - points[1]))))
        if one.flip is not None and two.flip is not None:
            edges = [self._project_sheet(*state.sheets[0])[0][:, -1] for state in (one, two)]
            lengths.append(float(np.abs(edges[0] - edges[1]).max()))
        return max(lengths)

    def _still_hands(self, samples: list[SceneState]) -> list[tuple[HandPose, bool]]:
        """Return the pinning hand if it does not move: it lies below all that moves, and is drawn once per exposure."""
        one, two = samples[0].pinning, samples[-1].pinning
        moved = np.hypot(one.tip[0] - two.tip[0], one.tip[1] - two.tip[1]) * self.wide
        return [(one, self.hands.pins_with_right)] if moved < 1.0 else []

    def _project_sheet(self, flip: FlipMotion, progress: float) -> tuple[np.ndarray, np.ndarray]:
        """Return a sheet's mesh in the picture, in picture widths, and in world axes."""
        points = geometry.book_to_world(self.look.lying, geometry.sheet(self.look.lying, flip.bend, progress))
        return geometry.project(self.look.phone, points), points

    def _page(self, number: int) -> np.ndarray:
        """Return a page's texture with the spine at its left; in a mirrored picture the pages swap sides."""
        if self.look.mirrored:
            number += 1 if number % 2 else -1
        if number not in self._pages:
            while len(self._pages) >= 8:
                self._pages.pop(next(iter(self._pages)))
            width, height = (max(int(length * self.wide * 1.1), 16) for length in self.look.lying.page)
            texture = page_texture(self.look.pages, self.look.book_seed, number, width, height)
            self._pages[number] = texture if number % 2 else np.ascontiguousarray(texture[:, ::-1])
        return self._pages[number]

    def _lying(self, state: SceneState) -> np.ndarray:
        """Return the desk with the lying pages, uint8 [tall, wide, 3]."""
        left, right = 2 * state.spread, 2 * state.spread + 1
        if state.flip is not None:
            gone = 2 * state.flip.leaves
            left, right = (left, right + gone) if state.flip.bend.side > 0 else (left - gone, right)
        if self._spread is None or self._spread[0] != (left, right):
            canvas = self._desk.copy()
            _draw_book_block(canvas, self.look)
            layer = np.zeros((self.tall, self.wide, 4), np.uint8)
            box: Box | None = None
            for number, side, wave in ((left, -1, self.script.wave[0]), (right, 1, self.script.wave[1])):
                points = geometry.lying_page(self.look.lying, side, wave)
                face = mesh.apply_shading(self._page(number), optics.paper_shading(self.look.light, points, side)[0])
                world = geometry.book_to_world(self.look.lying, points)
                picture = geometry.project(self.look.phone, world) * self.wide
                box = union(box, mesh.draw_mesh(layer, picture, world, (face, face), side))
            _composite_box(canvas, layer, box)
            self._spread = ((left, right), canvas)
        return self._spread[1]

    def _shaded_faces(self, state: SceneState, scale: float) -> _Faces:
        """Return the shaded faces of each sheet in the air; one shading serves a whole exposure."""
        light, faces = self.look.light, []
        for leaf, (flip, progress) in enumerate(state.sheets):
            side = flip.bend.side
            front = 2 * state.spread + (1 + 2 * leaf if side > 0 else -2 * leaf)
            shading = optics.paper_shading(light, geometry.sheet(self.look.lying, flip.bend, progress), side)
            textures = [self._page(number) for number in (front, front + side)]
            if scale < 1:
                textures = [cv2.resize(t, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for t in textures]
            # a sheet that is about to lie down has dark paper behind it again
            upright = float(np.sin(np.pi * progress))
            shown, glow = _SHOW_THROUGH * light.through * upright, light.glow * upright
            bright = 240 * (glow - shown * (1 - glow))
            a, b = (
                cv2.addWeighted(near, 1 - glow, far, shown * (1 - glow), bright)
                for near, far in (textures, textures[::-1])
            )
            faces.append((mesh.apply_shading(a, shading[0]), mesh.apply_shading(b, shading[1])))
        return faces

    def _cast_shadows(self, canvas: np.ndarray, state: SceneState) -> None:
        """Darken the shadows of sheets and hands in place; rendered at a quarter of the resolution and blurred."""
        light, wide = self.look.light, self.wide / _SHADOW_STEP
        shape = (self.tall // _SHADOW_STEP, self.wide // _SHADOW_STEP)
        cast, contact = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        slant = np.clip(np.asarray(light.direction[:2]) / light.direction[2], -1.2, 1.2)
        height, floor = 0.05, (self.look.lying.left.edge + self.look.lying.right.edge) / 2
        for flip, progress in state.sheets:
            points = self._project_sheet(flip, progress)[1]
            height = max(height, float(points[..., 2].max()))
            for mask, direction in ((cast, slant), (contact, np.zeros(2))):
                fallen = points[:, ::2].copy()
                fallen[..., :2] -= np.maximum(fallen[..., 2:] - floor, 0) * direction
                fallen[..., 2] = floor
                outline = (geometry.project(self.look.phone, fallen) * wide * 2**SUBPIXEL_BITS).astype(np.int32)
                for i, j in np.ndindex(outline.shape[0] - 1, outline.shape[1] - 1):
                    quad = outline[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]]
                    cv2.fillConvexPoly(mask, quad, 255, shift=SUBPIXEL_BITS)
        pins_right = self.hands.pins_with_right
        for hand, right in ((state.turning, not pins_right), (state.pinning, pins_right)):
            self.hands.cast_shadow(cast, hand, right, slant, 1 / _SHADOW_STEP)
        strength = (1 - light.ambient) * (0.35 + 0.65 * light.hardness)
        sharp = cv2.GaussianBlur(cast, (0, 0), max(wide * (0.004 + 0.05 * height * (1.2 - light.hardness)), 0.7))
        soft = cv2.GaussianBlur(contact, (0, 0), max(wide * 0.03, 0.8))
        left = 255 - sharp * np.float32(0.75 * strength) - soft * np.float32(0.22)
        canvas[:] = attenuate(canvas, cv2.resize(np.clip(left, 0, 255).astype(np.uint8), (self.wide, self.tall)))

    def _draw_moving(
        self, layer: np.ndarray, state: SceneState, faces: _Faces, scale: float, drawn: list[bool]
    ) -> Box | None:
        """Draw hands and sheets onto a layer, except the hands (right or not) in `drawn`; return the box of them."""
        pins_right = self.hands.pins_with_right
        box: Box | None = None
        if pins_right not in drawn:
            box = self.hands.draw(layer, state.pinning, pins_right, scale)
        hand, right = state.turning, not pins_right
        if hand.layer != "over":
            within = state.flip.bend.side if state.flip and state.progress < UPRIGHT else 0
            box = union(box, self.hands.draw(layer, hand, right, scale, within=within))
        sheets = list(zip(state.sheets, faces, strict=True))
        # the sheet that follows lies below while both rise
        for (flip, progress), sides in sheets[::-1] if state.progress < UPRIGHT else sheets:
            picture, points = self._project_sheet(flip, progress)
            box = union(box, mesh.draw_mesh(layer, picture * self.wide * scale, points, sides, flip.bend.side))
        if hand.layer == "grip":
            # the side of the hand that faces the camera changes as the sheet is turned over
            shown = replace(hand, thumb_on_top=hand.thumb_on_top == (state.progress < UPRIGHT))
            box = union(box, self.hands.draw(layer, shown, right, scale, before=True))
        if hand.layer == "over":
            box = union(box, self.hands.draw(layer, hand, right, scale))
        return box

    def _photograph(self, canvas: np.ndarray, state: SceneState, t: float) -> np.ndarray:
        """Light the scene, apply the phone's shake, lens and sensor."""
        lit = cv2.multiply(canvas, self._light, scale=state.gain / optics.LIGHT_UNIT)
        cos, sin = np.cos(state.roll), np.sin(state.roll)
        centre = np.array([self.wide / 2, self.tall / 2])
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        matrix[:, 2] = centre + np.asarray(state.shift) * self.wide - matrix[:, :2] @ centre
        if self.look.mirrored:
            matrix = np.array([[-1.0, 0], [0, 1]]) @ matrix + np.array([[0, 0, self.wide - 1.0], [0, 0, 0]])
        size = (self.wide, self.tall)
        picture = cv2.warpAffine(lit, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        rng = np.random.default_rng([self.script.seed, 41, round(t * 100)])
        noise = optics.crop_noise(self._noise, rng, *size)
        return optics.photograph(picture, self.look.sensor, state.blur, noise)


def _composite_box(base: np.ndarray, layer: np.ndarray, box: Box | None) -> None:
    if box is not None:
        x0, y0, x1, y1 = box
        composite(base[y0:y1, x0:x1], layer[y0:y1, x0:x1])


def _draw_book_block(canvas: np.ndarray, look: Look) -> None:
    """Draw the cover, the edges of the pages below, and the book's shadow on the desk in place."""
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
    offset = -np.asarray(look.light.direction[:2]) / look.light.direction[2] * 0.04 * wide
    for quad, _ in slices:
        cv2.fillConvexPoly(shadow, ((quad + offset) / 4).astype(np.int32), 130)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(wide / 160, 0.8))
    canvas[:] = attenuate(canvas, cv2.resize(255 - shadow, canvas.shape[1::-1]))
    for quad, colour in slices:
        cv2.fillConvexPoly(canvas, fixed_point(quad), colour, cv2.LINE_AA, shift=SUBPIXEL_BITS)


def _enlarged(box: Box, scale: float, shape: tuple[int, ...]) -> Box:
    """Return a box of a smaller layer in the picture, with a pixel of that layer around it."""
    x0, y0, x1, y1 = (round(v * scale) for v in (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1))
    return max(x0, 0), max(y0, 0), min(x1, shape[1]), min(y1, shape[0])
