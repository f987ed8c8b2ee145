"""Blocks of a text column: paragraphs, headings, lists, code, tables, formulas, figures with captions.

Each block is printed below the column's current height and advances it. Lengths are in page widths.
"""

# ruff: noqa: RUF001 -- signs that look like others are meant: formulas and lists have them

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pageflip.synthetic.book import pictures
from pageflip.synthetic.book.page_context import Area, PageContext
from pageflip.synthetic.book.typesetting import Face
from pageflip.synthetic.primitives import Colour

_SYMBOLS = ("=", "+", "−", "≤", "→", "×", "∈", "≈")
_GREEK = "αβγδλμσφωθε"


@dataclass
class Column:
    """A column of text: its left and right side, the height `y` reached so far, and its lower end."""

    page: PageContext
    x0: float
    x1: float
    y: float
    bottom: float

    @property
    def pitch(self) -> float:
        """Distance between baselines."""
        return self.page.style.size * self.page.style.leading

    @property
    def room(self) -> float:
        """Height that is left."""
        return self.bottom - self.y


def break_lines(words: list[str], face: Face, width: float, first: float = 0.0) -> list[list[str]]:
    """Break words into lines of at most `width`, hyphenating long words; `first` is the indent of the first line."""
    space, used = face.width(" "), first
    result: list[list[str]] = []
    line: list[str] = []
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


def typeset(
    column: Column,
    words: list[str],
    face: Face,
    colour: Colour,
    indent: float = 0.0,
    justify: bool | None = None,
    lead: int = 0,
) -> None:
    """Print words in lines from the column's current height on, as many as fit; the first `lead` words are bold."""
    page, style = column.page, column.page.style
    justify = style.justify if justify is None else justify
    pitch = face.size * style.leading
    broken = break_lines(words, face, column.x1 - column.x0, indent)
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
            page.canvas.text(x, column.y, word, shown, colour)
            x += shown.width(word) + space
            lead -= 1


def paragraph(column: Column, count: int | None = None) -> None:
    """Print a paragraph of `count` words, by default a random number; its first words may be bold."""
    page, style = column.page, column.page.style
    if count is None:
        count = int(page.rng.integers(8, 130 if style.genre == "novel" else 75))
    bold_start = style.genre in ("programming", "textbook") and page.rng.random() < 0.25
    lead = int(page.rng.integers(1, 4)) if bold_start else 0
    indent = 0.0 if lead else style.indent
    typeset(column, page.writer.prose(count), style.body, style.ink, indent, lead=lead)
    column.y += style.gap


def heading(column: Column) -> None:
    """Print a heading of one of three sizes, numbered or not, with space above it."""
    page, style = column.page, column.page.style
    face = style.heading.scaled(float(page.rng.choice([1.55, 1.28, 1.08], p=[0.25, 0.5, 0.25])))
    words = page.writer.title(int(page.rng.integers(1, 6))).split(" ")
    if style.genre in ("science", "textbook") and page.rng.random() < 0.7:
        words.insert(0, f"{page.rng.integers(1, 9)}.{page.rng.integers(1, 9)}")
    if column.room < column.pitch * 4:
        return
    column.y += column.pitch * 0.65
    typeset(column, words, face, page.accent, justify=False)
    column.y += column.pitch * 0.22


def bullet_list(column: Column) -> None:
    """Print a list with bullets, dashes or numbers."""
    page, style = column.page, column.page.style
    sign = str(page.rng.choice(["•", "–", "1", "▪" if style.fonts[0].startswith("DejaVu") else "•"]))
    sign = "*" if style.fonts[0].startswith("cm") and sign != "1" else sign
    left, shift = column.x0, style.size * 1.75
    for number in range(int(page.rng.integers(2, 7))):
        if column.room < column.pitch:
            break
        mark = f"{number + 1}." if sign == "1" else sign
        page.canvas.text(left + style.size * 0.4, column.y + column.pitch, mark, style.body, style.ink)
        column.x0 = left + shift
        typeset(column, page.writer.prose(int(page.rng.integers(2, 22))), style.body, style.ink)
        column.x0 = left
    column.y += style.gap + column.pitch * 0.2


def quote(column: Column) -> None:
    """Print an indented passage in italics; in magazines a large pull quote between rules."""
    page, style = column.page, column.page.style
    inset = style.size * 1.6 if style.genre != "magazine" else 0.0
    face = style.italic.scaled(1.7 if style.genre == "magazine" else 0.95)
    if column.room < face.size * 7:
        return
    column.y += column.pitch * 0.5
    if not inset:
        page.canvas.rule(column.x0, column.y, column.x1, column.y, 0.004, page.accent)
    column.x0, column.x1 = column.x0 + inset, column.x1 - inset
    count = int(page.rng.integers(10, 40)) if inset else int(page.rng.integers(7, 14))
    typeset(column, page.writer.prose(count), face, style.ink if inset else page.accent, justify=bool(inset))
    column.x0, column.x1 = column.x0 - inset, column.x1 + inset
    column.y += column.pitch * 0.5
    if not inset:
        page.canvas.rule(column.x0, column.y, column.x1, column.y, 0.004, page.accent)
        column.y += column.pitch * 0.5


def scene_break(column: Column) -> None:
    """Print the asterisks between two scenes of a novel."""
    column.y += column.pitch * 1.6
    if column.room > 0:
        middle, face = (column.x0 + column.x1) / 2, column.page.style.body
        column.page.canvas.text(middle - face.width("* * *") / 2, column.y, "* * *", face, column.page.style.ink)
    column.y += column.pitch * 0.7


def code(column: Column) -> None:
    """Print a code listing: plain, shaded, framed, with a bar at its left, or light on dark."""
    page, style, face = column.page, column.page.style, column.page.style.mono
    pitch = face.size * 1.32
    count = min(int(page.rng.integers(2, 20)), int((column.room - column.pitch * 1.2) / pitch))
    if count < 2:
        return
    top, left = column.y + column.pitch * 0.55, column.x0 + face.size * 0.7
    end = top + count * pitch + face.size * 0.6
    look, ink = style.code_look, style.ink
    if look in ("shaded", "dark"):
        ground = page.tint(226, 240) if look == "shaded" else (40.0, 42.0, 48.0)
        page.canvas.fill(column.x0, top, column.x1, end, ground)
        ink = (228.0,) * 3 if look == "dark" else ink
    elif look == "framed":
        page.canvas.frame(column.x0, top, column.x1, end, 0.002, style.ink)
    elif look == "bar":
        page.canvas.fill(column.x0, top, column.x0 + 0.005, end, page.accent)
    depth, limit = 0, int((column.x1 - left) / face.width("m")) - 1
    for number in range(count):
        line = _code_line(page, number)
        page.canvas.words(
            left + depth * face.width("mm"),
            top + pitch * (number + 0.95),
            line[: limit - 2 * depth],
            face,
            ink,
        )
        depth = int(np.clip(depth + (1 if line[-1:] in ":{" else page.rng.choice([0, 0, -1])), 0, 4))
    column.y = end + column.pitch * 0.35


def _code_line(page: PageContext, number: int) -> str:
    word = iter(page.writer.words(6))
    kind = int(page.rng.integers(8))
    value = int(page.rng.integers(0, 300))
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
    """Print a table with rules, shaded rows or a grid, and a bold first row."""
    page, style = column.page, column.page.style
    face, row = style.body.scaled(0.86), style.size * 1.5
    count = min(int(page.rng.integers(3, 11)), int((column.room - row * 1.5) / row))
    if count < 3:
        return
    look, wide = page.rng.choice(["rules", "shaded", "grid"]), column.x1 - column.x0
    columns = max(min(int(page.rng.integers(2, 6)), int(wide / (face.size * 4.5))), 1)
    starts = column.x0 + wide * np.concatenate(
        [[0], np.sort(page.rng.uniform(0.8, 1.2, columns - 1).cumsum()) / columns]
    )
    top = column.y + row * 0.7
    dark = look == "shaded" and page.rng.random() < 0.5
    for r in range(count):
        y = top + r * row
        if look == "shaded" and (r % 2 == 1 or r == 0):
            page.canvas.fill(column.x0, y, column.x1, y + row, page.accent if dark and r == 0 else page.tint(215, 238))
        for start, end in zip(starts, [*starts[1:], column.x1], strict=True):
            in_words = start == starts[0] or page.rng.random() < 0.4
            cell = page.writer.title(1) if in_words else f"{page.rng.uniform(0, 99):.1f}"
            shown = style.bold.scaled(0.86) if r == 0 else face
            if shown.width(cell) < end - start - face.size * 0.5:
                ink = (250.0,) * 3 if dark and r == 0 else style.ink
                page.canvas.text(start + face.size * 0.4, y + row * 0.7, cell, shown, ink)
    for r in range(count + 1):
        if look == "grid" or (look == "rules" and r in (0, 1, count)):
            page.canvas.rule(column.x0, top + r * row, column.x1, top + r * row, 0.0022, style.ink)
    if look == "grid":
        for x in (*starts, column.x1):
            page.canvas.rule(x, top, x, top + count * row, 0.0022, style.ink)
    column.y = top + count * row + row * 0.5


def formula(column: Column) -> None:
    """Print a displayed formula, sometimes with fractions and a number at the right."""
    page, style = column.page, column.page.style
    if column.room < column.pitch * 3.2:
        return
    face = Face("STIXGeneralItalic", style.size * 1.1)
    rng, base = page.rng, column.y + column.pitch * 1.75
    x = column.x0 + (column.x1 - column.x0) * rng.uniform(0.08, 0.25)
    for index in range(int(rng.integers(2, 5))):
        term = str(rng.choice(list("xyzfghkpqABEFL" + _GREEK)))
        if index:
            sign = str(rng.choice(list(_SYMBOLS)))
            page.canvas.text(x, base, sign, Face("STIXGeneral", face.size), style.ink)
            x += face.size * 1.05
        if rng.random() < 0.4:
            wide = face.size * rng.uniform(1.2, 2.6)
            for dy, text_ in ((-0.62, term + "²"), (0.82, term + " + " + str(rng.integers(2, 9)))):
                page.canvas.text(x + wide * 0.15, base + face.size * dy, text_, face.scaled(0.85), style.ink)
            page.canvas.rule(x, base - face.size * 0.3, x + wide, base - face.size * 0.3, 0.0018, style.ink)
            x += wide + face.size * 0.4
        else:
            term = str(rng.choice(["∑", "∫", "√", ""])) + term + str(rng.choice(["²", "(x)", "₀", "′", ""]))
            page.canvas.text(x, base, term, face.scaled(1.1), style.ink)
            x += face.width(term) * 1.1 + face.size * 0.35
        if x > column.x1 - face.size * 5:
            break
    if rng.random() < 0.6:
        number = f"({rng.integers(1, 40)})"
        page.canvas.text(column.x1 - style.body.width(number), base, number, style.body, style.ink)
    column.y += column.pitch * 2.7


def figure(column: Column, draw: Callable[[PageContext, Area], None], share: tuple[float, float]) -> None:
    """Print a picture, made by `draw(page, area)`, with a caption; `share` bounds its height in column widths."""
    page, style, wide = column.page, column.page.style, column.x1 - column.x0
    high = wide * page.rng.uniform(*share)
    inset = wide * page.rng.uniform(0.05, 0.18) if page.rng.random() < 0.35 else 0.0
    if column.room < high + column.pitch * 1.5:
        return
    top = column.y + column.pitch * 0.6
    draw(page, (column.x0 + inset, top, column.x1 - inset, top + high))
    column.y = top + high + column.pitch * 0.12
    if page.rng.random() < 0.6:
        words = [
            f"{page.rng.integers(1, 9)}.{page.rng.integers(1, 30)}.",
            *page.writer.prose(int(page.rng.integers(3, 16))),
        ]
        typeset(column, words, style.italic.scaled(0.82), style.ink)
    column.y += column.pitch * 0.7


def text_box(column: Column) -> None:
    """Print a shaded box with a heading and some lines."""
    page, style = column.page, column.page.style
    words = page.writer.prose(int(page.rng.integers(15, 50)))
    inset = style.size * 0.9
    count = len(break_lines(words, style.body, column.x1 - column.x0 - 2 * inset))
    high = (count + 2.1) * column.pitch
    if column.room < high + column.pitch:
        return
    top = column.y + column.pitch * 0.6
    page.canvas.fill(column.x0, top, column.x1, top + high, page.tint(205, 244))
    if page.rng.random() < 0.5:
        page.canvas.frame(column.x0, top, column.x1, top + high, 0.003, page.accent)
    inner = Column(page, column.x0 + inset, column.x1 - inset, top + column.pitch * 0.2, top + high)
    typeset(inner, page.writer.title(2).split(" "), style.heading.scaled(1.1), page.accent, justify=False)
    typeset(inner, words, style.body, style.ink)
    column.y = top + high + column.pitch * 0.5


def footnotes(column: Column) -> None:
    """Print footnotes at the foot of the column and end it above them."""
    page, style, face = column.page, column.page.style, column.page.style.body.scaled(0.76)
    high = face.size * style.leading * 2.3
    if column.room < high + 6 * column.pitch:
        return
    column.bottom -= high
    y = column.bottom + face.size * 0.4
    page.canvas.rule(column.x0, y, column.x0 + 0.25 * (column.x1 - column.x0), y, 0.002, style.ink)
    below = Column(page, column.x0, column.x1, y, column.bottom + high)
    typeset(below, ["1", *page.writer.prose(60)][: int(page.rng.integers(9, 20))], face, style.ink)


_BLOCKS = {
    "text": paragraph, "heading": heading, "list": bullet_list, "quote": quote, "stars": scene_break, "code": code,
    "table": table, "formula": formula, "boxed": text_box, "notes": footnotes,
    "photo": lambda column: figure(column, pictures.photograph, (0.45, 0.95)),
    "chart": lambda column: figure(column, pictures.chart, (0.45, 0.75)),
    "diagram": lambda column: figure(column, pictures.diagram, (0.3, 0.6)),
    "screen": lambda column: figure(column, pictures.screenshot, (0.4, 1.0)),
}  # fmt: skip


def fill_column(column: Column) -> None:
    """Fill a column with blocks, sampled with the book's weights."""
    page = column.page
    names = [name for name, _ in page.style.blocks]
    weights = np.array([weight for _, weight in page.style.blocks])
    last = ""
    for _ in range(60):
        if column.room < column.pitch * 0.95:
            return
        name = names[page.rng.choice(len(names), p=weights / weights.sum())]
        if name == last and name != "text":
            name = "text"
        # no heading in the last lines of a page; a paragraph follows every heading
        name = "text" if last == "heading" or (name == "heading" and column.room < column.pitch * 4) else name
        _BLOCKS[name](column)
        last = name
