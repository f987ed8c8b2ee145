"""What stands in a column of text: paragraphs, headings, lists, code, tables, formulas, figures with captions.

Each block is printed from the column's present height downwards and moves that height on. Lengths in page widths.
"""

# ruff: noqa: RUF001 -- signs that look like others are meant: formulas and lists have them

from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.book import pictures
from pageflip.synthetic.book.pictures import Job, canvas_words
from pageflip.synthetic.book.typesetting import Colour, Face

_SYMBOLS = ("=", "+", "−", "≤", "→", "×", "∈", "≈")
_GREEK = "αβγδλμσφωθε"


@dataclass
class Column:
    """A column of the page: its sides, the height `y` reached so far, and where it ends."""

    job: Job
    x0: float
    x1: float
    y: float
    bottom: float

    @property
    def pitch(self) -> float:
        """From baseline to baseline."""
        return self.job.style.size * self.job.style.leading

    @property
    def room(self) -> float:
        """The height that is left."""
        return self.bottom - self.y


def lines(words: list[str], face: Face, width: float, first: float = 0.0) -> list[list[str]]:
    """Break words into lines of at most `width`; `first` is the indent of the first. Long words are divided."""
    space, result, line, used = face.width(" "), [], [], first
    queue = list(reversed(words))
    while queue:
        word = queue.pop()
        wide = face.width(word)
        if used + wide > width and line:
            part = next((n for n in range(len(word) - 3, 2, -1) if used + face.width(word[:n] + "-") <= width), 0)
            if part and width - used > face.size * 2.2 and len(word) > 6:
                line.append(word[:part] + "-")
                word = word[part:]
                wide = face.width(word)
            result.append(line)
            line, used = [], 0.0
        line.append(word)
        used += wide + space
    return [*result, line] if line else result


def set_words(column: Column, words: list[str], face: Face, colour: Colour, indent=0.0, justify=None, lead=0) -> None:
    """Print words in lines from the column's height on, as many as fit; the first `lead` words are heavy."""
    job, style = column.job, column.job.style
    justify = style.justify if justify is None else justify
    pitch = face.size * style.leading
    broken = lines(words, face, column.x1 - column.x0, indent)
    for number, line in enumerate(broken):
        if column.room < pitch * 0.9:
            return
        column.y += pitch
        x = column.x0 + (indent if number == 0 else 0.0)
        space = face.width(" ")
        if justify and number < len(broken) - 1 and len(line) > 1:
            faces = [style.bold] * max(lead, 0) + [face] * len(line)
            spare = column.x1 - x - sum(one.width(word) for one, word in zip(faces, line, strict=False))
            space = min(spare / (len(line) - 1), face.size * 1.1)
        for word in line:
            shown = style.bold if lead > 0 else face
            job.canvas.text(x, column.y, word, shown, colour)
            x += shown.width(word) + space
            lead -= 1


def text(column: Column, count: int | None = None) -> None:
    """A paragraph, sometimes with its first words heavy."""
    job, style = column.job, column.job.style
    if count is None:
        count = int(job.rng.integers(8, 130 if style.genre == "novel" else 75))
    lead = int(job.rng.integers(1, 4)) if style.genre in ("programming", "textbook") and job.rng.random() < 0.25 else 0
    indent = 0.0 if lead else style.indent
    set_words(column, job.writer.prose(count), style.body, style.ink, indent, lead=lead)
    column.y += style.gap


def heading(column: Column) -> None:
    """A heading of one of three levels, numbered or not, with room above it."""
    job, style = column.job, column.job.style
    face = style.heading.scaled(float(job.rng.choice([1.55, 1.28, 1.08], p=[0.25, 0.5, 0.25])))
    words = job.writer.title(int(job.rng.integers(1, 6))).split(" ")
    if style.genre in ("science", "textbook") and job.rng.random() < 0.7:
        words.insert(0, f"{job.rng.integers(1, 9)}.{job.rng.integers(1, 9)}")
    if column.room < column.pitch * 4:
        return
    column.y += column.pitch * 0.65
    set_words(column, words, face, _accent(job), justify=False)
    column.y += column.pitch * 0.22


def _accent(job: Job) -> Colour:
    return job.style.accent if job.style.colour else job.style.ink


def bullets(column: Column) -> None:
    """A list with dots, dashes or numbers."""
    job, style = column.job, column.job.style
    sign = str(job.rng.choice(["•", "–", "1", "▪" if style.fonts[0].startswith("DejaVu") else "•"]))
    sign = "*" if style.fonts[0].startswith("cm") and sign != "1" else sign
    left, shift = column.x0, style.size * 1.75
    for number in range(int(job.rng.integers(2, 7))):
        if column.room < column.pitch:
            break
        mark = f"{number + 1}." if sign == "1" else sign
        job.canvas.text(left + style.size * 0.4, column.y + column.pitch, mark, style.body, style.ink)
        column.x0 = left + shift
        set_words(column, job.writer.prose(int(job.rng.integers(2, 22))), style.body, style.ink)
        column.x0 = left
    column.y += style.gap + column.pitch * 0.2


def quote(column: Column) -> None:
    """A slanted passage set in from both sides; in magazines large, between rules."""
    job, style = column.job, column.job.style
    inset = style.size * 1.6 if style.genre != "magazine" else 0.0
    face = style.italic.scaled(1.7 if style.genre == "magazine" else 0.95)
    if column.room < face.size * 7:
        return
    column.y += column.pitch * 0.5
    if not inset:
        job.canvas.rule(column.x0, column.y, column.x1, column.y, 0.004, _accent(job))
    column.x0, column.x1 = column.x0 + inset, column.x1 - inset
    count = int(job.rng.integers(10, 40)) if inset else int(job.rng.integers(7, 14))
    set_words(column, job.writer.prose(count), face, style.ink if inset else _accent(job), justify=bool(inset))
    column.x0, column.x1 = column.x0 - inset, column.x1 + inset
    column.y += column.pitch * 0.5
    if not inset:
        job.canvas.rule(column.x0, column.y, column.x1, column.y, 0.004, _accent(job))
        column.y += column.pitch * 0.5


def stars(column: Column) -> None:
    """The mark between two scenes of a novel."""
    column.y += column.pitch * 1.6
    if column.room > 0:
        middle, face = (column.x0 + column.x1) / 2, column.job.style.body
        column.job.canvas.text(middle - face.width("* * *") / 2, column.y, "* * *", face, column.job.style.ink)
    column.y += column.pitch * 0.7


def code(column: Column) -> None:
    """A listing in letters of one width, plain, shaded, framed, with a bar, or light on dark."""
    job, style, face = column.job, column.job.style, column.job.style.mono
    pitch = face.size * 1.32
    count = min(int(job.rng.integers(2, 20)), int((column.room - column.pitch * 1.2) / pitch))
    if count < 2:
        return
    top, left = column.y + column.pitch * 0.55, column.x0 + face.size * 0.7
    end = top + count * pitch + face.size * 0.6
    look, ink = style.code_look, style.ink
    if look in ("shaded", "dark"):
        ground = job.tint(226, 240) if look == "shaded" else (40.0, 42.0, 48.0)
        job.canvas.fill(column.x0, top, column.x1, end, ground)
        ink = (228.0,) * 3 if look == "dark" else ink
    elif look == "framed":
        job.canvas.frame(column.x0, top, column.x1, end, 0.002, style.ink)
    elif look == "bar":
        job.canvas.fill(column.x0, top, column.x0 + 0.005, end, _accent(job))
    depth, limit = 0, int((column.x1 - left) / face.width("m")) - 1
    for number in range(count):
        line = _code_line(job, number)
        canvas_words(
            job.canvas,
            left + depth * face.width("mm"),
            top + pitch * (number + 0.95),
            line[: limit - 2 * depth],
            face,
            ink,
        )
        depth = int(np.clip(depth + (1 if line[-1:] in ":{" else job.rng.choice([0, 0, -1])), 0, 4))
    column.y = end + column.pitch * 0.35


def _code_line(job: Job, number: int) -> str:
    word = iter(job.writer.words(6))
    kind = int(job.rng.integers(8))
    value = int(job.rng.integers(0, 300))
    shapes = (
        lambda: f"{next(word)} = {next(word)}({next(word)}, {value})",
        lambda: f"if {next(word)} <= {value}:",
        lambda: f"for {next(word)} in {next(word)}.{next(word)}() {{",
        lambda: f"# {next(word)} {next(word)} {next(word)} {next(word)}",
        lambda: f"{next(word)}_{next(word)}[{value}] += {next(word)};",
        lambda: f"$ {next(word)} -{next(word)[0]} --{next(word)} {next(word)}.{next(word)[:3]}",
        lambda: f"return {next(word)}.{next(word)}",
        lambda: "" if number else f"import {next(word)}",
    )
    return shapes[kind]()


def table(column: Column) -> None:
    """A table with rules, shaded rows or a grid, its head heavy."""
    job, style = column.job, column.job.style
    face, row = style.body.scaled(0.86), style.size * 1.5
    count = min(int(job.rng.integers(3, 11)), int((column.room - row * 1.5) / row))
    if count < 3:
        return
    look, wide = job.rng.choice(["rules", "shaded", "grid"]), column.x1 - column.x0
    columns = max(min(int(job.rng.integers(2, 6)), int(wide / (face.size * 4.5))), 1)
    starts = column.x0 + wide * np.concatenate(
        [[0], np.sort(job.rng.uniform(0.8, 1.2, columns - 1).cumsum()) / columns]
    )
    top = column.y + row * 0.7
    dark = look == "shaded" and job.rng.random() < 0.5
    for r in range(count):
        y = top + r * row
        if look == "shaded" and (r % 2 == 1 or r == 0):
            job.canvas.fill(column.x0, y, column.x1, y + row, _accent(job) if dark and r == 0 else job.tint(215, 238))
        for start, end in zip(starts, [*starts[1:], column.x1], strict=True):
            word = (
                job.writer.title(1) if start == starts[0] or job.rng.random() < 0.4 else f"{job.rng.uniform(0, 99):.1f}"
            )
            shown = style.bold.scaled(0.86) if r == 0 else face
            if shown.width(word) < end - start - face.size * 0.5:
                white = dark and r == 0
                job.canvas.text(
                    start + face.size * 0.4, y + row * 0.7, word, shown, (250.0,) * 3 if white else style.ink
                )
    for r in range(count + 1):
        if look == "grid" or (look == "rules" and r in (0, 1, count)):
            job.canvas.rule(column.x0, top + r * row, column.x1, top + r * row, 0.0022, style.ink)
    if look == "grid":
        for x in (*starts, column.x1):
            job.canvas.rule(x, top, x, top + count * row, 0.0022, style.ink)
    column.y = top + count * row + row * 0.5


def formula(column: Column) -> None:
    """A formula on a line of its own, perhaps with a fraction and a number at the right."""
    job, style = column.job, column.job.style
    if column.room < column.pitch * 3.2:
        return
    face = Face("STIXGeneralItalic", style.size * 1.1)
    rng, base = job.rng, column.y + column.pitch * 1.75
    x = column.x0 + (column.x1 - column.x0) * rng.uniform(0.08, 0.25)
    for index in range(int(rng.integers(2, 5))):
        term = str(rng.choice(list("xyzfghkpqABEFL" + _GREEK)))
        if index:
            sign = str(rng.choice(list(_SYMBOLS)))
            job.canvas.text(x, base, sign, Face("STIXGeneral", face.size), style.ink)
            x += face.size * 1.05
        if rng.random() < 0.4:
            wide = face.size * rng.uniform(1.2, 2.6)
            for dy, text_ in ((-0.62, term + "²"), (0.82, term + " + " + str(rng.integers(2, 9)))):
                job.canvas.text(x + wide * 0.15, base + face.size * dy, text_, face.scaled(0.85), style.ink)
            job.canvas.rule(x, base - face.size * 0.3, x + wide, base - face.size * 0.3, 0.0018, style.ink)
            x += wide + face.size * 0.4
        else:
            term = str(rng.choice(["∑", "∫", "√", ""])) + term + str(rng.choice(["²", "(x)", "₀", "′", ""]))
            job.canvas.text(x, base, term, face.scaled(1.1), style.ink)
            x += face.width(term) * 1.1 + face.size * 0.35
        if x > column.x1 - face.size * 5:
            break
    if rng.random() < 0.6:
        number = f"({rng.integers(1, 40)})"
        job.canvas.text(column.x1 - style.body.width(number), base, number, style.body, style.ink)
    column.y += column.pitch * 2.7


def figure(column: Column, draw, share: tuple[float, float] = (0.35, 0.8)) -> None:
    """A picture made by `draw(job, box)` with a caption; `share` is its height in column widths, by chance between."""
    job, style, wide = column.job, column.job.style, column.x1 - column.x0
    high = wide * job.rng.uniform(*share)
    inset = wide * job.rng.uniform(0.05, 0.18) if job.rng.random() < 0.35 else 0.0
    if column.room < high + column.pitch * 1.5:
        return
    top = column.y + column.pitch * 0.6
    draw(job, (column.x0 + inset, top, column.x1 - inset, top + high))
    column.y = top + high + column.pitch * 0.12
    if job.rng.random() < 0.6:
        words = [
            f"{job.rng.integers(1, 9)}.{job.rng.integers(1, 30)}.",
            *job.writer.prose(int(job.rng.integers(3, 16))),
        ]
        set_words(column, words, style.italic.scaled(0.82), style.ink)
    column.y += column.pitch * 0.7


def boxed(column: Column) -> None:
    """A coloured or grey box with a heading and some lines."""
    job, style = column.job, column.job.style
    words = job.writer.prose(int(job.rng.integers(15, 50)))
    inset = style.size * 0.9
    count = len(lines(words, style.body, column.x1 - column.x0 - 2 * inset))
    high = (count + 2.1) * column.pitch
    if column.room < high + column.pitch:
        return
    top = column.y + column.pitch * 0.6
    job.canvas.fill(column.x0, top, column.x1, top + high, job.tint(205, 244))
    if job.rng.random() < 0.5:
        job.canvas.frame(column.x0, top, column.x1, top + high, 0.003, _accent(job))
    inner = Column(job, column.x0 + inset, column.x1 - inset, top + column.pitch * 0.2, top + high)
    set_words(inner, job.writer.title(2).split(" "), style.heading.scaled(1.1), _accent(job), justify=False)
    set_words(inner, words, style.body, style.ink)
    column.y = top + high + column.pitch * 0.5


def notes(column: Column) -> None:
    """Footnotes: from now on the column ends above them."""
    job, style, face = column.job, column.job.style, column.job.style.body.scaled(0.76)
    high = face.size * style.leading * 2.3
    if column.room < high + 6 * column.pitch:
        return
    column.bottom -= high
    y = column.bottom + face.size * 0.4
    job.canvas.rule(column.x0, y, column.x0 + 0.25 * (column.x1 - column.x0), y, 0.002, style.ink)
    below = Column(job, column.x0, column.x1, y, column.bottom + high)
    set_words(below, ["1", *job.writer.prose(60)][: int(job.rng.integers(9, 20))], face, style.ink)


_BLOCKS = {
    "text": text, "heading": heading, "list": bullets, "quote": quote, "stars": stars, "code": code, "table": table,
    "formula": formula, "boxed": boxed, "notes": notes,
    "photo": lambda column: figure(column, pictures.photograph, (0.45, 0.95)),
    "chart": lambda column: figure(column, pictures.chart, (0.45, 0.75)),
    "diagram": lambda column: figure(column, pictures.diagram, (0.3, 0.6)),
    "screen": lambda column: figure(column, pictures.screenshot, (0.4, 1.0)),
}  # fmt: skip


def flow(column: Column) -> None:
    """Fill a column with blocks of the book's mix."""
    job = column.job
    names = [name for name, _ in job.style.blocks]
    weights = np.array([weight for _, weight in job.style.blocks])
    last = ""
    for _ in range(60):
        if column.room < column.pitch * 0.95:
            return
        name = names[job.rng.choice(len(names), p=weights / weights.sum())]
        if name == last and name != "text":
            name = "text"
        # a heading is not the last line of a page, and text follows it
        name = "text" if last == "heading" or (name == "heading" and column.room < column.pitch * 4) else name
        _BLOCKS[name](column)
        last = name
