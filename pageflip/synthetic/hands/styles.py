"""Appearance of a person's hands: skin, nails, hair, jewellery, sleeve."""

from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.primitives import Colour, clip_colour

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


@dataclass(frozen=True)
class HandStyle:
    """Appearance of one person's hands. Colours are RGB 0..255, other amounts shares near 0..1.

    Attributes:
        skin: colour of the skin.
        dark: position on the scale of skin tones, 0 the lightest.
        blush: redness of joints and fingertips.
        slender: scale of the fingers' radii.
        longer: scale of the fingers' lengths, from the index to the little finger.
        wrinkles: depth of the creases.
        veins: strength of the veins.
        bony: height of knuckles and tendons.
        hair: density of the hair.
        hair_colour: colour of the hair.
        nail: colour of the nails.
        varnish: whether they are varnished.
        nail_length: by which nails stand out, in phalanges.
        oily: gloss of the skin.
        ring: the hand with a ring ("left", "right"), or "".
        watch: the hand with a watch, or "".
        metal: colour of ring and watch.
        strap: colour of the watch strap.
        sleeve: whether there is one.
        sleeve_start: distance from the wrist to its hem in hand lengths.
        sleeve_loose: width between arm and sleeve in hand lengths.
        cloth: colour of the sleeve.
        cloth_second: second colour of its pattern.
        pattern: one of `PATTERNS`.
        texture: seed of the skin and the cloth.
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


def _finger_lengths(rng: np.random.Generator) -> tuple[float, float, float, float]:
    index, middle, ring, little = (float(value) for value in 1 + rng.normal(0, 0.02, 4) + rng.normal(0, 0.025))
    return index, middle, ring, little


def hand_style(rng: np.random.Generator) -> HandStyle:
    """Sample a person: skin over the full human range, slender or thick fingers, nails, hair, sleeve, ring, watch."""
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
        skin=clip_colour(skin, 2, 253),
        dark=dark,
        blush=float(rng.uniform(0.5, 1.8)),
        slender=float(rng.uniform(0.84, 1.08)),
        longer=_finger_lengths(rng),
        wrinkles=float(rng.uniform(0.5, 1.3)),
        veins=float(rng.uniform(0, 1)),
        bony=float(rng.uniform(0.3, 1.2)),
        hair=hairy,
        hair_colour=clip_colour(hair, 2, 253),
        nail=clip_colour(nail, 2, 253),
        varnish=varnish,
        nail_length=float(rng.uniform(0, 0.06) + (0.06 if varnish else 0)),
        oily=float(rng.uniform(0.3, 1.2)),
        ring=worn[rng.integers(5)],
        watch=worn[rng.integers(5)],
        metal=clip_colour(metal, 2, 253),
        strap=clip_colour(_CLOTHS[rng.integers(4)] if rng.random() < 0.7 else metal, 2, 253),
        sleeve=bool(rng.random() < 0.72),
        sleeve_start=float(rng.uniform(0.06, 0.4) if rng.random() < 0.65 else rng.uniform(0.4, 1.9)),
        sleeve_loose=float(rng.uniform(0.015, 0.075)),
        cloth=clip_colour(cloth, 2, 253),
        cloth_second=clip_colour(second, 2, 253),
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        texture=int(rng.integers(2**31)),
    )
