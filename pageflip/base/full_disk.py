"""A full disk, told apart from all other faults, whichever library met it."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError

FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries that are not Python's, and those that wrap the error in one of their own, pass on the words only.
SAID = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
REMEDY = "make room there, then run the same again: what is complete stays, and it goes on from there."


def full_disk(errors: Iterable[BaseException], more: Iterable[Path] = ()) -> UnavailableError | None:
    """The error that names the full disk, where one of these errors, or one behind it, tells of one.

    Args:
        more: folders that may be meant, beside those that the environment names.
    """
    found = [error for top in errors for error in chain(top) if _tells(error)]
    if not found:
        return None
    places = [place for place in [*more, *_places()] if place.exists()]
    place = next(filter(None, (_holder(error, places) for error in found)), None) or min(places, key=_free)
    return UnavailableError(f"the disk of {place} is full ({_free(place) / 1e6:.1f} MB are free)", REMEDY)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it, which were there first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _tells(error: BaseException) -> bool:
    return getattr(error, "errno", None) in FULL or any(words in str(error) for words in SAID)


def _holder(error: BaseException, places: list[Path]) -> Path | None:
    """The innermost of these folders that holds the file which the error names."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if not isinstance(name, str | os.PathLike):
        return None
    file = Path(name).absolute()
    return max((place for place in places if file.is_relative_to(place)), key=lambda p: len(p.parts), default=None)


def _places() -> list[Path]:
    """The local folders that a program of this project may write to."""
    found = [os.environ.get(name, "") for name in ("PAGEFLIP_CACHE", "PAGEFLIP_REMOTE")]
    with suppress(ConfigError):
        found += [str(settings.home()), settings.store_url(), settings.results_url()]
    found += [os.environ.get("TMPDIR", ""), tempfile.tempdir or "", os.getcwd()]
    paths = [name.removeprefix("file://") for name in found if name]
    return [Path(path).expanduser().absolute() for path in paths if "://" not in path]


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free
