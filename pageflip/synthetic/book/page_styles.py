"""Page design of a book: typography, margins, paper, and the mix of page kinds and blocks."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pageflip.synthetic.book.typesetting import LANGUAGE_COUNT, UNACCENTED_LANGUAGES, Face
from pageflip.synthetic.primitives import Colour, triple

_SERIF = (
    ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    ("cmr10", "cmb10", "cmti10"),
)
_SANS = (("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"), ("cmss10", "cmss10", "cmss10"))


class _Genre(NamedTuple):
    weight: float
    sizes: tuple[float, float]  # smallest and largest em
    columns: tuple[int, ...]
    colour: float  # probability of colour print
    kinds: dict[str, float]  # weights of page kinds
    blocks: dict[str, float]  # weights of blocks


_GENRES = {
    "programming": _Genre(0.24, (0.027, 0.038), (1,), 0.12, {"flow": 20, "chapter": 1, "sparse": 1},
                    {"text": 6, "heading": 3, "code": 3, "screen": 2.5, "list": 2, "table": 0.7, "diagram": 0.6}),
    "textbook": _Genre(0.18, (0.021, 0.031), (1, 1, 2), 0.5, {"flow": 20, "chapter": 1, "sparse": 0.7, "picture": 0.4},
                 {"text": 6, "heading": 2, "chart": 1, "table": 1, "photo": 1, "list": 1.5, "boxed": 1, "diagram": 1}),
    "novel": _Genre(0.18, (0.03, 0.042), (1,), 0.04, {"flow": 20, "chapter": 2, "sparse": 1.5},
              {"text": 30, "quote": 1, "stars": 1}),
    "science": _Genre(0.1, (0.02, 0.028), (1, 2), 0.2, {"flow": 20, "chapter": 0.6, "sparse": 0.6},
                {"text": 7, "heading": 1.5, "formula": 3, "chart": 1.3, "table": 1, "list": 0.6, "notes": 1}),
    "magazine": _Genre(0.1, (0.017, 0.023), (2, 3), 0.95, {"flow": 12, "picture": 4, "opener": 3},
                 {"text": 6, "heading": 1, "photo": 2.5, "quote": 0.8, "boxed": 1.5, "chart": 0.4}),
    "children": _Genre(0.06, (0.042, 0.062), (1,), 1.0, {"story": 10, "picture": 3}, {"text": 5, "photo": 1}),
    "comic": _Genre(0.05, (0.018, 0.024), (1,), 0.7, {"comic": 10, "picture": 0.7}, {"text": 1}),
    "dictionary": _Genre(0.04, (0.016, 0.022), (2, 3), 0.1, {"dictionary": 20}, {"text": 1}),
    "music": _Genre(0.02, (0.022, 0.03), (1,), 0.02, {"music": 10, "flow": 1}, {"text": 3, "heading": 1}),
    "catalogue": _Genre(0.03, (0.02, 0.03), (1, 2), 0.8, {"picture": 6, "flow": 5, "opener": 2, "sparse": 1},
                  {"text": 4, "photo": 5, "heading": 1}),
}  # fmt: skip
_ACCENTS = ((30, 80, 150), (170, 40, 40), (30, 120, 80), (200, 110, 20), (110, 50, 130), (20, 120, 140), (70, 70, 80))


@dataclass(frozen=True)
class PageStyle:
    """Typography and paper of one book. Lengths are in page widths, colours RGB 0..255.

    Attributes:
        genre: which mix of page kinds and blocks the book has.
        tongue: index of its made-up language.
        fonts: font files of body, bold, italic, headings and code.
        size: em of the body.
        narrow: horizontal stretch of body letters and of headings.
        leading: distance of baselines in ems.
        margins: at the spine, at the outer edge, at the top, at the bottom.
        columns: text columns of a page.
        justify: whether lines are as wide as the column.
        indent: of a paragraph's first line.
        gap: between paragraphs.
        paper: colour of the paper.
        ink: colour of the text.
        accent: colour of headings in a book printed in colour.
        colour: whether the book is printed in colour.
        see_through: how much the print of the other side shows through.
        fibre: strength of the paper's grain in grey levels.
        header: kind of running header.
        folio: where the page number stands.
        code_look: look of code listings.
        kinds: weights of page kinds.
        blocks: weights of blocks in a column.
    """

    genre: str
    tongue: int
    fonts: tuple[str, str, str, str, str]
    size: float
    narrow: tuple[float, float]
    leading: float
    margins: tuple[float, float, float, float]
    columns: int
    justify: bool
    indent: float
    gap: float
    paper: Colour
    ink: Colour
    accent: Colour
    colour: bool
    see_through: float
    fibre: float
    header: str
    folio: str
    code_look: str
    kinds: tuple[tuple[str, float], ...]
    blocks: tuple[tuple[str, float], ...]

    @property
    def body(self) -> Face:
        """Typeface of running text."""
        return Face(self.fonts[0], self.size, self.narrow[0])

    @property
    def bold(self) -> Face:
        """Bold typeface within the text."""
        return Face(self.fonts[1], self.size, self.narrow[0])

    @property
    def italic(self) -> Face:
        """Italic typeface within the text."""
        return Face(self.fonts[2], self.size, self.narrow[0])

    @property
    def heading(self) -> Face:
        """Typeface of headings at the size of the text."""
        return Face(self.fonts[3], self.size, self.narrow[1])

    @property
    def mono(self) -> Face:
        """Monospaced typeface of code."""
        return Face(self.fonts[4], self.size * 0.82, min(self.narrow[0] + 0.02, 1.0))


def page_style(rng: np.random.Generator) -> PageStyle:
    """Sample the page style of one book."""
    names = list(_GENRES)
    weights = np.array([genre.weight for genre in _GENRES.values()])
    name = names[rng.choice(len(names), p=weights / weights.sum())]
    genre = _GENRES[name]
    columns = int(rng.choice(genre.columns))
    size = rng.uniform(*genre.sizes) * (0.86 if columns > 1 else 1.0)
    spaced = name in ("programming", "textbook", "magazine", "children") and rng.random() < 0.75
    language = int(rng.choice(LANGUAGE_COUNT, p=np.array([3, 4, 3, 3, 1.5, 1.5, 3, 1, 0.7]) / 20.7))
    ink = rng.uniform(12, 62)
    return PageStyle(
        genre=name,
        tongue=language,
        fonts=_fonts(rng, name, language),
        size=size,
        narrow=(rng.uniform(0.84, 1.0), rng.uniform(0.72, 1.0)),
        leading=rng.uniform(1.16, 1.48),
        margins=_margins(rng, name),
        columns=columns,
        justify=rng.random() < 0.7,
        indent=0.0 if spaced else size * rng.uniform(1, 2),
        gap=size * rng.uniform(0.5, 1.1) if spaced else 0.0,
        paper=_paper_colour(rng, name),
        ink=(ink, ink + rng.uniform(-3, 3), ink + rng.uniform(-4, 8)),
        accent=triple(_ACCENTS[rng.integers(len(_ACCENTS))]),
        colour=rng.random() < genre.colour,
        see_through=rng.uniform(0.02, 0.09),
        fibre=rng.uniform(0.25, 0.8) if rng.random() < 0.8 else rng.uniform(0.8, 1.6),
        header=str(rng.choice(["title", "capitals", "ruled", "band", "none"], p=[0.3, 0.3, 0.18, 0.04, 0.18])),
        folio=str(rng.choice(["outer", "centre", "top", "none"], p=[0.5, 0.27, 0.16, 0.07])),
        code_look=str(rng.choice(["plain", "shaded", "framed", "dark", "bar"])),
        kinds=tuple(genre.kinds.items()),
        # each book weighs the blocks of its genre differently
        blocks=tuple((block, weight * rng.uniform(0.3, 1.7)) for block, weight in genre.blocks.items()),
    )


def _fonts(rng: np.random.Generator, genre: str, language: int) -> tuple[str, str, str, str, str]:
    families = 3 if language in UNACCENTED_LANGUAGES else 2  # Computer Modern lacks accented letters
    serif = _SERIF[rng.choice(families, p=[0.4, 0.4, 0.2] if families == 3 else [0.45, 0.55])]
    sans = _SANS[rng.integers(families - 1)]
    share = {"magazine": 0.5, "children": 0.7, "comic": 0.9, "textbook": 0.35, "catalogue": 0.5, "novel": 0.03}
    body = sans if rng.random() < share.get(genre, 0.15) else serif
    heading = sans[1] if rng.random() < (0.25 if genre == "novel" else 0.65) else serif[1]
    if genre == "novel" and rng.random() < 0.5:
        heading = serif[0]
    mono = "cmtt10" if language in UNACCENTED_LANGUAGES and rng.random() < 0.3 else "DejaVuSansMono"
    return (*body, heading, mono)


def _margins(rng: np.random.Generator, genre: str) -> tuple[float, float, float, float]:
    outer = rng.uniform(0.06, 0.15)
    if genre in ("comic", "dictionary", "magazine"):
        outer *= 0.7
    return (outer * rng.uniform(0.75, 1.25), outer, rng.uniform(0.11, 0.2), rng.uniform(0.1, 0.19))


def _paper_colour(rng: np.random.Generator, genre: str) -> Colour:
    chances = [0.3, 0.4, 0.12, 0.18] if genre == "novel" else [0.66, 0.17, 0.1, 0.07]
    kind = rng.choice(["white", "cream", "grey", "recycled"], p=chances)
    bright = rng.uniform(*{"white": (238, 253), "cream": (236, 250), "grey": (214, 234), "recycled": (205, 226)}[kind])
    warmth = rng.uniform(*{"white": (-4, 5), "cream": (10, 30), "grey": (-2, 8), "recycled": (6, 22)}[kind])
    return (bright, bright - max(warmth, 0) * rng.uniform(0.2, 0.4), min(bright - warmth, 254.0))
