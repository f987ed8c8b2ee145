"""Printing context that the blocks and pictures of a page share."""

from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.book.page_styles import PageStyle
from pageflip.synthetic.book.typesetting import Canvas, Writer
from pageflip.synthetic.primitives import Colour, triple

Point = tuple[float, float]  # x, y in page widths
Area = tuple[float, float, float, float]  # x0, y0, x1, y1 in page widths


@dataclass(frozen=True)
class PageContext:
    """A page in work: its canvas, random generator, writer, and the book's style."""

    canvas: Canvas
    rng: np.random.Generator
    writer: Writer
    style: PageStyle

    @property
    def accent(self) -> Colour:
        """Accent colour of the book, or its ink where the book is printed in black only."""
        return self.style.accent if self.style.colour else self.style.ink

    def tint(self, low: float = 0, high: float = 255) -> Colour:
        """Sample a colour, grey where the book is printed in black only."""
        tone = self.rng.uniform(low, high, 3)
        tone = tone.mean() + (tone - tone.mean()) * (0.8 if self.style.colour else 0.0)
        return triple(tone)
