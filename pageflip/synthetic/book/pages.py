"""What is printed on the pages of a book: flat, evenly lit pictures of paper, type and figures.

A leaf is (odd front number 2k+1, its back 2k+2). Odd pages have the spine at their left edge, even ones at the right.
"""

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.synthetic.book import pictures
from pageflip.synthetic.book.blocks import Column, flow, set_words, text
from pageflip.synthetic.book.page_styles import PageStyle, page_style
from pageflip.synthetic.book.pictures import Job
from pageflip.synthetic.book.typesetting import Canvas, Face, Writer

__all__ = ["PageStyle", "page_style", "page_texture"]

_TINY = 250  # narrower pages are drawn at twice the size, as letters of two or three pixels are no letters
_ROUGH = 220  # the width at which the leaf's other side is drawn: it is seen blurred


def page_texture(style: PageStyle, book_seed: int, number: int, width: int, height: int) -> np.ndarray:
    """Draw page `number` (from 0) of a book: uint8 [height, width, 3] RGB, flat and evenly lit.

    The same arguments give the same bytes; other sizes of the same shape give the same layout.

    Raises ConfigError for a negative number or seed, or a page smaller than 8x8 pixels.
    """
    if min(number, book_seed) < 0 or min(width, height) < 8:
        raise ConfigError(
            f"page {number} of book {book_seed} at {width}x{height} cannot be drawn",
            "Give a number and a seed of 0 or more, and at least 8x8 pixels.",
        )
    double = 2 if width < _TINY else 1
    page = _printed(style, book_seed, number, width * double, height * double, False)
    page = cv2.multiply(page, _paper_light(style, book_seed, number, width * double, height * double), scale=1 / 255)
    if double == 2:
        page = cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA)
    return page


def _paper_light(style: PageStyle, book_seed: int, number: int, width: int, height: int) -> np.ndarray:
    """How much of the paper's light is left, uint8 [height, width, 3]: fibres, and the print of the other side."""
    wide = min(_ROUGH, width)
    other = number + 1 if number % 2 else number - 1
    light = np.full((height, width), 252, np.uint8)
    if other >= 0:
        back = _printed(style, book_seed, other, wide, max(round(wide * height / width), 8), True)
        grey = cv2.cvtColor(np.ascontiguousarray(back[:, ::-1]), cv2.COLOR_RGB2GRAY)
        share = style.see_through / float(np.mean(style.paper))
        shadow = float(np.mean(style.paper)) - cv2.blur(grey, (3, 3)).astype(np.float32)
        dimmed = np.clip(252 * (1 - shadow * share), 0, 255)
        light = cv2.resize(np.round(dimmed).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    y, x = (int(v) for v in np.random.default_rng([book_seed, 23, number]).integers(0, 512, 2))
    tile = np.roll(_fibres(style.fibre), (y, x), (0, 1))
    tile = np.tile(tile, (height // 512 + 1, width // 512 + 1))[:height, :width]
    return cv2.merge([cv2.addWeighted(light, 1.0, tile, 1.0, -128.0)] * 3)


@lru_cache(maxsize=4)
def _fibres(strength: float) -> np.ndarray:
    """A repeating sheet of paper grain about 128, uint8 [512, 512], `strength` steps of brightness strong."""
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
def _printed(style: PageStyle, book_seed: int, number: int, width: int, height: int, rough: bool) -> np.ndarray:
    """The print on plain paper, uint8 [height, width, 3]; `rough` with bars for words."""
    aspect = round(height / width * 20) / 20  # so that rounded sizes do not change the layout
    canvas = Canvas(width, height, aspect, style.paper, rough)
    rng = np.random.default_rng([book_seed, 21, number])
    writer = Writer(rng, style.tongue, book_seed)
    job = Job(canvas, rng, writer, style)
    names = [name for name, _ in style.kinds]
    weights = np.array([weight for _, weight in style.kinds], float)
    kind = names[rng.choice(len(names), p=weights / weights.sum())]
    inner, outer, top, bottom = style.margins
    left, right = (inner, 1 - outer) if number % 2 else (outer, 1 - inner)
    _KINDS[kind](job, (left, top, right, aspect - bottom))
    if kind != "picture":
        _header(job, book_seed, number, (left, right), kind)
    page = canvas.dry()
    page.flags.writeable = False
    return page


def _header(job: Job, book_seed: int, number: int, sides: tuple[float, float], kind: str) -> None:
    style, canvas, odd = job.style, job.canvas, number % 2
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


def _columns(job: Job, box: tuple) -> list[Column]:
    x0, y0, x1, y1 = box
    count, gutter = job.style.columns, job.style.size * 1.5
    wide = (x1 - x0 - gutter * (count - 1)) / count
    return [Column(job, x0 + i * (wide + gutter), x0 + i * (wide + gutter) + wide, y0, y1) for i in range(count)]


def _flow_page(job: Job, box: tuple) -> None:
    if job.style.columns > 1 and job.rng.random() < 0.25 and job.style.genre != "novel":
        middle = box[1] + (box[2] - box[0]) * job.rng.uniform(0.35, 0.6)
        draw = pictures.photograph if job.style.genre in ("magazine", "catalogue") else pictures.chart
        draw(job, (box[0], box[1], box[2], middle))
        box = (box[0], middle + job.style.size, box[2], box[3])
    for column in _columns(job, box):
        flow(column)


def _chapter_page(job: Job, box: tuple) -> None:
    """The first page of a chapter: a large title, room, and text that may begin with a large letter."""
    style, rng = job.style, job.rng
    x0, y0, x1, y1 = box
    column = Column(job, x0, x1, y0 + (y1 - y0) * rng.uniform(0.05, 0.3), y1)
    face = style.heading.scaled(rng.uniform(1.7, 2.6))
    if rng.random() < 0.6:
        set_words(
            column, [str(int(rng.integers(1, 30)))], face.scaled(1.4), style.accent if style.colour else style.ink
        )
    set_words(column, job.writer.title(int(rng.integers(1, 5))).split(" "), face, style.ink, justify=False)
    column.y += column.pitch * rng.uniform(1, 4)
    if rng.random() < 0.5 and column.room > column.pitch * 4:
        big = style.heading.scaled(3.4 * style.leading / 1.3)
        letter = job.writer.title(1)[0]
        job.canvas.text(x0, column.y + column.pitch * 3, letter, big, style.ink)
        part = Column(job, x0 + big.width(letter) + style.size * 0.3, x1, column.y, column.y + column.pitch * 3.05)
        set_words(part, job.writer.prose(60), style.body, style.ink)
        column.y = part.bottom - column.pitch * 0.05
    flow(column)


def _sparse_page(job: Job, box: tuple) -> None:
    """The end of a chapter, a motto, or nothing at all."""
    kind = job.rng.integers(4)
    if kind == 0:
        return
    share = job.rng.uniform(0.08, 0.45)
    column = Column(job, box[0], box[2], box[1], box[1] + (box[3] - box[1]) * share)
    if kind == 1:
        column = Column(job, box[0] + 0.2, box[2], box[1] + 0.3, box[3])
        set_words(column, job.writer.prose(18), job.style.italic, job.style.ink, justify=False)
        return
    flow(column)


def _picture_page(job: Job, box: tuple) -> None:
    """A picture over the whole page or nearly so, perhaps with a line of text in it or below it."""
    style, rng, aspect = job.style, job.rng, job.canvas.aspect
    if rng.random() < 0.5:
        pictures.photograph(job, (0, 0, 1, aspect))
        if rng.random() < 0.6:
            column = Column(job, 0.08, 0.9, aspect * rng.choice([0.08, 0.75]), aspect)
            face = style.heading.scaled(2.2 if style.size < 0.04 else 1.2)
            set_words(column, job.writer.title(3).split(" "), face, (250.0,) * 3, justify=False)
        return
    x0, y0, x1, y1 = box
    middle = y0 + (y1 - y0) * rng.uniform(0.55, 0.85)
    pictures.photograph(job, (x0, y0, x1, middle))
    column = Column(job, x0, x1, middle + style.size * 0.3, y1)
    set_words(column, job.writer.prose(int(rng.integers(6, 40))), style.italic, style.ink)


def _opener_page(job: Job, box: tuple) -> None:
    """A magazine's article begins: picture, large title, lead, columns."""
    style, rng, aspect = job.style, job.rng, job.canvas.aspect
    high = aspect * rng.uniform(0.3, 0.5)
    pictures.photograph(job, (0, 0, 1, high) if rng.random() < 0.6 else (box[0], box[1], box[2], high))
    column = Column(job, box[0], box[2], high + style.size * 0.4, box[3])
    title = style.heading.scaled(rng.uniform(2.2, 3.6))
    set_words(column, job.writer.title(3).split(" "), title, style.accent if style.colour else style.ink, justify=False)
    set_words(column, job.writer.prose(22), style.bold.scaled(1.2), style.ink, justify=False)
    for part in _columns(job, (box[0], column.y + style.size, box[2], box[3])):
        flow(part)


def _story_page(job: Job, box: tuple) -> None:
    """A children's page: a large flat-coloured picture with few large words above, below or in it."""
    rng, aspect = job.rng, job.canvas.aspect
    ground = job.tint(185, 252)
    if rng.random() < 0.6:
        job.canvas.fill(0, 0, 1, aspect, ground)
    upper = rng.random() < 0.5
    middle = aspect * (rng.uniform(0.3, 0.42) if upper else rng.uniform(0.56, 0.7))
    _scene(job, (0, middle, 1, aspect) if upper else (0, 0, 1, middle))
    column = Column(job, box[0], box[2], box[1] if upper else middle + 0.03, middle - 0.02 if upper else box[3])
    for _ in range(int(rng.integers(1, 3))):
        text(column, int(rng.integers(8, 24)))


def _scene(job: Job, box: tuple) -> None:
    """Flat shapes as in picture books: sky, hills, sun, houses, trees, round animals."""
    rng, canvas = job.rng, job.canvas
    x0, y0, x1, y1 = box
    canvas.fill(*box, job.tint(130, 245))
    line = (40.0, 36.0, 40.0)
    canvas.disc(rng.uniform(0.1, 0.9), y0 + (y1 - y0) * 0.22, 0.07, (250.0, 210.0, 80.0) if job.style.colour else line)
    for _ in range(int(rng.integers(1, 3))):
        hill = rng.uniform(0.5, 0.75) + 0.06 * np.sin(np.linspace(0, rng.uniform(3, 9), 30) + rng.uniform(0, 6))
        points = np.stack([np.linspace(x0, x1, 30), y0 + (y1 - y0) * hill], 1)
        canvas.shape(np.vstack([points, [(x1, y1), (x0, y1)]]), job.tint(60, 220))
    for _ in range(int(rng.integers(2, 6))):
        x, y, s = rng.uniform(0.1, 0.9), y0 + (y1 - y0) * rng.uniform(0.5, 0.8), rng.uniform(0.05, 0.13)
        tone = job.tint(40, 250)
        if rng.random() < 0.4:
            canvas.fill(x - s, y - s, x + s, y + s * 0.8, tone)
            canvas.shape(np.array([(x - s * 1.2, y - s), (x, y - s * 2), (x + s * 1.2, y - s)]), job.tint(40, 200))
        else:
            canvas.disc(x, y, s, tone, tall=1.2)
            canvas.disc(x, y - s * 1.5, s * 0.7, tone)
            canvas.disc(x, y - s * 1.5, s * 0.7, line, 0.004)
            for side in (-0.25, 0.25):
                canvas.disc(x + s * side, y - s * 1.6, s * 0.1, line)
    if y1 < canvas.aspect:
        canvas.rule(x0, y1, x1, y1, 0.003, line)


def _comic_page(job: Job, box: tuple) -> None:
    """Rows of framed panels with drawn scenes and balloons."""
    rng, style, canvas = job.rng, job.style, job.canvas
    x0, y0, x1, y1 = box[0], box[1] * 0.5, box[2], box[3]
    rows, gap = int(rng.integers(2, 5)), 0.014
    edges = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.3, rows))])
    edges = y0 + (y1 - y0) * edges / edges[-1]
    for top, end in pairwise(edges):
        cuts = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.3, int(rng.integers(1, 4))))])
        cuts = x0 + (x1 - x0) * cuts / cuts[-1]
        for left, right in pairwise(cuts):
            panel = (left, top, right - gap, end - gap)
            pictures.photograph(job, panel)
            _balloon(job, panel)
            canvas.frame(*panel, 0.005, style.ink)


def _balloon(job: Job, panel: tuple) -> None:
    rng, style = job.rng, job.style
    face = Face(style.fonts[0], style.size * 0.85, 0.9)
    wide, high = (panel[2] - panel[0]) * rng.uniform(0.3, 0.46), face.size * rng.uniform(1.6, 3.4)
    x, y = panel[0] + (panel[2] - panel[0]) * rng.uniform(0.4, 0.6), panel[1] + high * 1.15
    if rng.random() < 0.3 or y + high > panel[3]:
        return
    job.canvas.disc(x, y, wide, (252.0,) * 3, tall=high / wide)
    job.canvas.shape(
        np.array([(x, y + high * 0.8), (x + 0.03, y + high * 0.8), (x + 0.01, y + high * 1.6)]), (252.0,) * 3
    )
    job.canvas.disc(x, y, wide, (20.0,) * 3, 0.003, tall=high / wide)
    column = Column(job, x - wide * 0.72, x + wide * 0.72, y - high * 0.75, y + high * 0.75)
    set_words(column, [word.upper() for word in job.writer.prose(14)], face, style.ink, justify=False)


def _dictionary_page(job: Job, box: tuple) -> None:
    """Narrow columns of entries: a heavy word, then its meaning."""
    style = job.style
    for column in _columns(job, box):
        while column.room > column.pitch:
            entry = [*job.writer.words(1), *job.writer.prose(int(job.rng.integers(5, 34)))]
            set_words(column, entry, style.body, style.ink, lead=1)
        if column.x0 > box[0] + 0.01:
            x = column.x0 - style.size * 0.75
            job.canvas.rule(x, box[1], x, box[3], 0.0015, style.ink)


def _music_page(job: Job, box: tuple) -> None:
    """Staves with notes, bars and words below."""
    rng, style, canvas = job.rng, job.style, job.canvas
    x0, y, x1, end = box
    space = style.size * rng.uniform(0.28, 0.4)
    column = Column(job, x0, x1, y - style.size, end)
    set_words(column, job.writer.title(2).split(" "), style.heading.scaled(1.6), style.ink, justify=False)
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
        words = Column(job, x0 + space * 3, x1, y + space * 5, y + space * 10)
        if rng.random() < 0.7:
            set_words(words, job.writer.words(6), style.body.scaled(0.8), style.ink, justify=True)
        y += space * rng.uniform(10, 11.5)


_KINDS = {
    "flow": _flow_page, "chapter": _chapter_page, "sparse": _sparse_page, "picture": _picture_page,
    "opener": _opener_page, "story": _story_page, "comic": _comic_page, "dictionary": _dictionary_page,
    "music": _music_page,
}  # fmt: skip
