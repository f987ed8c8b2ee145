"""Text rendering: made-up languages, the fonts that matplotlib ships, and the canvas that a page is printed on.

Lengths are in page widths, x to the right, y down; colours are RGB 0..255.
"""

# ruff: noqa: RUF001 -- letters that look like others are meant: made-up languages have them

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pageflip.synthetic.primitives import Colour, blend, clip_colour, draw_line, fill_polygon

# Onsets, nuclei and codas of the syllables of made-up languages, then suffixes of long words; "_" stands for none.
_LANGUAGES = (
    (
        "b c d f g l m n p r s t v br pr st tr qu gr pl",
        "a e i o u a e i o ie ia",
        "n r s l m nt _ _ _ _ _",
        "are e mente o i ione",
    ),
    (
        "th s w b c d f g h l m n p r t st ch sh wh tr cl",
        "e a o i u ea oo e a ou",
        "n r s t d l nd rt ck ll ng _ _",
        "er ed ing ly s al y",
    ),
    (
        "b d k m s t y g l n ç ş p v h",
        "a e ı i o ö u ü a e i",
        "n r k l m t ş _ _ _ _",
        "lar ler dan ini yor mak mek sı ğı",
    ),
    (
        "b d f g h k l m n r s t w z sch st gr kl v",
        "e a i o u ei ä ö ü ie e",
        "n r s t l ch nd cht rn ng _ _",
        "en er ung lich e keit te",
    ),
    (
        "b c č d h j k l m n p r ř s š t v z ž př st",
        "a e i o u á é í ě y ý",
        "n r k l t m v _ _ _ _",
        "ní ého ých ová at u y",
    ),
    (
        "h j k l m n p r s t v k t s",
        "a e i o u y ä aa ii uu ää ö",
        "n s t l r kk tt ll _ _ _ _",
        "ssa lla sta en inen kin",
    ),
    (
        "b c d f g j l m n p r s t v bl cr pl qu",
        "a e i o u é è ai ou eu oi e",
        "n r s l t nt mb _ _ _ _",
        "tion ment er ée ait es eur",
    ),
    (
        "б в г д ж з к л м н п р с т х ч ш ст пр",
        "а е и о у ы я ю ё о а",
        "н р с т л м й в _ _ _ _",
        "ого ный ать ется ии ов ами",
    ),
    (
        "β γ δ θ κ λ μ ν π ρ σ τ φ χ πρ στ",
        "α ε η ι ο ω υ ου αι ει ά έ ί ό",
        "ν ς ρ λ _ _ _ _ _ _",
        "ος ης ων εις μα σης ται",
    ),
)
UNACCENTED_LANGUAGES = (0, 1)  # those whose letters every font has
LANGUAGE_COUNT = len(_LANGUAGES)
_VOCABULARY_SIZE = 500


@lru_cache(maxsize=16)
def _vocabulary(language: int, seed: int) -> tuple[str, ...]:
    """Return the words of a made-up language, the short and frequent ones first."""
    rng = np.random.default_rng([seed, 51, language])
    onsets, nuclei, codas, suffixes = (part.replace("_", "").split(" ") for part in _LANGUAGES[language])
    words = []
    for index in range(_VOCABULARY_SIZE):
        count = 1 if index < 40 else (1, 2, 2, 2, 3, 3, 4)[rng.integers(7)]
        word = ""
        for _ in range(count):
            word += onsets[rng.integers(len(onsets))] if rng.random() < 0.85 or word else ""
            word += nuclei[rng.integers(len(nuclei))]
        word += codas[rng.integers(len(codas))]
        if index >= 40 and rng.random() < 0.5:
            word += suffixes[rng.integers(len(suffixes))]
        words.append(word.replace("ς", "σ")[:-1] + word[-1])  # the final sigma stands at the end of a word only
    return tuple(words)


class Writer:
    """Random text in one made-up language."""

    def __init__(self, rng: np.random.Generator, language: int, seed: int) -> None:
        self.rng, self.vocabulary = rng, _vocabulary(language, seed)

    def words(self, count: int) -> list[str]:
        """Return `count` lower-case words; frequent ones make up most of them."""
        return [self.vocabulary[i] for i in (self.rng.random(count) ** 1.8 * len(self.vocabulary)).astype(int)]

    def title(self, count: int) -> str:
        """Return a capitalised title of `count` words."""
        words = self.words(count - 1)
        return " ".join([*words, self.vocabulary[self.rng.integers(60, len(self.vocabulary))]]).capitalize()

    def prose(self, count: int) -> list[str]:
        """Return `count` words with capitals, numbers and punctuation."""
        words, chances = self.words(count), self.rng.random(count)
        begins = True
        for i, chance in enumerate(chances):
            if chance < 0.015:
                words[i] = str(int(self.rng.integers(2, 2030)))
            elif begins or chance > 0.97:
                words[i] = words[i].capitalize()
            begins = 0.02 < chance < 0.1
            words[i] += (".?!."[i % 4] if begins else "") + ("," if 0.1 < chance < 0.18 else "")
        words[-1] = words[-1].rstrip(".,!?") + "."
        return words


@dataclass(frozen=True)
class Face:
    """A typeface at a size: stem of the font file, em in page widths, horizontal stretch (1: none)."""

    file: str
    size: float
    stretch: float = 1.0

    def width(self, text: str) -> float:
        """Return the advance width of a line of text in page widths, the same at every resolution."""
        return _advance(self.file, text) * self.size * self.stretch

    def scaled(self, factor: float) -> "Face":
        """Return the typeface at `factor` times the size."""
        return Face(self.file, self.size * factor, self.stretch)


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    import matplotlib  # slow to import

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=256)
def _font(file: str, size: float) -> ImageFont.FreeTypeFont:
    # the basic layout engine needs no optional library, so that the bytes are the same on every machine
    return ImageFont.truetype(_font_folder() / f"{file}.ttf", size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _letter(file: str, letter: str) -> float:
    return _font(file, 128).getlength(letter) / 128


@lru_cache(maxsize=16384)
def _advance(file: str, text: str) -> float:
    return sum(_letter(file, letter) for letter in text)


@lru_cache(maxsize=8192)
def _glyph(file: str, size: float, up: int, down: int, letter: str) -> tuple[np.ndarray, int, float]:
    """Return a glyph's ink, uint8 [up + down, width], its left bearing and its advance, both in pixels."""
    font = _font(file, size)
    advance, room = font.getlength(letter), int(np.ceil(size))
    picture = Image.new("L", (int(advance) + 2 * room, up + down), 0)
    ImageDraw.Draw(picture).text((room, up), letter, font=font, fill=255, anchor="ls")
    ink = np.asarray(picture)
    columns = np.flatnonzero(ink.any(0))
    if not columns.size:
        return ink[:, :0], 0, advance
    return ink[:, columns[0] : columns[-1] + 1].copy(), int(columns[0]) - room, advance


@lru_cache(maxsize=8192)
def _word(file: str, size: float, stretch: float, text: str, phase: float) -> tuple[np.ndarray, int]:
    """Return the ink of a word, uint8 [height, width], and its baseline's row; rendered at double size and reduced."""
    big = size * 2
    up, down = int(np.ceil(size * 1.1)), int(np.ceil(size * 0.4))
    glyphs = [_glyph(file, big, up * 2, down * 2, letter) for letter in text]
    natural = sum(advance for _, _, advance in glyphs)
    wide = int(natural + big)
    picture, x = np.zeros(((up + down) * 2, wide), np.uint8), big / 2
    for ink, left, advance in glyphs:
        first = max(round(x) + left, 0)
        part = picture[:, first : first + ink.shape[1]]
        np.maximum(part, ink[:, : part.shape[1]], out=part)
        x += advance
    # hinting makes letters a little too wide or too narrow: correct the width while reducing
    ratio = _advance(file, text) * big * stretch / max(natural, 1) / 2
    out = max(int(np.ceil(wide * ratio)) + 1, 1)
    matrix = np.array([[ratio, 0, phase + 0.5 * ratio - 0.5], [0, 0.5, -0.25]])
    source = cv2.blur(picture, (2, 2), anchor=(0, 0))
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5)
    return cv2.warpAffine(source, matrix, (out, up + down), flags=cv2.INTER_LINEAR), up


class Canvas:
    """A page that is being printed: RGB pixels, and a layer of ink of one colour that is blended with them at once.

    A `greeked` canvas prints words as grey bars: much faster, and enough for print that shows through the paper.
    """

    def __init__(self, width: int, height: int, aspect: float, paper: Colour, greeked: bool = False) -> None:
        self.pixels = np.empty((height, width, 3), np.uint8)
        self.pixels[:] = np.clip(paper, 0, 255).astype(np.uint8)
        self.aspect, self.greeked = aspect, greeked
        self.scale = np.array([width, height / aspect])
        self._ink = np.zeros((height, width), np.uint8)
        self._colour: Colour | None = None
        self._rows = [height, 0]

    def text(self, x: float, y: float, text: str, face: Face, colour: Colour) -> None:
        """Print text from x on the baseline y."""
        if colour != self._colour:
            self.flush()
            self._colour = colour
        left, base = x * self.scale[0], round(y * self.scale[1])
        size = round(face.size * self.scale[0] * 8) / 8
        if size < 1.5 or self.greeked:
            high, wide = max(round(size * 0.5), 1), face.width(text) * self.scale[0]
            self._add_ink(int(left), base - high, np.full((high, max(round(wide), 1)), 105, np.uint8))
            return
        start = int(np.floor((left - size / 2 * face.stretch) * 2)) / 2
        phase = start - np.floor(start)
        mask, up = _word(face.file, size, face.stretch, text, phase)
        self._add_ink(int(np.floor(start)), base - up, mask)

    def words(self, x: float, y: float, text: str, face: Face, colour: Colour) -> None:
        """Print text word by word: rendered words are cached, and words recur where lines do not."""
        for word in text.split(" "):
            if word:
                self.text(x, y, word, face, colour)
                x += face.width(word)
            x += face.width(" ")

    def _add_ink(self, x: int, y: int, mask: np.ndarray) -> None:
        high, wide = self._ink.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], wide), min(y + mask.shape[0], high)
        if x0 >= x1 or y0 >= y1:
            return
        part = self._ink[y0:y1, x0:x1]
        np.maximum(part, mask[y0 - y : y1 - y, x0 - x : x1 - x], out=part)
        self._rows = [min(self._rows[0], y0), max(self._rows[1], y1)]

    def flush(self) -> np.ndarray:
        """Blend the ink with the paper and return the pixels, uint8 [height, width, 3]."""
        top, end = self._rows
        if self._colour is not None and end > top:
            columns = np.flatnonzero(self._ink[top:end].any(0))
            if columns.size:
                part = np.s_[top:end, columns[0] : columns[-1] + 1]
                paper = self.pixels[part]
                ink = np.full(paper.shape, np.clip(self._colour, 0, 255), np.uint8)
                self.pixels[part] = blend(paper, ink, self._ink[part])
                self._ink[part] = 0
        self._rows = [self._ink.shape[0], 0]
        return self.pixels

    def region(self, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        """Return a writable view of a rectangle's pixels, uint8 [rows, columns, 3]; empty outside the page."""
        self.flush()
        x = np.clip(np.round(np.array([x0, x1]) * self.scale[0]), 0, self._ink.shape[1]).astype(int)
        y = np.clip(np.round(np.array([y0, y1]) * self.scale[1]), 0, self._ink.shape[0]).astype(int)
        return self.pixels[y[0] : y[1], x[0] : x[1]]

    def fill(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self.region(x0, y0, x1, y1)[:] = np.clip(colour, 0, 255).astype(np.uint8)

    def rule(self, x0: float, y0: float, x1: float, y1: float, thick: float, colour: Colour) -> None:
        """Print a horizontal or vertical line, `thick` page widths thick; a line thinner than a pixel is paler."""
        level = abs(x1 - x0) >= abs(y1 - y0)
        least = max(thick, 1.01 / self.scale[1 if level else 0])
        part = self.region(x0, y0, x1, y0 + least) if level else self.region(x0, y0, x0 + least, y1)
        part[:] = part * (1 - min(thick / least, 1.0)) + np.clip(colour, 0, 255) * min(thick / least, 1.0)

    def frame(self, x0: float, y0: float, x1: float, y1: float, thick: float, colour: Colour) -> None:
        """Print the outline of a rectangle."""
        self.rule(x0, y0, x1, y0, thick, colour)
        self.rule(x0, y1 - thick, x1, y1 - thick, thick, colour)
        self.rule(x0, y0, x0, y1, thick, colour)
        self.rule(x1 - thick, y0, x1 - thick, y1, thick, colour)

    def polygon(self, points: np.ndarray, colour: Colour, thick: float = 0.0, closed: bool = True) -> None:
        """Print an anti-aliased polygon, float [n, 2]: filled, or as a line `thick` page widths thick."""
        self.flush()
        if thick:
            pixels = max(round(thick * self.scale[0]), 1)
            draw_line(self.pixels, points * self.scale, clip_colour(colour), pixels, closed=closed)
        else:
            fill_polygon(self.pixels, points * self.scale, clip_colour(colour))

    def disc(self, x: float, y: float, radius: float, colour: Colour, thick: float = 0.0, tall: float = 1.0) -> None:
        """Print a circle, or an ellipse of `tall` times its height: filled, or as a line `thick` page widths thick."""
        turn = np.linspace(0, 2 * np.pi, 33)[:-1]
        self.polygon(np.stack([x + radius * np.cos(turn), y + radius * tall * np.sin(turn)], 1), colour, thick)
