"""Skeleton of a hand: joints of fingers and thumb, and the direction of the forearm.

Lengths are in hand lengths (wrist crease to middle fingertip). The origin is the wrist, fingers point up (-y), heights
point to the viewer, and the hand is a left one seen from its back: its thumb is on the right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pageflip.synthetic.hands.styles import HandStyle

SHAPES = ("flat", "spread", "point", "pinch", "rest", "reach", "curl")
# Positions of the knuckles, lengths of the phalanges and radii, from the index to the little finger.
_KNUCKLES = ((0.165, -0.455), (0.050, -0.490), (-0.068, -0.465), (-0.168, -0.400))
_BONES = ((0.225, 0.140, 0.120), (0.240, 0.155, 0.125), (0.225, 0.150, 0.125), (0.175, 0.110, 0.110))
FINGER_RADII = (0.0655, 0.0665, 0.0625, 0.0535)
_THUMB_ROOT, _THUMB_BONES, THUMB_RADIUS = (0.10, -0.10), (0.27, 0.19, 0.165), 0.076
# Positions along a finger in phalanges (1 and 2 are its joints), and its half width there in radii.
ALONG = (0.0, 0.5, 0.8, 1.0, 1.25, 1.65, 1.9, 2.05, 2.3, 2.7, 3.0)
FINGER_GIRTH = (1.04, 0.99, 0.98, 1.0, 0.95, 0.86, 0.85, 0.86, 0.81, 0.74, 0.64)
THUMB_GIRTH = (1.15, 1.08, 1.0, 1.02, 0.98, 0.84, 0.86, 0.89, 0.90, 0.80, 0.62)
# Angles in degrees. Index to little finger: rotation towards the thumb, flexion of the three joints.
# The thumb: rotation of its three bones, then their pitch below the horizontal.
_SHAPE_ANGLES = {
    "flat": (((3, 6, 4, 6), (0, 6, 3, 5), (-4, 6, 4, 6), (-10, 8, 6, 8)), (42, 4, -10), (4, 4, 6)),
    "spread": (((15, 6, 3, 5), (2, 5, 3, 5), (-12, 6, 4, 5), (-29, 8, 5, 8)), (50, 30, 22), (4, 4, 6)),
    "point": (((4, 4, 4, 5), (2, 48, 82, 42), (-3, 52, 84, 44), (-9, 52, 82, 44)), (27, -20, -34), (5, 8, 8)),
    "pinch": (((1, 24, 38, 26), (0, 27, 42, 28), (-6, 32, 46, 30), (-14, 34, 46, 32)), (23, -2, -14), (14, 22, 10)),
    "rest": (((7, 14, 26, 16), (1, 18, 32, 20), (-5, 20, 34, 22), (-14, 20, 32, 22)), (36, 2, -14), (8, 8, 10)),
    "reach": (((2, 5, 8, 8), (0, 4, 6, 6), (-2, 6, 8, 8), (-5, 8, 10, 10)), (52, 38, 44), (4, 4, 4)),
    "curl": (((3, 14, 72, 40), (0, 15, 74, 40), (-4, 17, 72, 40), (-9, 20, 68, 40)), (40, 12, -4), (8, 14, 14)),
}


@dataclass(frozen=True)
class Skeleton:
    """Joints of one hand in one shape.

    Attributes:
        chains: joints, float [4, 3] each: thumb, then index to little finger.
        knuckle_bends: flexion of the knuckles in degrees, index to little finger.
        joint_bends: flexion of the next joints.
        arm_turn: rotation of the forearm in radians.
        floor: height of the lowest point.
        tip: point (x, y) that the hand works with.
    """

    chains: tuple[np.ndarray, ...]
    knuckle_bends: tuple[float, ...]
    joint_bends: tuple[float, ...]
    arm_turn: float
    floor: float
    tip: tuple[float, float]


def build_skeleton(style: HandStyle, shape: str, rng: np.random.Generator) -> Skeleton:
    """Return the skeleton of a hand in the given shape, with random deviations of all angles."""
    fingers, thumb_turns, thumb_falls = _SHAPE_ANGLES[shape]
    loose = rng.normal(0, 1, (4, 4)) * (2.2, 2.5, 3.0, 3.0) + rng.normal(0, 1, 4) * (0.8, 3.0, 4.0, 3.0)
    sway = rng.normal(0, 2.0)
    chains, tips = [], []
    for number, (angles, extra) in enumerate(zip(fingers, loose, strict=True)):
        turn, *bends = np.asarray(angles, float) + extra + (sway, 0, 0, 0)
        bones = np.array(_BONES[number]) * style.longer[number]
        tip_round = FINGER_RADII[number] * style.slender * FINGER_GIRTH[-1]
        bones[2] -= 0.95 * tip_round
        start = (*_KNUCKLES[number], 0.094)
        chains.append(_chain(start, np.radians(turn) + np.zeros(3), np.radians(np.cumsum(bends)), bones))
        tips.append(chains[-1][-1][:2])
    turns = np.radians(np.array(thumb_turns) + rng.normal(0, 1, 3) * (3, 4, 4) + rng.normal(0, 4))
    bones = np.array(_THUMB_BONES) - (0, 0, 0.95 * THUMB_RADIUS * THUMB_GIRTH[-1])
    thumb = _chain((*_THUMB_ROOT, 0.075), turns, np.radians(np.array(thumb_falls)), bones)
    if shape == "pinch":
        thumb = _aim_thumb(thumb, tips[0] + (0.05, 0.03))
    place = tips[0 if shape == "point" else 1]
    if shape == "pinch":
        place = 0.3 * (tips[0] + tips[1]) + 0.4 * thumb[3][:2]
    arm_turn = float(np.radians(np.clip(rng.normal(4, 7), -12, 17)))
    bends = np.array([angles[1:3] for angles in fingers], float)
    floor = min(0.0, float(min(chain[:, 2].min() for chain in (thumb, *chains))) - 0.03)
    tip = (float(place[0]), float(place[1]) - 0.02)
    return Skeleton((thumb, *chains), tuple(bends[:, 0]), tuple(bends[:, 1]), arm_turn, floor, tip)


def _chain(start: ArrayLike, turns: np.ndarray, falls: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Return the joints, float [4, 3], of bones with these rotations from straight up and pitches below horizontal."""
    level = bones * np.cos(falls)
    steps = np.stack([np.sin(turns) * level, -np.cos(turns) * level, -np.sin(falls) * bones], 1)
    return np.vstack([start, np.asarray(start) + np.cumsum(steps, 0)])


def _aim_thumb(thumb: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Rotate the thumb's two outer bones to a goal (x, y); if they are too long for it, they bend."""
    way = goal - thumb[1][:2]
    bones = np.linalg.norm(np.diff(thumb, axis=0), axis=1)[1:]
    far = float(np.clip(np.hypot(*way), 0.05, bones.sum() * 0.985))
    first = np.arccos(np.clip((bones[0] ** 2 + far**2 - bones[1] ** 2) / (2 * bones[0] * far), -1, 1))
    angle = np.arctan2(way[0], -way[1]) + first * 0.6
    joint = thumb[1][:2] + bones[0] * np.array([np.sin(angle), -np.cos(angle)]) * np.cos(first * 0.5)
    end = thumb[1][:2] + way / max(float(np.hypot(*way)), 1e-6) * far
    return np.vstack([thumb[:2], [*joint, -0.04], [*end, -0.19]])
