"""Printed pages of a book as flat, evenly lit textures.

A leaf is an odd front 2k + 1 and its back 2k + 2. Odd pages have the spine at their left edge, even pages at the right.
"""

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.synthetic.book import pictures
from pageflip.synthetic.book.blocks import Column, fill_column, paragraph, typeset
from pageflip.synthetic.book.page_context import Area, PageContext
from pageflip.synthetic.book.page_styles import PageStyle
from pageflip.synthetic.book.typesetting import Canvas, Face, Writer
from pageflip.synthetic.primitives import attenuate

_SUPERSAMPLED = 250  # pixels; narrower pages are rendered at twice the size, for letters need more than three pixels
_BACK_WIDTH = 220  # pixels; the other side of the leaf is seen blurred


def page_texture(style: PageStyle, book_seed: int, number: int, width: int, height: int) -> np.ndarray:
    """Render page `number` (from 0) of a book; uint8 [height, width, 3] RGB, flat and evenly lit.

    The same arguments give the same bytes; another size of the same aspect ratio gives the same layout.

    Raises:
        ConfigError: `number` or `book_seed` is negative, or a side is below 8 pixels.
    """
    if min(number, book_seed) < 0 or min(width, height) < 8:
        raise ConfigError(
            f"page {number} of book {book_seed} at {width}x{height} cannot be drawn",
            "give a number and a seed of 0 or more, and at least 8x8 pixels.",
        )
    double = 2 if width < _SUPERSAMPLED else 1
    pixels = _print_page(style, book_seed, number, width * double, height * double, greeked=False)
    pixels = attenuate(pixels, _reflectance(style, book_seed, number, width * double, height * double))
    if double == 2:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return pixels


def _reflectance(style: PageStyle, book_seed: int, number: int, width: int, height: int) -> np.ndarray:
    """Return the paper's reflectance, uint8 [height, width]: fibres, and the print of the other side of the leaf."""
    wide = min(_BACK_WIDTH, width)
    other = number + 1 if number % 2 else number - 1
    light = np.full((height, width), 252, np.uint8)
    if other >= 0:
        back = _print_page(style, book_seed, other, wide, max(round(wide * height / width), 8), greeked=True)
        grey = cv2.cvtColor(np.ascontiguousarray(back[:, ::-1]), cv2.COLOR_RGB2GRAY)
        share = style.see_through / float(np.mean(style.paper))
        shadow = float(np.mean(style.paper)) - cv2.blur(grey, (3, 3)).astype(np.float32)
        dimmed = np.clip(252 * (1 - shadow * share), 0, 255)
        light = cv2.resize(np.round(dimmed).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    y, x = (int(v) for v in np.random.default_rng([book_seed, 23, number]).integers(0, 512, 2))
    tile = np.roll(_fibres(style.fibre), (y, x), (0, 1))
    tile = np.tile(tile, (height // 512 + 1, width // 512 + 1))[:height, :width]
    return cv2.addWeighted(light, 1.0, tile, 1.0, -128.0)


@lru_cache(maxsize=4)
def _fibres(strength: float) -> np.ndarray:
    """Return a tileable paper grain about 128, uint8 [512, 512]; `strength` is in grey levels."""
    return np.clip(np.round(128 + _grain() * strength), 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    rng = np.random.default_rng([0, 24])
    total = np.zeros((512, 512), np.float32)
    for sigma, share in ((0.6, 0.9), (2.2, 3.0), (9.0, 8.0)):
        wrapped = np.pad(rng.normal(0, share, (512, 512)).astype(np.float32), 40, mode="wrap")
        total += cv2.GaussianBlur(wrapped, (0, 0), sigma)[40:-40, 40:-40]
    return total


@lru_cache(maxsize=6)
def _print_page(style: PageStyle, book_seed: int, number: int, width: int, height: int, *, greeked: bool) -> np.ndarray:
    """Return the print on plain paper, uint8 [height, width, 3], read-only."""
    aspect = round(height / width * 20) / 20  # so that rounded sizes do not change the layout
    canvas = Canvas(width, height, aspect, style.paper, greeked)
    rng = np.random.default_rng([book_seed, 21, number])
    writer = Writer(rng, style.tongue, book_seed)
    page = PageContext(canvas, rng, writer, style)
    names = [name for name, _ in style.kinds]
    weights = np.array([weight for _, weight in style.kinds], float)
    kind = names[rng.choice(len(names), p=weights / weights.sum())]
    inner, outer, top, bottom = style.margins
    left, right = (inner, 1 - outer) if number % 2 else (outer, 1 - inner)
    _KINDS[kind](page, (left, top, right, aspect - bottom))
    if kind != "picture":
        _header(page, book_seed, number, (left, right), kind)
    pixels = canvas.flush()
    pixels.flags.writeable = False
    return pixels


def _header(page: PageContext, book_seed: int, number: int, sides: tuple[float, float], kind: str) -> None:
    style, canvas, odd = page.style, page.canvas, number % 2
    top, bottom = style.margins[2:]
    face = style.heading.scaled(0.72) if style.header == "capitals" else style.italic.scaled(0.85)
    chapter = number // 14 if odd else 10_000  # the book's title on the left, the chapter's on the right
    words = Writer(np.random.default_rng([book_seed, 22, chapter]), style.tongue, book_seed)
    title = words.title(1 + (book_seed + odd) % 3)
    title = title.upper() if style.header in ("capitals", "band") else title
    base = top * 0.56
    opening = kind in ("chapter", "opener", "story", "comic")
    if style.header == "band" and not opening:
        canvas.fill(0, 0, 1, top * 0.72, style.accent if style.colour else (190.0,) * 3)
    if style.header != "none" and not opening:
        x = sides[1] - face.width(title) if odd else sides[0]
        white = style.header == "band" and style.colour
        canvas.text(x, base, title, face, (250.0,) * 3 if white else style.ink)
        if style.header == "ruled":
            canvas.rule(sides[0], base + face.size * 0.55, sides[1], base + face.size * 0.55, 0.002, style.ink)
    figure, small = str(number), style.body.scaled(0.82)
    y = canvas.aspect - bottom * 0.42
    if style.folio == "centre" or (style.folio == "top" and (opening or style.header in ("none", "band"))):
        canvas.text((sides[0] + sides[1] - small.width(figure)) / 2, y, figure, small, style.ink)
    elif style.folio in ("outer", "top"):
        x = sides[1] - small.width(figure) if odd else sides[0]
        if style.folio == "top":
            x, y = (sides[0] if odd else sides[1] - small.width(figure)), base
        canvas.text(x, y, figure, small, style.ink)


def _columns(page: PageContext, box: Area) -> list[Column]:
    x0, y0, x1, y1 = box
    count, gutter = page.style.columns, page.style.size * 1.5
    wide = (x1 - x0 - gutter * (count - 1)) / count
    return [Column(page, x0 + i * (wide + gutter), x0 + i * (wide + gutter) + wide, y0, y1) for i in range(count)]


def _flow_page(page: PageContext, box: Area) -> None:
    if page.style.columns > 1 and page.rng.random() < 0.25 and page.style.genre != "novel":
        middle = box[1] + (box[2] - box[0]) * page.rng.uniform(0.35, 0.6)
        draw = pictures.photograph if page.style.genre in ("magazine", "catalogue") else pictures.chart
        draw(page, (box[0], box[1], box[2], middle))
        box = (box[0], middle + page.style.size, box[2], box[3])
    for column in _columns(page, box):
        fill_column(column)


def _chapter_page(page: PageContext, box: Area) -> None:
    """Print the first page of a chapter: a large title, space, and text, perhaps with a drop cap."""
    style, rng = page.style, page.rng
    x0, y0, x1, y1 = box
    column = Column(page, x0, x1, y0 + (y1 - y0) * rng.uniform(0.05, 0.3), y1)
    face = style.heading.scaled(rng.uniform(1.7, 2.6))
    if rng.random() < 0.6:
        typeset(column, [str(int(rng.integers(1, 30)))], face.scaled(1.4), page.accent)
    typeset(column, page.writer.title(int(rng.integers(1, 5))).split(" "), face, style.ink, justify=False)
    column.y += column.pitch * rng.uniform(1, 4)
    if rng.random() < 0.5 and column.room > column.pitch * 4:
        big = style.heading.scaled(3.4 * style.leading / 1.3)
        letter = page.writer.title(1)[0]
        page.canvas.text(x0, column.y + column.pitch * 3, letter, big, style.ink)
        part = Column(page, x0 + big.width(letter) + style.size * 0.3, x1, column.y, column.y + column.pitch * 3.05)
        typeset(part, page.writer.prose(60), style.body, style.ink)
        column.y = part.bottom - column.pitch * 0.05
    fill_column(column)


def _sparse_page(page: PageContext, box: Area) -> None:
    """Print the end of a chapter, a motto, or nothing."""
    kind = page.rng.integers(4)
    if kind == 0:
        return
    share = page.rng.uniform(0.08, 0.45)
    column = Column(page, box[0], box[2], box[1], box[1] + (box[3] - box[1]) * share)
    if kind == 1:
        column = Column(page, box[0] + 0.2, box[2], box[1] + 0.3, box[3])
        typeset(column, page.writer.prose(18), page.style.italic, page.style.ink, justify=False)
        return
    fill_column(column)


def _picture_page(page: PageContext, box: Area) -> None:
    """Print a picture over the whole page or most of it, perhaps with a line of text in it or below it."""
    style, rng, aspect = page.style, page.rng, page.canvas.aspect
    if rng.random() < 0.5:
        pictures.photograph(page, (0, 0, 1, aspect))
        if rng.random() < 0.6:
            column = Column(page, 0.08, 0.9, aspect * rng.choice([0.08, 0.75]), aspect)
            face = style.heading.scaled(2.2 if style.size < 0.04 else 1.2)
            typeset(column, page.writer.title(3).split(" "), face, (250.0,) * 3, justify=False)
        return
    x0, y0, x1, y1 = box
    middle = y0 + (y1 - y0) * rng.uniform(0.55, 0.85)
    pictures.photograph(page, (x0, y0, x1, middle))
    column = Column(page, x0, x1, middle + style.size * 0.3, y1)
    typeset(column, page.writer.prose(int(rng.integers(6, 40))), style.italic, style.ink)


def _opener_page(page: PageContext, box: Area) -> None:
    """Print the first page of a magazine article: picture, large title, lead, columns."""
    style, rng, aspect = page.style, page.rng, page.canvas.aspect
    high = aspect * rng.uniform(0.3, 0.5)
    pictures.photograph(page, (0, 0, 1, high) if rng.random() < 0.6 else (box[0], box[1], box[2], high))
    column = Column(page, box[0], box[2], high + style.size * 0.4, box[3])
    title = style.heading.scaled(rng.uniform(2.2, 3.6))
    typeset(column, page.writer.title(3).split(" "), title, page.accent, justify=False)
    typeset(column, page.writer.prose(22), style.bold.scaled(1.2), style.ink, justify=False)
    for part in _columns(page, (box[0], column.y + style.size, box[2], box[3])):
        fill_column(part)


def _story_page(page: PageContext, box: Area) -> None:
    """Print a page of a children's book: a large picture with a few large words above or below it."""
    rng, aspect = page.rng, page.canvas.aspect
    ground = page.tint(185, 252)
    if rng.random() < 0.6:
        page.canvas.fill(0, 0, 1, aspect, ground)
    upper = rng.random() < 0.5
    middle = aspect * (rng.uniform(0.3, 0.42) if upper else rng.uniform(0.56, 0.7))
    _scene(page, (0, middle, 1, aspect) if upper else (0, 0, 1, middle))
    column = Column(page, box[0], box[2], box[1] if upper else middle + 0.03, middle - 0.02 if upper else box[3])
    for _ in range(int(rng.integers(1, 3))):
        paragraph(column, int(rng.integers(8, 24)))


def _scene(page: PageContext, box: Area) -> None:
    """Print a picture-book scene in flat colours: sun, hills, houses, round animals."""
    rng, canvas = page.rng, page.canvas
    x0, y0, x1, y1 = box
    canvas.fill(*box, page.tint(130, 245))
    line = (40.0, 36.0, 40.0)
    canvas.disc(rng.uniform(0.1, 0.9), y0 + (y1 - y0) * 0.22, 0.07, (250.0, 210.0, 80.0) if page.style.colour else line)
    for _ in range(int(rng.integers(1, 3))):
        hill = rng.uniform(0.5, 0.75) + 0.06 * np.sin(np.linspace(0, rng.uniform(3, 9), 30) + rng.uniform(0, 6))
        points = np.stack([np.linspace(x0, x1, 30), y0 + (y1 - y0) * hill], 1)
        canvas.polygon(np.vstack([points, [(x1, y1), (x0, y1)]]), page.tint(60, 220))
    for _ in range(int(rng.integers(2, 6))):
        x, y, s = rng.uniform(0.1, 0.9), y0 + (y1 - y0) * rng.uniform(0.5, 0.8), rng.uniform(0.05, 0.13)
        tone = page.tint(40, 250)
        if rng.random() < 0.4:
            canvas.fill(x - s, y - s, x + s, y + s * 0.8, tone)
            canvas.polygon(np.array([(x - s * 1.2, y - s), (x, y - s * 2), (x + s * 1.2, y - s)]), page.tint(40, 200))
        else:
            canvas.disc(x, y, s, tone, tall=1.2)
            canvas.disc(x, y - s * 1.5, s * 0.7, tone)
            canvas.disc(x, y - s * 1.5, s * 0.7, line, 0.004)
            for side in (-0.25, 0.25):
                canvas.disc(x + s * side, y - s * 1.6, s * 0.1, line)
    if y1 < canvas.aspect:
        canvas.rule(x0, y1, x1, y1, 0.003, line)


def _comic_page(page: PageContext, box: Area) -> None:
    """Print rows of framed panels with scenes and speech balloons."""
    rng, style, canvas = page.rng, page.style, page.canvas
    x0, y0, x1, y1 = box[0], box[1] * 0.5, box[2], box[3]
    rows, gap = int(rng.integers(2, 5)), 0.014
    edges = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.3, rows))])
    edges = y0 + (y1 - y0) * edges / edges[-1]
    for top, end in pairwise(edges):
        cuts = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.3, int(rng.integers(1, 4))))])
        cuts = x0 + (x1 - x0) * cuts / cuts[-1]
        for left, right in pairwise(cuts):
            panel = (left, top, right - gap, end - gap)
            pictures.photograph(page, panel)
            _balloon(page, panel)
            canvas.frame(*panel, 0.005, style.ink)


def _balloon(page: PageContext, panel: Area) -> None:
    rng, style = page.rng, page.style
    face = Face(style.fonts[0], style.size * 0.85, 0.9)
    wide, high = (panel[2] - panel[0]) * rng.uniform(0.3, 0.46), face.size * rng.uniform(1.6, 3.4)
    x, y = panel[0] + (panel[2] - panel[0]) * rng.uniform(0.4, 0.6), panel[1] + high * 1.15
    if rng.random() < 0.3 or y + high > panel[3]:
        return
    page.canvas.disc(x, y, wide, (252.0,) * 3, tall=high / wide)
    page.canvas.polygon(
        np.array([(x, y + high * 0.8), (x + 0.03, y + high * 0.8), (x + 0.01, y + high * 1.6)]), (252.0,) * 3
    )
    page.canvas.disc(x, y, wide, (20.0,) * 3, 0.003, tall=high / wide)
    column = Column(page, x - wide * 0.72, x + wide * 0.72, y - high * 0.75, y + high * 0.75)
    typeset(column, [word.upper() for word in page.writer.prose(14)], face, style.ink, justify=False)


def _dictionary_page(page: PageContext, box: Area) -> None:
    """Print narrow columns of entries: a bold headword, then its meaning."""
    style = page.style
    for column in _columns(page, box):
        while column.room > column.pitch:
            entry = [*page.writer.words(1), *page.writer.prose(int(page.rng.integers(5, 34)))]
            typeset(column, entry, style.body, style.ink, lead=1)
        if column.x0 > box[0] + 0.01:
            x = column.x0 - style.size * 0.75
            page.canvas.rule(x, box[1], x, box[3], 0.0015, style.ink)


def _music_page(page: PageContext, box: Area) -> None:
    """Print staves with notes, bars, and words below."""
    rng, style, canvas = page.rng, page.style, page.canvas
    x0, y, x1, end = box
    space = style.size * rng.uniform(0.28, 0.4)
    column = Column(page, x0, x1, y - style.size, end)
    typeset(column, page.writer.title(2).split(" "), style.heading.scaled(1.6), style.ink, justify=False)
    y = column.y + space * 4
    while y + space * 8 < end:
        for i in range(5):
            canvas.rule(x0, y + i * space, x1, y + i * space, 0.0016, style.ink)
        for x in np.linspace(x0, x1, int(rng.integers(3, 6))):
            canvas.rule(min(x, x1 - 0.003), y, min(x, x1 - 0.003), y + 4 * space, 0.003, style.ink)
        x = x0 + space * 4
        while x < x1 - space * 2:
            at, up = y + space * rng.integers(-1, 10) / 2, rng.random() < 0.5
            canvas.disc(x, at, space * 0.62, style.ink, 0.0 if rng.random() < 0.8 else 0.003, tall=0.75)
            stem = at - space * 3.2 if up else at
            side = x + space * (0.55 if up else -0.55)
            canvas.rule(side, stem, side, stem + space * 3.2, 0.0028, style.ink)
            x += space * float(rng.choice([2.2, 3.0, 4.2]))
        words = Column(page, x0 + space * 3, x1, y + space * 5, y + space * 10)
        if rng.random() < 0.7:
            typeset(words, page.writer.words(6), style.body.scaled(0.8), style.ink, justify=True)
        y += space * rng.uniform(10, 11.5)


_KINDS = {
    "flow": _flow_page, "chapter": _chapter_page, "sparse": _sparse_page, "picture": _picture_page,
    "opener": _opener_page, "story": _story_page, "comic": _comic_page, "dictionary": _dictionary_page,
    "music": _music_page,
}  # fmt: skip
