"""Recognition of "no space left" errors from any library."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pageflip.base import settings
from pageflip.base.errors import ConfigError, UnavailableError

ERROR_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
# Libraries not written in Python, and those that raise errors of their own, pass on the message only.
MESSAGES = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
REMEDY = "free some space, then run the same command again: it continues from what is complete."


def full_disk_error(errors: Iterable[BaseException], folders: Iterable[Path] = ()) -> UnavailableError | None:
    """Return an error that names the full disk; None when neither these errors nor their causes report one.

    Args:
        errors: what was raised or logged.
        folders: candidates for the full disk, in addition to those that the environment names.
    """
    matches = [error for top in errors for error in error_chain(top) if _is_full_disk(error)]
    if not matches:
        return None
    candidates = [folder for folder in [*folders, *_configured_folders()] if folder.exists()]
    named = next(filter(None, (_innermost_folder(error, candidates) for error in matches)), None)
    folder = named or min(candidates, key=_free_bytes)
    return UnavailableError(f"the disk of {folder} is full ({_free_bytes(folder) / 1e6:.1f} MB are free)", REMEDY)


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its cause or context, and so on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _is_full_disk(error: BaseException) -> bool:
    return getattr(error, "errno", None) in ERROR_NUMBERS or any(message in str(error) for message in MESSAGES)


def _innermost_folder(error: BaseException, folders: list[Path]) -> Path | None:
    """Return the deepest of these folders that holds the file which the error names."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if not isinstance(name, str | os.PathLike):
        return None
    file = Path(name).absolute()
    return max((folder for folder in folders if file.is_relative_to(folder)), key=_depth, default=None)


def _depth(folder: Path) -> int:
    return len(folder.parts)


def _configured_folders() -> list[Path]:
    """Return the local folders that a program of this project may write to."""
    places: list[str | Path | None] = [settings.cache_folder(), settings.remote_url()]
    with suppress(ConfigError):
        places += [settings.home(), settings.store_url(), settings.results_url()]
    places += [settings.temporary_folder(), tempfile.tempdir, Path.cwd()]
    names = [str(place).removeprefix("file://") for place in places if place]
    return [Path(name).expanduser().absolute() for name in names if "://" not in name]


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
