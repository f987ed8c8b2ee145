"""Draws the hands of a script: which part of a hand lies before a sheet or a page, and which part behind.

Hands are drawn once per clip, by shape, when they are first seen, and only as far as their arms reach into the
picture; for each moment they are turned, scaled and moved.
"""

from typing import NamedTuple

import cv2
import numpy as np

from pageflip.synthetic.book import geometry
from pageflip.synthetic.hands.sprite import ARM_END, HandSprite, hand_sprite
from pageflip.synthetic.primitives import Box, bounding_box
from pageflip.synthetic.stage.motion import HandPose, Script, hand_poses

_LEAST_REACH = 0.7  # hand lengths of forearm, so that wrist, watch and cuff are always drawn
_AROUND = 0.55  # hand lengths that fingers reach around the tip
_COARSE = 4


class _Drawn(NamedTuple):
    """A hand as it is kept: its sprite, what of it is before a sheet that it holds with the thumb behind, the share
    of the thumb that no finger hides, and its outline coarsely, for shadows."""

    sprite: HandSprite
    front: np.ndarray
    thumb: np.ndarray
    outline: np.ndarray


class People:
    """The two hands of one script in pictures of one size."""

    def __init__(self, script: Script, wide: int, tall: int) -> None:
        self.script, self.look, self.wide, self.tall = script, script.look, wide, tall
        self.pins_with_right = script.turning.elbow[0] < 0.5
        self._drawn: dict[tuple[str, bool], _Drawn] = {}
        self._reaches: dict[tuple[str, bool], float] | None = None

    def seen(self, hand: HandPose) -> bool:
        """Whether any of a hand or its arm can be in the picture."""
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        ends, around = np.array([tip, hand.elbow]), _AROUND * self.look.hand_length
        high = np.array([1.0, self.look.phone.aspect]) + around
        return not ((ends < -around).all(0).any() or (ends > high).all(0).any())

    def draw(
        self,
        layer: np.ndarray,
        hand: HandPose,
        right: bool,
        scale: float = 1.0,
        *,
        before: bool = False,
        within: int = 0,
    ) -> Box | None:
        """Draw a hand over a premultiplied RGBA layer of that scale; returns the box it lies in.

        `before` draws only what is before a sheet that the hand holds: the thumb, or all but the thumb. `within` is
        the side (1 right, -1 left) of a sheet that the hand is below: it cannot reach past the spine.
        """
        if not self.seen(hand):
            return None
        drawn = self._hand(hand, right)
        picture = drawn.sprite.picture
        if before:
            picture = drawn.sprite.thumb if hand.thumb_on_top else drawn.front
        matrix = self._matrix(hand, drawn.sprite, scale)
        h, w = picture.shape[:2]
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], float) @ matrix[:, :2].T + matrix[:, 2]
        box = bounding_box(corners, 1, layer.shape)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        matrix[:, 2] -= (x0, y0)
        size = (x1 - x0, y1 - y0)
        placed = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
        if hand.layer == "tucked" and not before:
            placed = self._tuck(placed, drawn, hand, matrix, box, scale)
        if within:
            shown = 255 - self.page_mask(box, scale, (-within,))
            placed = cv2.multiply(placed, cv2.merge([shown] * 4), scale=1 / 255)
        lay(layer[y0:y1, x0:x1], placed)
        return box

    def _tuck(self, placed, drawn: _Drawn, hand: HandPose, matrix: np.ndarray, box: Box, scale: float):
        """Hide what is below a page that lies: all but the thumb, or the thumb alone."""
        size = placed.shape[1::-1]
        page = self.page_mask(box, scale)
        if hand.thumb_on_top:
            thumb = cv2.warpAffine(drawn.sprite.thumb, matrix, size, flags=cv2.INTER_LINEAR)
            placed = cv2.multiply(placed, cv2.merge([255 - page] * 4), scale=1 / 255)
            lay(placed, cv2.multiply(thumb, cv2.merge([page] * 4), scale=1 / 255))
            return placed
        thumb = cv2.warpAffine(drawn.thumb, matrix, size, flags=cv2.INTER_LINEAR)
        shown = 255 - cv2.multiply(thumb, page, scale=1 / 255)
        return cv2.multiply(placed, cv2.merge([shown] * 4), scale=1 / 255)

    def page_mask(self, box: Box, scale: float, sides: tuple[int, ...] = (-1, 1)) -> np.ndarray:
        """255 where a page of these sides lies, 0 elsewhere; uint8, for a box of a layer of that scale."""
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for side in sides:
            points = geometry.book_to_world(self.look.lying, geometry.lying_page(self.look.lying, side))
            rim = np.concatenate([points[0], points[1:, -1], points[-1, ::-1]])
            outline = geometry.project(self.look.phone, rim) * self.wide * scale - (x0, y0)
            cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, shift=4)
        return mask

    def cast(self, mask: np.ndarray, hand: HandPose, right: bool, slant: np.ndarray, scale: float) -> None:
        """Add a hand's shadow to a uint8 mask of that scale; `slant` is how far it falls for each unit of height.

        A hand that is tucked below a page throws none on it.
        """
        x, y, z = hand.tip
        floor = geometry.surface_height(self.look.lying, np.asarray(hand.tip))
        drop = min(max(z - floor, 0.0), 0.2) * 0.8 + 0.006
        below = (x - slant[0] * drop, y - slant[1] * drop, floor)
        fallen = HandPose(below, hand.elbow, hand.shape, "over", True)
        if not self.seen(fallen):
            return
        drawn = self._hand(hand, right)
        matrix = self._matrix(fallen, drawn.sprite, scale)
        matrix[:, 2] += matrix[:, :2] @ np.full(2, (_COARSE - 1) / 2)
        matrix[:, :2] *= _COARSE
        size = mask.shape[1::-1]
        shadow = cv2.warpAffine(drawn.outline, matrix, size, flags=cv2.INTER_LINEAR)
        if hand.layer == "tucked":
            shadow = cv2.subtract(shadow, self.page_mask((0, 0, *size), scale))
        cv2.max(mask, shadow, dst=mask)

    def _hand(self, hand: HandPose, right: bool) -> _Drawn:
        """The drawing of a hand in this shape, made when it is first seen and lit as it lies then."""
        if (hand.shape, right) not in self._drawn:
            length = max(int(self.look.hand_length * self.wide), 12)
            tip = geometry.project(self.look.phone, np.asarray(hand.tip))
            across, down = np.asarray(hand.elbow) - tip
            turn = np.arctan2(across, down)  # from the sprite's own axis, which points down
            x, y, z = self.look.light.direction
            light = (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z)
            seed = self.script.seed % 2**32 + (1 if right else 0)
            reach = self._reach(hand.shape, right)
            sprite = hand_sprite(self.look.hands, hand.shape, length, right, light, seed, reach)
            thumb = cv2.multiply(sprite.thumb[..., 3], 255 - sprite.fingers[..., 3], scale=1 / 255)
            front = cv2.multiply(sprite.picture, cv2.merge([255 - thumb] * 4), scale=1 / 255)
            size = [max(edge // _COARSE, 1) for edge in sprite.picture.shape[1::-1]]
            outline = cv2.resize(cv2.extractChannel(sprite.picture, 3), size, interpolation=cv2.INTER_AREA)
            self._drawn[hand.shape, right] = _Drawn(sprite, front, thumb, outline)
        return self._drawn[hand.shape, right]

    def _reach(self, shape: str, right: bool) -> float:
        """How much of the forearm is in the picture at any time, in hand lengths from the wrist."""
        if self._reaches is None:
            self._reaches = {}
            for turning, pinning in hand_poses(self.script):
                for hand, which in ((turning, not self.pins_with_right), (pinning, self.pins_with_right)):
                    known = self._reaches.get((hand.shape, which), _LEAST_REACH)
                    self._reaches[hand.shape, which] = max(known, self._shown_arm(hand))
        # in steps, and with room for the moments between those that were looked at
        return min(np.ceil(self._reaches.get((shape, right), ARM_END) * 2 + 0.8) / 2, ARM_END)

    def _shown_arm(self, hand: HandPose) -> float:
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        axis = np.asarray(hand.elbow) - tip
        axis = axis / max(float(np.hypot(*axis)), 1e-9)
        around = 0.4 * self.look.hand_length
        high = np.array([1.0, self.look.phone.aspect]) + around
        ways = [
            ((far if go > 0 else -around) - at) / go
            for at, go, far in zip(tip, axis, high, strict=True)
            if abs(go) > 0.05
        ]
        grow = geometry.magnification(self.look.phone, np.asarray(hand.tip))
        return min(max(min(ways), 0.0) / (self.look.hand_length * grow) - 0.5, ARM_END)

    def _matrix(self, hand: HandPose, sprite: HandSprite, scale: float) -> np.ndarray:
        """The affine float64 [2, 3] from a hand's sprite to a layer of this scale."""
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        axis = np.asarray(hand.elbow) - tip
        drawn = np.asarray(sprite.elbow) - np.asarray(sprite.tip)
        angle = np.arctan2(axis[1], axis[0]) - np.arctan2(drawn[1], drawn[0])
        grow = geometry.magnification(self.look.phone, hand.tip) * scale
        cos, sin = np.cos(angle) * grow, np.sin(angle) * grow
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        matrix[:, 2] = tip * self.wide * scale - matrix[:, :2] @ np.asarray(sprite.tip)
        return matrix


def lay(target: np.ndarray, drawn: np.ndarray) -> None:
    """Lay premultiplied RGBA over premultiplied RGBA of the same size."""
    rest = 255 - cv2.extractChannel(drawn, 3)
    target[:] = cv2.add(cv2.multiply(target, cv2.merge([rest] * 4), scale=1 / 255), drawn)
