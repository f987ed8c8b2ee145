"""Pictures printed in books: photographs, charts, diagrams, screenshots.

Each fills an area (x0, y0, x1, y1) of a page, in page widths.
"""

import cv2
import numpy as np

from pageflip.synthetic.book.page_context import Area, PageContext, Point
from pageflip.synthetic.book.typesetting import Canvas, Face
from pageflip.synthetic.primitives import Colour, triple


def photograph(page: PageContext, box: Area) -> None:
    """Print a photograph: a landscape, shaded solids, houses with windows, a soft gradient, or a crowd."""
    rng = page.rng
    seed, kind = int(rng.integers(2**31)), int(rng.integers(5))
    part = page.canvas.region(*box)
    if part.size == 0:
        return
    inner = np.random.default_rng([seed, 52])  # the page's own stream must not depend on the kind of photograph
    tall, wide = (box[3] - box[1]) / max(box[2] - box[0], 1e-6), 160
    high = int(np.clip(wide * tall, 16, 320))
    paint = (_landscape, _bodies, _windows, _soft, _crowd)[kind]
    small = paint(inner, wide, high)
    small = small + cv2.GaussianBlur(inner.normal(0, 4, (high, wide, 1)).astype(np.float32), (0, 0), 0.7)[..., None]
    low, top = np.percentile(small[::4, ::4], [3, 97])
    small = (small - low) * ((235 - 25) / max(top - low, 30)) + 25
    if not page.style.colour:
        small = np.repeat(small.mean(2, keepdims=True) * 0.85 + 22, 3, axis=2)
    ready = np.clip(small, 8, 246).astype(np.uint8)
    way = cv2.INTER_AREA if part.shape[1] < wide else cv2.INTER_CUBIC
    part[:] = cv2.resize(ready, (part.shape[1], part.shape[0]), interpolation=way)


def _noise(rng: np.random.Generator, wide: int, high: int, cells: int, channels: int = 1) -> np.ndarray:
    """Return smooth noise in 0..1 with about `cells` waves per width; float32 [high, wide, channels]."""
    total = np.zeros((high, wide, channels), np.float32)
    for octave in range(3):
        n = cells * 2**octave + 2
        grid = rng.random((max(n * high // wide, 2), n, channels), np.float32)
        layer = cv2.resize(grid, (wide, high), interpolation=cv2.INTER_CUBIC)
        total += layer.reshape(total.shape) / 2**octave
    return np.clip(total / 1.75, 0, 1)


def _tone(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Sample the colour of an object, float32 [3]: mostly muted, sometimes saturated."""
    shift = rng.normal(0, 1, 3) * float(rng.choice([8, 20, 50], p=[0.4, 0.45, 0.15]))
    return np.clip(rng.uniform(low, high) + shift - shift.mean(), low - 25, high + 10).astype(np.float32)


def _landscape(rng: np.random.Generator, wide: int, high: int) -> np.ndarray:
    sky = np.array([(120, 170, 220), (230, 190, 150), (190, 200, 210), (90, 110, 160)][rng.integers(4)], np.float32)
    rows = np.linspace(0, 1, high, dtype=np.float32)[:, None, None]
    picture = sky + (np.float32(245) - sky) * rows * 0.8 + 50 * (_noise(rng, wide, high, 3) - 0.5)
    horizon = rng.uniform(0.3, 0.6)
    ground = _tone(rng, 35, 140) * np.array([0.9, 1.0, 0.75], np.float32)
    layers = int(rng.integers(2, 5))
    grain = _noise(rng, wide, high, 12)
    for layer in range(layers):
        far = 1 - (layer + 1) / layers
        ridge = np.interp(np.arange(wide), np.linspace(0, wide, 14), rng.normal(0, 0.06 + 0.05 * far, 14))
        ridge = horizon + (1 - horizon) * 0.7 * layer / layers + ridge
        mask = np.clip((rows[..., 0] - ridge[None]) * high * 0.7, 0, 1)[..., None].astype(np.float32)
        tone = ground * (0.7 + 0.5 * grain) * (1 - 0.5 * far) + sky * 0.6 * far
        picture = picture * (1 - mask) + tone * mask
    return picture


def _bodies(rng: np.random.Generator, wide: int, high: int) -> np.ndarray:
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32) / wide
    tones = _tone(rng, 90, 235), _tone(rng, 60, 235)
    picture = tones[0] + (tones[1] - tones[0]) * (y * wide / high)[..., None]
    for _ in range(int(rng.integers(2, 7))):
        cx, cy = rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.9) * high / wide
        rx, ry = rng.uniform(0.06, 0.28), rng.uniform(0.08, 0.35)
        u, v = (x - cx) / rx, (y - cy) / ry
        shape = np.maximum(np.abs(u), np.abs(v)) if rng.random() < 0.3 else np.hypot(u, v)
        shadow = np.clip(1.25 - np.hypot(u - 0.25, v - 0.3), 0, 0.4)[..., None]
        mask = np.clip((1 - shape) * 12, 0, 1)[..., None]
        shade = 0.95 - 0.5 * np.clip(u * 0.5 + v * 0.6, -0.7, 0.8)
        tone = _tone(rng, 40, 225) * shade[..., None]
        picture = picture * (1 - shadow) * (1 - mask) + tone * mask
    return picture


def _windows(rng: np.random.Generator, wide: int, high: int) -> np.ndarray:
    picture = np.empty((high, wide, 3), np.float32)
    picture[:] = _tone(rng, 150, 235) + 30 * (_noise(rng, wide, high, 3) - 0.5)
    x = 0
    while x < wide:
        broad, top = int(rng.integers(14, 50)), int(high * rng.uniform(0.05, 0.6))
        wall = _tone(rng, 50, 190)
        picture[top:, x : x + broad] = wall
        step, lit = int(rng.integers(5, 11)), rng.uniform(-45, 60) + rng.uniform(-8, 8, 3)
        for row in range(top + 3, high - 3, step):
            for column in range(x + 3, min(x + broad - 3, wide), step):
                picture[row : row + step // 2 + 1, column : column + step // 2] = wall + lit * rng.uniform(0.3, 1.2)
        x += broad
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


def _soft(rng: np.random.Generator, wide: int, high: int) -> np.ndarray:
    start, end = _tone(rng, 20, 120), _tone(rng, 140, 245)
    mix = np.array([0, 0.3, 0.75, 1], np.float32)[:, None]
    tones = start + (end - start) * mix + rng.normal(0, 14, (4, 3))
    at = np.sort(np.concatenate([[0, 1], rng.uniform(0.25, 0.75, 2)]))
    field = _noise(rng, wide, high, int(rng.integers(1, 4)))[..., 0]
    return np.stack([np.interp(field, at, tones[:, c]) for c in range(3)], 2).astype(np.float32)


def _crowd(rng: np.random.Generator, wide: int, high: int) -> np.ndarray:
    """Paint heads and shoulders from back to front."""
    picture = np.empty((high, wide, 3), np.float32)
    picture[:] = _tone(rng, 70, 220) + 60 * (_noise(rng, wide, high, 4) - 0.5)
    count = int(rng.integers(1, 7))
    for i in range(count):
        size = wide * rng.uniform(0.05, 0.09) * (1 + 6 / count) * 0.6
        x, y = int(rng.uniform(0.15, 0.85) * wide), int(high * (0.3 + 0.4 * i / count))
        skin = (np.array((225, 180, 155)) * rng.uniform(0.4, 1.0)).tolist()
        cloth = _tone(rng, 30, 220)
        centre = (x, int(y + size * 2.6))
        cv2.ellipse(picture, centre, (int(size * 1.7), int(size * 1.8)), 0, 180, 360, cloth.tolist(), -1, cv2.LINE_AA)
        cv2.rectangle(picture, (x - int(size * 1.7), centre[1]), (x + int(size * 1.7), high), cloth.tolist(), -1)
        cv2.ellipse(picture, (x, y), (int(size * 0.78), int(size)), 0, 0, 360, skin, -1, cv2.LINE_AA)
        hair = (x, int(y - size * 0.3)), (int(size * 0.85), int(size * 0.85))
        cv2.ellipse(picture, *hair, 0, 180, 360, _tone(rng, 20, 110).tolist(), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8) + 30 * (_noise(rng, wide, high, 10) - 0.5)


def chart(page: PageContext, box: Area) -> None:
    """Print a chart: axes with ticks and labels, and lines, bars or points."""
    canvas, rng, style = page.canvas, page.rng, page.style
    face = Face(style.fonts[0], style.size * 0.62, style.narrow[0])
    x0, y0, x1, y1 = box[0] + face.size * 2.5, box[1] + face.size, box[2] - face.size, box[3] - face.size * 2.4
    kind, series = rng.choice(["lines", "bars", "points"]), int(rng.integers(1, 4))
    steps = int(rng.integers(4, 7))
    for i in range(steps + 1):
        y = y1 - (y1 - y0) * i / steps
        canvas.rule(x0, y, x1, y, 0.0012, (190, 190, 190))
        canvas.text(box[0] + face.size * 0.4, y + face.size * 0.35, str(i * 10), face, style.ink)
    count = int(rng.integers(5, 12))
    xs = np.linspace(x0, x1, count + 2)[1:-1]
    for x in xs[:: 1 if count < 8 else 2]:
        canvas.text(x - face.size * 0.7, y1 + face.size * 1.4, str(int(rng.integers(10, 99))), face, style.ink)
    for index in range(series):
        tone = page.tint(20, 200) if style.colour else (35.0 + 60 * index,) * 3
        values = np.clip(np.cumsum(rng.normal(0, 0.18, count)) + rng.uniform(0.2, 0.8), 0.04, 0.97)
        ys = y1 - (y1 - y0) * values
        if kind == "bars":
            wide = (x1 - x0) / count * 0.7 / series
            for x, y in zip(xs - wide * series / 2 + wide * index, ys, strict=True):
                canvas.fill(x, y, x + wide * 0.92, y1, tone)
        elif kind == "lines":
            canvas.polygon(np.stack([xs, ys], 1), tone, 0.004, closed=False)
        if kind == "points" or (kind == "lines" and index == 0):
            for x, y in zip(xs, ys, strict=True):
                canvas.disc(x, y, 0.007, tone)
    canvas.rule(x0, y0, x0, y1, 0.003, style.ink)
    canvas.rule(x0, y1, x1, y1, 0.003, style.ink)


def diagram(page: PageContext, box: Area) -> None:
    """Print a flow chart: rows of boxes or ellipses with words, connected by arrows."""
    canvas, rng, style = page.canvas, page.rng, page.style
    face = Face(style.fonts[0], style.size * 0.68, style.narrow[0])
    columns, rows = int(rng.integers(2, 4)), max(int((box[3] - box[1]) / (face.size * 4.2)), 1)
    wide, high = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
    paper, round_ones = page.tint(215, 248), rng.random() < 0.3
    last = None
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.2:
                continue
            cx, cy = box[0] + wide * (column + 0.5), box[1] + high * (row + 0.5)
            w, h = wide * 0.33, min(high * 0.3, face.size * 1.7)
            if last is not None:
                _arrow(canvas, last, (cx, cy), (w, h), style.ink)
            last = (cx, cy)
            if round_ones:
                canvas.disc(cx, cy, w, paper, tall=h / w)
                canvas.disc(cx, cy, w, style.ink, 0.003, tall=h / w)
            else:
                canvas.fill(cx - w, cy - h, cx + w, cy + h, paper)
                canvas.frame(cx - w, cy - h, cx + w, cy + h, 0.003, style.ink)
            word = page.writer.title(1)
            canvas.text(cx - min(face.width(word) / 2, w), cy + face.size * 0.35, word, face, style.ink)


def _arrow(canvas: Canvas, a: Point, b: Point, half: Point, ink: Colour) -> None:
    """Print an arrow from one box to another: horizontal within a row, otherwise round a corner and from above."""
    if abs(a[1] - b[1]) < half[1]:
        tail, tip, back = (a[0] + half[0], a[1]), (b[0] - half[0], b[1]), (-1.0, 0.0)
    else:
        tail, tip, back = (a[0], a[1] + half[1]), (b[0], b[1] - half[1]), (0.0, -1.0)
        middle = (tail[1] + tip[1]) / 2
        canvas.rule(tail[0], tail[1], tail[0], middle, 0.0025, ink)
        canvas.rule(min(tail[0], tip[0]), middle, max(tail[0], tip[0]), middle, 0.0025, ink)
        tail = (tip[0], middle)
    canvas.rule(min(tail[0], tip[0]), tail[1], max(tip[0], tail[0]), tip[1], 0.0025, ink)
    side = (back[1] * 0.006, back[0] * 0.006)
    root = (tip[0] + back[0] * 0.014, tip[1] + back[1] * 0.014)
    head = [tip, (root[0] + side[0], root[1] + side[1]), (root[0] - side[0], root[1] - side[1])]
    canvas.polygon(np.array(head), ink)


def screenshot(page: PageContext, box: Area) -> None:
    """Print a screenshot: a dark or light terminal, or a window with a menu, fields, a list and a text panel."""
    canvas, rng, style = page.canvas, page.rng, page.style
    x0, y0, x1, y1 = box
    kind = rng.choice(["dark", "light", "window", "window"])
    size = style.size * rng.uniform(0.52, 0.72)
    mono, sans = Face("DejaVuSansMono", size, 0.92), Face("DejaVuSans", size, 0.95)
    back = {"dark": page.tint(22, 58), "light": page.tint(236, 250), "window": page.tint(196, 226)}[str(kind)]
    canvas.fill(x0, y0, x1, y1, back)
    bar = size * 1.9
    tone = page.tint(175, 225) if rng.random() < 0.7 else page.tint(50, 90)
    canvas.fill(x0, y0, x1, y0 + bar, tone)
    title = page.writer.title(2)
    ink = (40.0,) * 3 if tone[0] > 128 else (225.0,) * 3
    canvas.text((x0 + x1 - sans.width(title)) / 2, y0 + bar * 0.68, title, sans, ink)
    for i in range(3):
        canvas.disc(
            x1 - bar * (0.5 + 0.75 * i), y0 + bar * 0.5, size * 0.38, ink if not style.colour else page.tint(60, 230)
        )
    inner = (x0 + size * 0.7, y0 + bar + size * 0.4, x1 - size * 0.7, y1 - size * 0.5)
    if kind == "window":
        _window(page, inner, sans)
    else:
        _terminal(page, inner, mono, (222.0,) * 3 if kind == "dark" else (45.0,) * 3)
    canvas.frame(x0, y0, x1, y1, float(rng.choice([0.002, 0.004, 0.009])), (35.0,) * 3)


def _terminal(page: PageContext, box: Area, face: Face, ink: Colour) -> None:
    prompt, y = "".join(page.writer.words(2))[:9] + ":~# ", box[1] + face.size
    pale = triple(0.65 * c + 42 for c in ink)
    while y < box[3]:
        asked = page.rng.random() < 0.2
        line = " ".join(page.writer.words(int(page.rng.integers(1, 10))))
        if not asked and page.rng.random() < 0.5:
            line = f"{page.rng.integers(1, 255)}.{page.rng.integers(255)}.0.{page.rng.integers(255)}   {line}"
        count = int((box[2] - box[0]) / face.width("m"))
        tone = page.tint(120, 250) if asked and ink[0] > 128 else (ink if asked else pale)
        text = (prompt + line if asked else line)[: max(count, 4)]
        if page.rng.random() > 0.1:
            page.canvas.words(box[0], y, text, face, tone)
        y += face.size * 1.32


def _window(page: PageContext, box: Area, face: Face) -> None:
    canvas, rng, (x0, y0, x1, y1) = page.canvas, page.rng, box
    dim, row = (70.0,) * 3, face.size * 1.9
    canvas.words(x0, y0 + face.size, "  ".join(w.capitalize() for w in page.writer.words(5)), face, dim)
    y = y0 + row
    for _ in range(int(rng.integers(0, 3))):
        if y + row * 3 > y1:
            break
        canvas.words(x0, y + face.size * 1.2, page.writer.title(1)[:9], face, dim)
        start = x0 + face.size * 5.5
        canvas.fill(start, y, x1, y + row * 0.85, (250.0,) * 3)
        canvas.frame(start, y, x1, y + row * 0.85, 0.0015, (130.0,) * 3)
        canvas.words(start + face.size * 0.5, y + face.size * 1.2, page.writer.title(2), face, dim)
        y += row
    split = x0 + (x1 - x0) * float(rng.choice([0.0, 0.26, 0.32]))
    if split > x0 + 0.02:
        canvas.fill(x0, y, split - face.size * 0.4, y1, (244.0,) * 3)
        chosen = int(rng.integers(0, 4))
        for i in range(min(int(rng.integers(2, 12)), int((y1 - y) / row))):
            if i == chosen:
                canvas.fill(x0, y + row * i, split - face.size * 0.4, y + row * (i + 1), page.tint(70, 120))
            tone = (240.0,) * 3 if i == chosen else dim
            canvas.words(x0 + face.size * 0.4, y + row * i + face.size * 1.3, page.writer.title(1)[:9], face, tone)
    canvas.fill(split, y, x1, y1, (240.0,) * 3)
    at = y + face.size * 1.5
    while at < y1 - face.size * 0.3:
        words = page.writer.words(int(rng.integers(1, 9)))
        while words and face.width(" ".join(words)) > x1 - split - face.size:
            words.pop()
        canvas.words(split + face.size * 0.5, at, " ".join(words), face, dim)
        at += face.size * 1.45
    canvas.frame(split, y, x1, y1, 0.0015, (150.0,) * 3)
