"""Kinds of footage by file name: videos, images, and folders of images in the natural order of their names."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VIDEO, IMAGE, SEQUENCE, UNKNOWN = "video", "image", "sequence", "unknown"
VIDEO_SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEMPORARY_SUFFIXES = {".part", ".tmp", ".crdownload"}


@dataclass(frozen=True)
class LocalFile:
    """File on this machine: its name in the upload, and its path."""

    name: str
    path: Path


def is_passed_over(name: str) -> bool:
    """Decide whether a name is hidden or temporary."""
    return name.startswith(".") or PurePosixPath(name).suffix.lower() in TEMPORARY_SUFFIXES


def is_image(name: str) -> bool:
    """Decide whether a name is that of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Return the sort key that puts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", name)  # every second one is a number
    return [(bool(odd % 2), int(part) if odd % 2 else 0, part) for odd, part in enumerate(parts)]


def printable(name: str) -> str:
    """Escape what cannot be printed or encoded as UTF-8; names on disks may hold either."""
    name = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def file_kind(name: str) -> str:
    """Return VIDEO, IMAGE or UNKNOWN."""
    suffix = PurePosixPath(name).suffix.lower()
    return VIDEO if suffix in VIDEO_SUFFIXES else IMAGE if suffix in IMAGE_SUFFIXES else UNKNOWN
