"""Draws the hands of a script onto layers: the parts in front of a sheet or page, and the parts behind it.

A sprite is drawn per shape when it is first needed, with only as much of the forearm as the picture ever shows; for
each moment it is rotated, scaled and moved.
"""

from typing import NamedTuple

import cv2
import numpy as np

from pageflip.synthetic.book import geometry
from pageflip.synthetic.hands.sprite import ARM_END, HandSprite, hand_sprite
from pageflip.synthetic.primitives import Box, attenuate, bounding_box, composite, fill_polygon
from pageflip.synthetic.stage.motion import HandPose, Script, hand_poses

_MIN_REACH = 0.7  # hand lengths of forearm that are always drawn: wrist, watch and cuff
_FINGER_REACH = 0.55  # hand lengths that fingers reach around the tip
_COARSE = 4


class _PreparedHand(NamedTuple):
    """A sprite; what of it is in front of a sheet held with the thumb behind; the visible thumb; a coarse outline."""

    sprite: HandSprite
    front: np.ndarray
    thumb: np.ndarray
    outline: np.ndarray


class HandRenderer:
    """Draws the two hands of one script into pictures of one size."""

    def __init__(self, script: Script, wide: int, tall: int) -> None:
        self.script, self.look, self.wide, self.tall = script, script.look, wide, tall
        self.pins_with_right = script.turning.elbow[0] < 0.5
        self._prepared: dict[tuple[str, bool], _PreparedHand] = {}
        self._reaches: dict[tuple[str, bool], float] | None = None

    def _is_visible(self, hand: HandPose) -> bool:
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        ends, around = np.array([tip, hand.elbow]), _FINGER_REACH * self.look.hand_length
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
        """Draw a hand onto a layer.

        Args:
            layer: premultiplied RGBA at `scale`, modified in place.
            hand: where the hand is.
            right: whether it is a right hand.
            scale: the layer's size relative to the picture.
            before: draw only what is in front of a sheet that the hand holds: the thumb, or all but the thumb.
            within: side (1 right, -1 left) of a sheet above the hand, which cannot reach past the spine.

        Returns:
            The pixel box of the hand; None when it is outside the picture.
        """
        if not self._is_visible(hand):
            return None
        prepared = self._prepare(hand, right)
        picture = prepared.sprite.picture
        if before:
            picture = prepared.sprite.thumb if hand.thumb_on_top else prepared.front
        matrix = self._sprite_matrix(hand, prepared.sprite, scale)
        h, w = picture.shape[:2]
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], float) @ matrix[:, :2].T + matrix[:, 2]
        box = bounding_box(corners, 1, layer.shape)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        matrix[:, 2] -= (x0, y0)
        placed = cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        if hand.layer == "tucked" and not before:
            placed = self._tuck(placed, prepared, hand, matrix, self.page_mask(box, scale))
        if within:
            placed = attenuate(placed, 255 - self.page_mask(box, scale, (-within,)))
        composite(layer[y0:y1, x0:x1], placed)
        return box

    def _tuck(
        self, placed: np.ndarray, prepared: _PreparedHand, hand: HandPose, matrix: np.ndarray, page: np.ndarray
    ) -> np.ndarray:
        """Hide the part of a hand that is below a lying page: all but the thumb, or only the thumb."""
        size = (page.shape[1], page.shape[0])
        if hand.thumb_on_top:
            thumb = cv2.warpAffine(prepared.sprite.thumb, matrix, size, flags=cv2.INTER_LINEAR)
            placed = attenuate(placed, 255 - page)
            composite(placed, attenuate(thumb, page))
            return placed
        thumb = cv2.warpAffine(prepared.thumb, matrix, size, flags=cv2.INTER_LINEAR)
        return attenuate(placed, 255 - cv2.multiply(thumb, page, scale=1 / 255))

    def page_mask(self, box: Box, scale: float, sides: tuple[int, ...] = (-1, 1)) -> np.ndarray:
        """Return a mask, uint8, that is 255 on the lying pages of these sides, for a box of a layer at `scale`."""
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for side in sides:
            points = geometry.book_to_world(self.look.lying, geometry.lying_page(self.look.lying, side))
            rim = np.concatenate([points[0], points[1:, -1], points[-1, ::-1]])
            outline = geometry.project(self.look.phone, rim) * self.wide * scale - (x0, y0)
            fill_polygon(mask, outline, 255, cv2.LINE_8)
        return mask

    def cast_shadow(self, mask: np.ndarray, hand: HandPose, right: bool, slant: np.ndarray, scale: float) -> None:
        """Add a hand's shadow to a uint8 mask at `scale`; `slant` is its horizontal offset per unit of height.

        A hand that is tucked below a page casts none on it.
        """
        x, y, z = hand.tip
        floor = geometry.surface_height(self.look.lying, np.asarray(hand.tip))
        drop = min(max(z - floor, 0.0), 0.2) * 0.8 + 0.006
        fallen = HandPose((x - slant[0] * drop, y - slant[1] * drop, floor), hand.elbow, hand.shape, "over", True)
        if not self._is_visible(fallen):
            return
        prepared = self._prepare(hand, right)
        matrix = self._sprite_matrix(fallen, prepared.sprite, scale)
        matrix[:, 2] += matrix[:, :2] @ np.full(2, (_COARSE - 1) / 2)
        matrix[:, :2] *= _COARSE
        wide, tall = mask.shape[1], mask.shape[0]
        shadow = cv2.warpAffine(prepared.outline, matrix, (wide, tall), flags=cv2.INTER_LINEAR)
        if hand.layer == "tucked":
            shadow = cv2.subtract(shadow, self.page_mask((0, 0, wide, tall), scale))
        cv2.max(mask, shadow, dst=mask)

    def _prepare(self, hand: HandPose, right: bool) -> _PreparedHand:
        """Return the sprite of a hand in this shape; drawn when first needed, and lit for its direction then."""
        if (hand.shape, right) not in self._prepared:
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
            front = attenuate(sprite.picture, 255 - thumb)
            size = [max(edge // _COARSE, 1) for edge in sprite.picture.shape[1::-1]]
            outline = cv2.resize(cv2.extractChannel(sprite.picture, 3), size, interpolation=cv2.INTER_AREA)
            self._prepared[hand.shape, right] = _PreparedHand(sprite, front, thumb, outline)
        return self._prepared[hand.shape, right]

    def _reach(self, shape: str, right: bool) -> float:
        """Return how much of the forearm is ever in the picture, in hand lengths from the wrist."""
        if self._reaches is None:
            self._reaches = {}
            for turning, pinning in hand_poses(self.script):
                for hand, side in ((turning, not self.pins_with_right), (pinning, self.pins_with_right)):
                    known = self._reaches.get((hand.shape, side), _MIN_REACH)
                    self._reaches[hand.shape, side] = max(known, self._visible_forearm(hand))
        # rounded up, with a margin for the moments between those that were sampled
        return min(np.ceil(self._reaches.get((shape, right), ARM_END) * 2 + 0.8) / 2, ARM_END)

    def _visible_forearm(self, hand: HandPose) -> float:
        """Return how much of the forearm is in the picture, in hand lengths from the wrist."""
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        axis = np.asarray(hand.elbow) - tip
        axis = axis / max(float(np.hypot(*axis)), 1e-9)
        around = 0.4 * self.look.hand_length
        high = np.array([1.0, self.look.phone.aspect]) + around
        lengths = [
            ((end if step > 0 else -around) - start) / step
            for start, step, end in zip(tip, axis, high, strict=True)
            if abs(step) > 0.05
        ]
        magnification = geometry.magnification(self.look.phone, hand.tip)
        return min(max(min(lengths), 0.0) / (self.look.hand_length * magnification) - 0.5, ARM_END)

    def _sprite_matrix(self, hand: HandPose, sprite: HandSprite, scale: float) -> np.ndarray:
        """Return the affine matrix, float64 [2, 3], from a sprite to a layer at `scale`."""
        tip = geometry.project(self.look.phone, np.asarray(hand.tip))
        axis = np.asarray(hand.elbow) - tip
        drawn = np.asarray(sprite.elbow) - np.asarray(sprite.tip)
        angle = np.arctan2(axis[1], axis[0]) - np.arctan2(drawn[1], drawn[0])
        grow = geometry.magnification(self.look.phone, hand.tip) * scale
        cos, sin = np.cos(angle) * grow, np.sin(angle) * grow
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        matrix[:, 2] = tip * self.wide * scale - matrix[:, :2] @ np.asarray(sprite.tip)
        return matrix
