"""Writing so that a killed process leaves nothing half-written."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def folder_in_one_piece(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` that takes its place when the block ends, and vanishes when it fails."""
    with temporary_folder(out.parent, f".{out.name}.new.") as place:
        staging = place / "new"
        staging.mkdir()
        yield staging
        if out.exists():
            os.replace(out, place / "old")
        try:
            os.replace(staging, out)
        except OSError:
            if (place / "old").exists():
                os.replace(place / "old", out)
            raise


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder below `parent` for as long as the block lasts; those that killed processes left are removed on the way.

    Whoever uses such a folder holds a lock on it, which goes with the process, on whatever machine or container it is.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{prefix}*"):
        with suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)
    with ExitStack() as stack:
        folder = None
        while folder is None:
            made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            # between the making and the lock another process may take the folder for a leftover: then make another
            with suppress(OSError):
                stack.enter_context(_locked(made))
                folder = made if made.exists() else None
        yield folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises:
        OSError: somebody else holds it, or the folder has gone.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends, and vanishes when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file through a temporary one beside it."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented and with sorted keys, so that equal contents are equal bytes."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
