"""Reading of a raw folder: its frames, and the books of its clips."""

import csv
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from pageflip.base.errors import DataError
from pageflip.frames.names import BOOKS_FILE, LABELS, LAYOUT, SCENES_FOLDER, FrameFile, parse_path


def list_frames(raw: Path) -> list[FrameFile]:
    """List the frames below `raw`, sorted by key.

    Raises:
        DataError: the folder is missing or empty, holds a file that is not in the layout, or a frame key twice.
    """
    if not raw.is_dir():
        raise DataError(
            f"there is no folder of raw frames at {raw}", "run `pageflip synthesize` or `pageflip import images.zip`."
        )
    found, foreign = [], []
    for file in raw.rglob("*"):
        if file.is_dir():
            continue
        name = file.relative_to(raw).as_posix()
        frame = parse_path(name)
        if frame is not None:
            found.append(frame)
        elif name != BOOKS_FILE and not name.startswith(f"{SCENES_FOLDER}/"):
            foreign.append(name)
    if foreign:
        raise DataError(
            f"{len(foreign)} files below {raw} are not in the layout {LAYOUT}, the first: {sorted(foreign)[0]}",
            "rename or remove them.",
        )
    if not found:
        raise DataError(f"{raw} holds no frames", f"put frames there in the layout {LAYOUT}.")
    frames = sorted(found)
    for one, two in pairwise(frames):
        if one.key == two.key:
            raise DataError(
                f"frame {one.label}/{one.video}/{one.frame} stands twice: {one.path} and {two.path}",
                "remove one of the two files.",
            )
    return frames


def read_books(raw: Path) -> dict[tuple[str, str], str]:
    """Return the book of each clip by (label, video), from `books.csv` below `raw`; empty when there is no such file.

    Raises:
        DataError: see `read_books_file`.
    """
    path = raw / BOOKS_FILE
    return read_books_file(path) if path.exists() else {}


def read_books_file(path: Path) -> dict[tuple[str, str], str]:
    """Return the book of each clip by (label, video), from a CSV with the columns label, video_id and book.

    Leading zeros of video_id may be missing.

    Raises:
        DataError: a column is missing, a label or number is invalid, a clip has two books, or the file is not UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets start with a byte order mark
            reader = csv.DictReader(file)
            if not {"label", "video_id", "book"} <= set(reader.fieldnames or ()):
                raise DataError(f"{path} has the columns {reader.fieldnames}", "it needs label, video_id and book.")
            return _books(path, reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV in UTF-8: {error}", "save it as CSV in UTF-8.") from None


def _books(path: Path, rows: Iterable[dict[str, str]]) -> dict[tuple[str, str], str]:
    books: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows, start=2):
        video = (row["video_id"] or "").strip()
        clip = (row["label"], video.zfill(4))  # spreadsheets write 0001 as 1
        if row["label"] not in LABELS:
            raise DataError(f"{path}:{number} has the label {row['label']!r}", f"use one of {', '.join(LABELS)}.")
        if not re.fullmatch("[0-9]{1,4}", video):
            raise DataError(
                f"{path}:{number} has the video_id {row['video_id']!r}", "use the four digits of the frames' names."
            )
        if not row["book"]:
            raise DataError(f"{path}:{number} names no book", "fill in the column `book` or remove the line.")
        if books.setdefault(clip, row["book"]) != row["book"]:
            raise DataError(
                f"{path}:{number} puts {'/'.join(clip)} into {row['book']}, and an earlier line into {books[clip]}",
                "a clip belongs to one book: keep one of the lines.",
            )
    return books
