"""Uploads: what counts as one, whether it has arrived whole, what it contains, and which ones are known.

An upload is what stands directly below the address of uploads: a video, a picture, or a folder of pictures, which is a
sequence of frames in the natural order of their names. Uploads are only ever read.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VIDEO, IMAGE, SEQUENCE, UNKNOWN = "video", "image", "sequence", "unknown"
VIDEO_SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEMPORARY_SUFFIXES = {".part", ".tmp", ".crdownload"}


@dataclass(frozen=True)
class LocalFile:
    """A file of an upload on this machine: its name in the upload and where to read it."""

    name: str
    path: Path


def is_passed_over(name: str) -> bool:
    """Whether a name is hidden or temporary."""
    return name.startswith(".") or PurePosixPath(name).suffix.lower() in TEMPORARY_SUFFIXES


def is_image(name: str) -> bool:
    """Whether a name is that of a picture."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sort key under which frame2 stands before frame10."""
    parts = re.split(r"([0-9]+)", name)  # every second one is a number
    return [(bool(odd % 2), int(part) if odd % 2 else 0, part) for odd, part in enumerate(parts)]


def printable(name: str) -> str:
    """A name that can be printed and stored as UTF-8: what a disk holds may be neither."""
    name = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def file_kind(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return VIDEO if suffix in VIDEO_SUFFIXES else IMAGE if suffix in IMAGE_SUFFIXES else UNKNOWN
