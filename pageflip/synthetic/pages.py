"""What is printed on the pages, and the surface of the desk."""

import cv2
import numpy as np

from pageflip.synthetic.looks import Look

_SYLLABLES = [
    "ka",
    "mi",
    "ter",
    "lo",
    "sen",
    "da",
    "ru",
    "pel",
    "vo",
    "tin",
    "as",
    "ne",
    "gra",
    "bor",
    "el",
    "chi",
    "mu",
]
_SYLLABLES += ["fa", "sti", "on", "re", "qua", "le", "dis", "no", "vi"]


def page_texture(look: Look, number: int, width: int, height: int) -> np.ndarray:
    """Draw page `number` of the book: uint8 [height, width, 3] RGB, the spine at its left edge when odd."""
    rng = np.random.default_rng([look.book_seed, 21, number])
    page = np.empty((height * 2, width * 2, 3), np.uint8)
    page[:] = np.clip(look.paper, 0, 255)
    style = look.text
    pitch = max(style.pitch * width * 2, 4.0)
    left, right = style.margin * width * 2, (1 - style.margin * 0.8) * width * 2
    if number % 2 == 0:
        left, right = width * 2 - right, width * 2 - left
    _header(page, rng, look, number, pitch, (left, right))
    gap = pitch * 1.2
    span = (right - left - gap * (style.columns - 1)) / style.columns
    for column in range(style.columns):
        start = left + column * (span + gap)
        _column(page, rng, look, pitch, (start, start + span))
    page = cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, 1.5, (height, width, 1))
    return np.clip(page + grain, 0, 255).astype(np.uint8)


def _header(page: np.ndarray, rng: np.random.Generator, look: Look, number: int, pitch: float, span: tuple) -> None:
    height = page.shape[0]
    at = span[0] if number % 2 == 0 else span[1] - pitch * 7
    _line(page, _words(rng, 2).upper(), (at, height * 0.075), pitch * 0.75, look.text.font, look.text.ink, bold=True)
    _line(
        page, str(number), (at if number % 2 == 0 else span[1] - pitch, height * 0.965), pitch * 0.75, 0, look.text.ink
    )


def _column(page: np.ndarray, rng: np.random.Generator, look: Look, pitch: float, span: tuple) -> None:
    y, bottom = page.shape[0] * 0.115 + pitch, page.shape[0] * rng.uniform(0.8, 0.93)
    while y < bottom:
        draw = rng.random()
        if draw < look.text.figures * 0.4 and y + pitch * 5 < bottom:
            tall = min(pitch * rng.uniform(5, 15), bottom - y)
            _figure(page, rng, look, (span[0], y), (span[1], y + tall), pitch)
            y += tall + pitch * 1.3
        elif draw < look.text.figures * 0.4 + 0.16:
            _line(
                page, _words(rng, 3).title(), (span[0], y), pitch * 1.15, look.text.font, look.text.ink, True, span[1]
            )
            y += pitch * 1.5
        else:
            y = _paragraph(page, rng, look, (span[0], span[1]), y, bottom, pitch)


def _paragraph(page, rng: np.random.Generator, look: Look, span: tuple, y: float, bottom: float, pitch: float) -> float:
    lines = int(rng.integers(1, 9))
    for index in range(lines):
        if y > bottom:
            break
        end = span[1] if index < lines - 1 else span[0] + (span[1] - span[0]) * rng.uniform(0.2, 0.9)
        _line(page, _words(rng, 16), (span[0], y), pitch * 0.82, look.text.font, look.text.ink, end=end)
        y += pitch
    return y + pitch * rng.uniform(0.4, 0.9)


def _line(page, text: str, at: tuple, size: float, font: int, ink: tuple, bold: bool = False, end: float = 1e9) -> None:
    """Write `text` with letters about `size` pixels high in all, cut before `end`."""
    scale = size / 35
    thick = 2 if bold and size > 9 else 1
    while text and at[0] + cv2.getTextSize(text, font, scale, thick)[0][0] > end:
        text = text.rpartition(" ")[0]
    cv2.putText(page, text, (int(at[0]), int(at[1])), font, scale, ink, thick, cv2.LINE_AA)


def _figure(page, rng: np.random.Generator, look: Look, one: tuple, two: tuple, pitch: float) -> None:
    """A framed picture: a light window, a dark terminal, a photograph or a diagram."""
    (x1, y1), (x2, y2) = (int(v) for v in one), (int(v) for v in two)
    kind = rng.choice(["window", "terminal", "photo", "diagram"])
    tone = {"window": rng.uniform(175, 225), "terminal": rng.uniform(30, 60), "photo": 120, "diagram": 240}[str(kind)]
    box = page[y1:y2, x1:x2]
    if kind == "photo":
        cloud = cv2.resize(
            rng.uniform(30, 220, (4, 5)).astype(np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_CUBIC
        )
        box[:] = np.clip(cloud, 15, 235).astype(np.uint8)[..., None]
    else:
        box[:] = np.uint8(tone)
    if kind == "diagram":
        for _ in range(int(rng.integers(3, 7))):
            a = (int(rng.integers(x1, x2)), int(rng.integers(y1, y2)))
            b = (int(np.clip(a[0] + (x2 - x1) // 4, x1, x2)), int(np.clip(a[1] + (y2 - y1) // 5, y1, y2)))
            cv2.rectangle(page, a, b, look.text.ink, 2)
    elif kind != "photo":
        colour = (225, 225, 225) if kind == "terminal" else (90, 90, 95)
        for y in np.arange(y1 + pitch * 1.4, y2 - pitch * 0.3, pitch * 0.9):
            words = _words(rng, int(rng.integers(2, 9)))
            _line(page, words, (x1 + pitch * 0.5, y), pitch * 0.7, 0, colour, end=x2 - pitch * 0.3)
        cv2.rectangle(page, (x1, y1), (x2, y1 + int(pitch * 0.6)), (200, 200, 205), -1)
    cv2.rectangle(page, (x1, y1), (x2, y2), (70, 70, 70), 2)


def _words(rng: np.random.Generator, count: int) -> str:
    lengths = rng.integers(1, 4, count)
    chosen = iter(rng.integers(0, len(_SYLLABLES), int(lengths.sum())))
    return " ".join("".join(_SYLLABLES[next(chosen)] for _ in range(length)) for length in lengths)


def desk_picture(look: Look, width: int, height: int) -> np.ndarray:
    """Draw what lies under the book: desk, its edges, and the dark below; uint8 [height, width, 3] RGB."""
    rng = np.random.default_rng([look.book_seed, 22])
    coarse = rng.normal(0, 1, (24, 5)).astype(np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * look.grain
    stains = cv2.resize(rng.normal(0, 1.5, (9, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(look.desk)[None, None] + (grain + stains)[..., None]
    floor = np.asarray(look.below)[None, None] + 0.6 * np.abs(grain)[..., None]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / width
    near = _step(rows - (look.desk_edge[0] + look.desk_edge[1] * columns), 1.5 / width)
    far = _step(look.far_edge[0] + look.far_edge[1] * columns - rows, 1.5 / width)
    picture = picture + (floor - picture) * np.clip(near + far, 0, 1)[..., None]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    return _clothes(picture, rng, look)


def _clothes(picture: np.ndarray, rng: np.random.Generator, look: Look) -> np.ndarray:
    """Two knees or the hem of a jacket at the lower edge."""
    height, width = picture.shape[:2]
    colour = tuple(float(c) * 0.5 for c in look.sleeve)
    drawn = picture.copy()
    for x in (rng.uniform(-0.1, 0.25), rng.uniform(0.65, 1.1)):
        size = (int(width * rng.uniform(0.2, 0.35)), int(width * rng.uniform(0.15, 0.3)))
        cv2.ellipse(drawn, (int(x * width), height), size, 0, 0, 360, colour, -1, cv2.LINE_AA)
    top = int(height * 0.78)
    picture[top:] = cv2.GaussianBlur(drawn[top:], (0, 0), width / 200)
    return picture


def _step(distance: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(distance / softness + 0.5, 0, 1)
