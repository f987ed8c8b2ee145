"""Who a hand belongs to and where its bones lie; what they look like is drawn elsewhere.

Lengths are in hand lengths (wrist crease to middle fingertip), the origin is the wrist, fingers point up (-y), heights
grow to the viewer, and the hand is a left one seen from its back: its thumb is on the right.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
SHAPES = ("flat", "spread", "point", "pinch", "rest", "reach", "curl")
PATTERNS = ("plain", "heather", "stripes", "hoops", "check", "ribs")
_TONES = (  # from the lightest to the darkest skin
    (246, 202, 178),
    (238, 182, 151),
    (221, 160, 126),
    (199, 137, 101),
    (155, 100, 71),
    (108, 69, 50),
    (73, 47, 37),
)
_VARNISH = ((150, 18, 36), (206, 60, 92), (232, 176, 180), (60, 20, 44), (30, 30, 38), (120, 150, 190), (236, 226, 220))
_CLOTHS = (
    (24, 24, 28),
    (36, 42, 64),
    (96, 98, 102),
    (124, 38, 40),
    (40, 70, 54),
    (212, 210, 204),
    (66, 92, 136),
    (176, 150, 112),
    (140, 160, 178),
    (92, 64, 88),
)
_KNUCKLES = ((0.165, -0.455), (0.050, -0.490), (-0.068, -0.465), (-0.168, -0.400))  # index to little finger
_BONES = ((0.225, 0.140, 0.120), (0.240, 0.155, 0.125), (0.225, 0.150, 0.125), (0.175, 0.110, 0.110))
THICK = (0.0655, 0.0665, 0.0625, 0.0535)
_THUMB_ROOT, _THUMB_BONES, THUMB_THICK = (0.10, -0.10), (0.27, 0.19, 0.165), 0.076
ALONG = (0.0, 0.5, 0.8, 1.0, 1.25, 1.65, 1.9, 2.05, 2.3, 2.7, 3.0)  # places along a finger; 1 and 2 are its joints
GIRTH = (1.04, 0.99, 0.98, 1.0, 0.95, 0.86, 0.85, 0.86, 0.81, 0.74, 0.64)  # its half width there
THUMB_GIRTH = (1.15, 1.08, 1.0, 1.02, 0.98, 0.84, 0.86, 0.89, 0.90, 0.80, 0.62)
# Of index, middle, ring, little finger: turn outwards (degrees to the thumb's side), then how its joints bend.
# Last, the thumb: turns of its three bones, then how steeply they go down.
_POSES = {
    "flat": (((3, 6, 4, 6), (0, 6, 3, 5), (-4, 6, 4, 6), (-10, 8, 6, 8)), (42, 4, -10), (4, 4, 6)),
    "spread": (((15, 6, 3, 5), (2, 5, 3, 5), (-12, 6, 4, 5), (-29, 8, 5, 8)), (50, 30, 22), (4, 4, 6)),
    "point": (((4, 4, 4, 5), (2, 48, 82, 42), (-3, 52, 84, 44), (-9, 52, 82, 44)), (27, -20, -34), (5, 8, 8)),
    "pinch": (((1, 24, 38, 26), (0, 27, 42, 28), (-6, 32, 46, 30), (-14, 34, 46, 32)), (23, -2, -14), (14, 22, 10)),
    "rest": (((7, 14, 26, 16), (1, 18, 32, 20), (-5, 20, 34, 22), (-14, 20, 32, 22)), (36, 2, -14), (8, 8, 10)),
    "reach": (((2, 5, 8, 8), (0, 4, 6, 6), (-2, 6, 8, 8), (-5, 8, 10, 10)), (52, 38, 44), (4, 4, 4)),
    "curl": (((3, 14, 72, 40), (0, 15, 74, 40), (-4, 17, 72, 40), (-9, 20, 68, 40)), (40, 12, -4), (8, 14, 14)),
}


@dataclass(frozen=True)
class HandStyle:
    """One person's hands in one recording. Colours are RGB 0..255, the other amounts are shares near 0..1.

    `dark` is the place on the scale of skin tones, `slender` and `longer` scale the fingers, `wrinkles`, `veins`,
    `bony` and `hair` are strengths. The sleeve starts `sleeve_start` hand lengths above the wrist, if there is one
    (`sleeve`). `ring` and `watch` are "", or the hand that wears it ("left", "right").
    """

    skin: Colour
    dark: float
    blush: float
    slender: float
    longer: tuple[float, float, float, float]
    wrinkles: float
    veins: float
    bony: float
    hair: float
    hair_colour: Colour
    nail: Colour
    varnish: bool
    nail_length: float
    oily: float
    ring: str
    watch: str
    metal: Colour
    strap: Colour
    sleeve: bool
    sleeve_start: float
    sleeve_loose: float
    cloth: Colour
    cloth_second: Colour
    pattern: str
    texture: int


@dataclass(frozen=True)
class Pose:
    """Where the bones lie: chains float [joints, 3] (thumb first), and the forearm's turn in radians."""

    chains: tuple[np.ndarray, ...]
    knuckle_bends: tuple[float, ...]
    joint_bends: tuple[float, ...]
    arm_turn: float
    floor: float
    tip: tuple[float, float]


def hand_style(rng: np.random.Generator) -> HandStyle:
    """Draw a person: skin over the full human range, slender or thick fingers, hair, nails, sleeve, ring and watch."""
    dark = float(rng.uniform(0, 1) ** 1.15)
    place = dark * (len(_TONES) - 1)
    tone = np.array([np.interp(place, range(len(_TONES)), channel) for channel in zip(*_TONES, strict=True)])
    skin = tone * rng.uniform(0.93, 1.06) * rng.normal(1, (0.012, 0.014, 0.024))
    varnish = bool(rng.random() < 0.14)
    nail = np.array(_VARNISH[rng.integers(len(_VARNISH))]) if varnish else skin * (1.02, 0.98, 1.02) + (10, 9, 12)
    hairy = float(rng.uniform(0.35, 1.0)) if rng.random() < 0.45 else float(rng.uniform(0, 0.2))
    hair = np.array((34, 26, 22)) + rng.uniform(0, 1) ** 2 * (1 - dark) * np.array((120, 88, 58))
    worn = ("", "", "", "left", "right")
    metal = ((214, 172, 96), (198, 200, 204), (206, 150, 122))[rng.integers(3)]
    cloth, second = (np.array(_CLOTHS[rng.integers(len(_CLOTHS))]) * rng.uniform(0.85, 1.12) for _ in range(2))
    return HandStyle(
        skin=_colour(skin),
        dark=dark,
        blush=float(rng.uniform(0.5, 1.8)),
        slender=float(rng.uniform(0.84, 1.08)),
        longer=tuple(float(value) for value in 1 + rng.normal(0, 0.02, 4) + rng.normal(0, 0.025)),
        wrinkles=float(rng.uniform(0.5, 1.3)),
        veins=float(rng.uniform(0, 1)),
        bony=float(rng.uniform(0.3, 1.2)),
        hair=hairy,
        hair_colour=_colour(hair),
        nail=_colour(nail),
        varnish=varnish,
        nail_length=float(rng.uniform(0, 0.06) + (0.06 if varnish else 0)),
        oily=float(rng.uniform(0.3, 1.2)),
        ring=worn[rng.integers(5)],
        watch=worn[rng.integers(5)],
        metal=_colour(metal),
        strap=_colour(_CLOTHS[rng.integers(4)] if rng.random() < 0.7 else metal),
        sleeve=bool(rng.random() < 0.72),
        sleeve_start=float(rng.uniform(0.06, 0.4) if rng.random() < 0.65 else rng.uniform(0.4, 1.9)),
        sleeve_loose=float(rng.uniform(0.015, 0.075)),
        cloth=_colour(cloth),
        cloth_second=_colour(second),
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        texture=int(rng.integers(2**31)),
    )


def _colour(values) -> Colour:
    return tuple(float(np.clip(value, 2, 253)) for value in values)


def hand_pose(style: HandStyle, shape: str, rng: np.random.Generator) -> Pose:
    """The bones of one hand: the shape's angles, each a little off."""
    fingers, thumb_turns, thumb_falls = _POSES[shape]
    loose = rng.normal(0, 1, (4, 4)) * (2.2, 2.5, 3.0, 3.0) + rng.normal(0, 1, 4) * (0.8, 3.0, 4.0, 3.0)
    sway = rng.normal(0, 2.0)
    chains, tips = [], []
    for number, (angles, extra) in enumerate(zip(fingers, loose, strict=True)):
        turn, *bends = np.asarray(angles, float) + extra + (sway, 0, 0, 0)
        bones = np.array(_BONES[number]) * style.longer[number]
        tip_round = THICK[number] * style.slender * GIRTH[-1]
        bones[2] -= 0.95 * tip_round
        start = (*_KNUCKLES[number], 0.094)
        chains.append(_chain(start, np.radians(turn) + np.zeros(3), np.radians(np.cumsum(bends)), bones))
        tips.append(chains[-1][-1][:2])
    turns = np.radians(np.array(thumb_turns) + rng.normal(0, 1, 3) * (3, 4, 4) + rng.normal(0, 4))
    bones = np.array(_THUMB_BONES) - (0, 0, 0.95 * THUMB_THICK * THUMB_GIRTH[-1])
    thumb = _chain((*_THUMB_ROOT, 0.075), turns, np.radians(thumb_falls), bones)
    if shape == "pinch":
        thumb = _reach(thumb, tips[0] + (0.05, 0.03))
    place = tips[0 if shape == "point" else 1]
    if shape == "pinch":
        place = 0.3 * (tips[0] + tips[1]) + 0.4 * thumb[3][:2]
    arm_turn = float(np.radians(np.clip(rng.normal(4, 7), -12, 17)))
    bends = np.array([angles[1:3] for angles in fingers], float)
    floor = min(0.0, float(min(chain[:, 2].min() for chain in (thumb, *chains))) - 0.03)
    tip = (float(place[0]), float(place[1]) - 0.02)
    return Pose((thumb, *chains), tuple(bends[:, 0]), tuple(bends[:, 1]), arm_turn, floor, tip)


def _chain(start, turns: np.ndarray, falls: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Joints float [4, 3] of bones that turn from straight up to the right, and fall below the level."""
    level = bones * np.cos(falls)
    steps = np.stack([np.sin(turns) * level, -np.cos(turns) * level, -np.sin(falls) * bones], 1)
    return np.vstack([start, np.asarray(start) + np.cumsum(steps, 0)])


def _reach(thumb: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Turn the thumb's two outer bones to a goal (x, y); what they are too long goes into a bow."""
    way = goal - thumb[1][:2]
    bones = np.linalg.norm(np.diff(thumb, axis=0), axis=1)[1:]
    far = float(np.clip(np.hypot(*way), 0.05, bones.sum() * 0.985))
    first = np.arccos(np.clip((bones[0] ** 2 + far**2 - bones[1] ** 2) / (2 * bones[0] * far), -1, 1))
    angle = np.arctan2(way[0], -way[1]) + first * 0.6
    joint = thumb[1][:2] + bones[0] * np.array([np.sin(angle), -np.cos(angle)]) * np.cos(first * 0.5)
    end = thumb[1][:2] + way / max(float(np.hypot(*way)), 1e-6) * far
    return np.vstack([thumb[:2], [*joint, -0.04], [*end, -0.19]])
