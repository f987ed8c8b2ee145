"""Objects on the desk around the book, seen from above: books, papers, pens, cups, keyboards, cables.

Lengths are in picture widths, x to the right, y down; colours are RGB 0..255.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pageflip.synthetic.primitives import Colour, clip_colour, draw_line, fill_polygon


@dataclass(frozen=True)
class Prop:
    """An object on the desk: kind, centre, rotation in radians, half its length, colour, and seed."""

    kind: str
    at: tuple[float, float]
    turn: float
    half: float
    colour: Colour
    seed: int


class Painter:
    """Draws the parts of an object, given relative to its centre in units of half its length."""

    def __init__(self, pixels: np.ndarray, prop: Prop) -> None:
        self.pixels, self.prop = pixels, prop
        self.unit = prop.half * pixels.shape[1]
        cos, sin = np.cos(prop.turn), np.sin(prop.turn)
        self.frame = np.array([[cos, sin], [-sin, cos]]) * self.unit
        self.middle = np.array(prop.at) * pixels.shape[1]

    def _place(self, points: ArrayLike) -> np.ndarray:
        return np.asarray(points, float) @ self.frame + self.middle

    def poly(self, points: ArrayLike, colour: ArrayLike) -> None:
        """Fill a polygon."""
        fill_polygon(self.pixels, self._place(points), clip_colour(colour))

    def line(self, points: ArrayLike, colour: ArrayLike, thick: float, closed: bool = False) -> None:
        """Draw a polyline, `thick` half lengths but at least a pixel thick."""
        thickness = max(round(thick * self.unit), 1)
        draw_line(self.pixels, self._place(points), clip_colour(colour), thickness, closed=closed)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: ArrayLike, corner: float = 0.0) -> None:
        """Fill a rectangle with corners of radius `corner`."""
        self.poly(_rounded(x0, y0, x1, y1, corner), colour)

    def disc(self, x: float, y: float, radius: float, colour: ArrayLike) -> None:
        """Fill a circle."""
        self.poly(_circle(x, y, radius), colour)


def _circle(x: float, y: float, radius: float) -> np.ndarray:
    """Return the points of a circle, float [40, 2]."""
    turn = np.linspace(0, 2 * np.pi, 41)[:-1]
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1)


def _rounded(x0: float, y0: float, x1: float, y1: float, corner: float) -> np.ndarray:
    """Return the points of a rectangle with round corners, float [n, 2]."""
    if corner <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    arc = np.linspace(0, np.pi / 2, 6)
    parts = []
    for x, y, start in ((x1, y1, 0.0), (x0, y1, 0.5), (x0, y0, 1.0), (x1, y0, 1.5)):
        cx, cy = x + (corner if x == x0 else -corner), y + (corner if y == y0 else -corner)
        angle = arc + start * np.pi
        parts.append(np.stack([cx + corner * np.cos(angle), cy + corner * np.sin(angle)], 1))
    return np.vstack(parts)


def outline(prop: Prop) -> tuple[np.ndarray, float]:
    """Return an object's outline in picture widths, float [n, 2], and its height, for its shadow."""
    shapes = {
        "book": (_rounded(-0.7, -1, 0.7, 1, 0), 0.02), "stack": (_rounded(-0.75, -1, 0.75, 1, 0), 0.045),
        "paper": (_rounded(-0.71, -1, 0.71, 1, 0), 0.002), "notebook": (_rounded(-0.72, -1, 0.72, 1, 0.06), 0.008),
        "pen": (_rounded(-1, -0.055, 1, 0.055, 0.03), 0.008), "cup": (_circle(0, 0, 0.98), 0.05),
        "keyboard": (_rounded(-1, -0.34, 1, 0.34, 0.04), 0.015), "phone": (_rounded(-0.49, -1, 0.49, 1, 0.12), 0.008),
        "coaster": (_circle(0, 0, 1), 0.004), "glasses": (_rounded(-1, -0.3, 1, 0.3, 0.2), 0.01),
        "cable": (_rounded(-0.01, -0.01, 0.01, 0.01, 0), 0.0), "mouse": (_rounded(-0.58, -1, 0.58, 1, 0.5), 0.025),
        "note": (_rounded(-1, -1, 1, 1, 0), 0.003), "ruler": (_rounded(-1, -0.1, 1, 0.1, 0), 0.003),
        "laptop": (_rounded(-1, -0.7, 1, 0.7, 0.05), 0.02),
    }  # fmt: skip
    points, height = shapes[prop.kind]
    cos, sin = np.cos(prop.turn), np.sin(prop.turn)
    return points @ (np.array([[cos, sin], [-sin, cos]]) * prop.half) + np.array(prop.at), height


def draw_prop(pixels: np.ndarray, prop: Prop) -> None:
    """Draw an object into a picture, uint8 [height, width, 3], in place."""
    _PAINT[prop.kind](Painter(pixels, prop), np.random.default_rng([prop.seed, 61]), np.array(prop.colour))


def _print_words(
    p: Painter, rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float, pitch: float, ink: Colour
) -> None:
    """Print rows of words as short dashes."""
    for y in np.arange(y0, y1, pitch):
        x, end = x0, x1 if rng.random() < 0.75 else x0 + (x1 - x0) * rng.uniform(0.0, 0.8)
        while x < end - 0.02:
            wide = min(rng.uniform(0.04, 0.16), end - x)
            p.line([(x, y), (x + wide, y)], ink, pitch * 0.2)
            x += wide + pitch * 0.55


def _book(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    p.rect(-0.7, -1, 0.7, 1, colour * 0.78)
    p.rect(-0.69, -0.995, 0.68, 0.985, colour)
    p.line([(-0.62, -1), (-0.62, 1)], colour * 0.86, 0.02)
    other = np.clip(255 - colour * 0.8 + rng.uniform(-40, 40, 3), 0, 255)
    kind = rng.integers(3)
    if kind == 0:
        p.rect(-0.62, rng.uniform(-0.9, -0.2), 0.69, rng.uniform(0.0, 0.9), other)
    elif kind == 1:
        p.disc(0.05, 0.2, rng.uniform(0.2, 0.5), other)
    white = (242, 240, 232) if colour.mean() < 150 else (30, 30, 40)
    for i in range(int(rng.integers(1, 4))):
        y = -0.72 + 0.17 * i
        p.line([(-0.45, y), (rng.uniform(-0.1, 0.55), y)], white, 0.07)


def _stack(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    for i in range(int(rng.integers(2, 4))):
        shift = rng.uniform(-0.07, 0.07, 2)
        tone = np.clip(colour + rng.uniform(-70, 70, 3) * (i > 0), 15, 240)
        x0, y0, x1, y1 = -0.7 + shift[0], -0.95 + shift[1], 0.68 + shift[0], 0.93 + shift[1]
        p.rect(x0 + 0.02, y0 + 0.02, x1 + 0.05, y1 + 0.05, tone * 0.45)
        p.rect(x0, y0, x1 + 0.025, y1 + 0.025, (222, 216, 200))
        p.rect(x0, y0, x1, y1, tone)
    p.line([(x0 + 0.15, y0 + 0.3), (x1 - 0.3, y0 + 0.3)], 245 - tone * 0.7, 0.08)


def _paper(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    white = 205 + colour * 0.18
    p.rect(-0.71, -1, 0.71, 1, white * 0.93)
    p.rect(-0.705, -0.995, 0.705, 0.995, white)
    if rng.random() < 0.75:
        top, bottom, pitch = rng.uniform(-0.8, -0.5), rng.uniform(0.2, 0.85), rng.uniform(0.04, 0.07)
        _print_words(p, rng, -0.55, top, 0.55, bottom, pitch, (110, 110, 116))


def _notebook(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    _paper(p, np.random.default_rng([1, 62]), colour)
    for y in np.arange(-0.8, 0.95, 0.08):
        p.line([(-0.7, y), (0.7, y)], (170, 190, 215), 0.006)
    for y in np.arange(-0.95, 0.96, 0.075):
        p.disc(-0.63, y, 0.018, (60, 60, 64))
        p.line([(-0.63, y), (-0.74, y + 0.01)], (120, 120, 126), 0.02)


def _pen(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    p.poly([(-1, -0.012), (-0.84, -0.05), (-0.84, 0.05), (-1, 0.012)], colour * 0.5)
    p.rect(-0.86, -0.055, 0.98, 0.055, colour, 0.03)
    p.rect(-0.84, -0.035, 0.94, -0.01, np.minimum(colour * 0.6 + 105, 255))
    p.rect(0.3, -0.055, 0.36, 0.055, (190, 190, 195))
    p.rect(0.45, -0.02, 0.97, 0.02, colour * 0.6)


def _cup(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    p.line([(0.7, -0.24), (1.28, -0.2), (1.34, 0.0), (1.28, 0.2), (0.7, 0.24)], colour * 0.85, 0.17)
    p.disc(0, 0, 0.98, colour * 0.88)
    p.disc(0, 0, 0.95, np.minimum(colour * 1.05, 255))
    p.disc(0.0, 0.0, 0.85, colour * 0.6)
    drink = np.array([(52, 30, 18), (150, 110, 76), (140, 84, 34), (228, 226, 220)][rng.integers(4)], float)
    p.disc(0.03, 0.04, 0.76, drink)
    p.disc(0.1, 0.1, 0.6, np.minimum(drink * 1.12, 255))


def _keyboard(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    body = colour * 0.4 if rng.random() < 0.5 else 150 + colour * 0.3
    p.rect(-1, -0.34, 1, 0.34, body * 0.8, 0.04)
    p.rect(-0.995, -0.335, 0.995, 0.325, body, 0.04)
    cap = body * 0.75 if body.mean() > 120 else body + 22
    for row in range(5):
        x = -0.96
        while x < 0.9:
            wide = 0.105 if row and rng.random() < 0.93 else 0.16
            if row == 4 and -0.45 < x < -0.3:
                wide = 0.7
            p.rect(x, -0.29 + row * 0.12, min(x + wide, 0.96), -0.19 + row * 0.12, cap, 0.015)
            x += wide + 0.02


def _phone(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    p.rect(-0.49, -1, 0.49, 1, colour * 0.35, 0.12)
    glass = np.array((16, 17, 20.0))
    p.rect(-0.455, -0.965, 0.455, 0.965, glass, 0.1)
    p.poly([(-0.455, -0.6), (0.3, -0.96), (0.455, -0.9), (-0.455, 0.1)], glass + 12)
    p.disc(0, -0.9, 0.025, (40, 40, 46))


def _coaster(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    p.disc(0, 0, 1, colour * 0.8)
    p.disc(0, 0, 0.96, colour)
    p.line(_circle(0, 0, 0.7), colour * 0.7, 0.03, True)


def _glasses(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    tone = colour * 0.3
    for x in (-0.52, 0.52):
        p.line(_rounded(x - 0.38, -0.3, x + 0.38, 0.26, 0.2), tone, 0.06, True)
        p.line([(x * 1.73, -0.2), (x * 1.6, 0.95), (x * 1.1, 1.2)], tone, 0.05)
    p.line([(-0.14, -0.1), (0, -0.16), (0.14, -0.1)], tone, 0.06)


def _cable(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    t = np.linspace(0, 1, 60)
    knots = rng.normal(0, 0.22, 6)
    sway = np.interp(t, np.linspace(0, 1, 6), knots)
    sway = np.convolve(np.pad(sway, 8, mode="edge"), np.ones(17) / 17, "valid")
    points = np.stack([2.4 * t - 1.2, sway], 1)
    tone = colour * 0.25 if rng.random() < 0.6 else 190 + colour * 0.2
    p.line(points + 0.012, (60, 58, 56), 0.022)
    p.line(points, tone, 0.022)
    p.line(points - 0.003, np.minimum(tone + 35, 255), 0.006)
    for (x, y), way in ((points[0], -1), (points[-1], 1)):
        p.rect(x - 0.02, y - 0.035, x + 0.09 * way, y + 0.035, tone, 0.01)
        p.rect(x + 0.09 * way, y - 0.022, x + 0.13 * way, y + 0.022, (170, 170, 174))


def _mouse(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    body = colour * 0.3 if rng.random() < 0.6 else 190 + colour * 0.2
    p.rect(-0.58, -1, 0.58, 1, body * 0.85, 0.5)
    p.rect(-0.5, -0.9, 0.46, 0.86, np.minimum(body * 1.08, 255), 0.42)
    p.line([(0, -1), (0, -0.2)], body * 0.6, 0.03)
    p.rect(-0.07, -0.72, 0.07, -0.4, body * 0.45, 0.06)


def _note(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    tone = np.array([(250, 232, 120), (250, 170, 190), (170, 220, 170), (160, 205, 240)][rng.integers(4)], float)
    p.rect(-1, -1, 1, 1, tone)
    _print_words(p, rng, -0.8, -0.6, 0.8, 0.5, 0.25, (60, 60, 90))


def _ruler(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    tone = 120 + colour * 0.5
    p.rect(-1, -0.1, 1, 0.1, tone)
    for i, x in enumerate(np.arange(-0.96, 0.97, 0.032)):
        p.line([(x, -0.1), (x, -0.02 if i % 5 == 0 else -0.06)], tone * 0.35, 0.004)


def _laptop(p: Painter, rng: np.random.Generator, colour: np.ndarray) -> None:
    body = 120 + colour * 0.4
    p.rect(-1, -0.7, 1, 0.7, body * 0.8, 0.05)
    p.rect(-0.99, -0.69, 0.99, 0.685, body, 0.05)
    p.rect(-0.35, 0.15, 0.35, 0.6, body * 0.93, 0.03)
    for row in range(5):
        for x in np.arange(-0.9, 0.86, 0.13):
            p.rect(x, -0.6 + row * 0.135, x + 0.11, -0.49 + row * 0.135, (38, 38, 42), 0.015)


_PAINT = {
    "book": _book, "stack": _stack, "paper": _paper, "notebook": _notebook, "pen": _pen, "cup": _cup,
    "keyboard": _keyboard, "phone": _phone, "coaster": _coaster, "glasses": _glasses, "cable": _cable, "mouse": _mouse,
    "note": _note, "ruler": _ruler, "laptop": _laptop,
}  # fmt: skip
HALF_LENGTHS = {
    "book": (0.2, 0.34), "stack": (0.22, 0.36), "paper": (0.3, 0.45), "notebook": (0.2, 0.34), "pen": (0.11, 0.16),
    "cup": (0.075, 0.12), "keyboard": (0.4, 0.5), "phone": (0.13, 0.18), "coaster": (0.08, 0.12),
    "glasses": (0.12, 0.16), "cable": (0.4, 0.8), "mouse": (0.09, 0.13), "note": (0.06, 0.09), "ruler": (0.2, 0.36),
    "laptop": (0.4, 0.55),
}  # fmt: skip
