"""JSON files, lock files, digests, and writes that a killed process cannot leave half-done."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from pageflip.base.errors import DataError

LOCK_NAME = ".lock"


def read_json(path: Path) -> Any:
    """Read a UTF-8 JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the content is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # a UnicodeDecodeError, too
        raise DataError(f"{path} is not valid JSON: {error}", "restore the file, or write it again.") from error


def write_json(path: Path, content: Any, *, private: bool = False) -> None:
    """Write a JSON file atomically, indented and with sorted keys, so that equal contents are equal bytes.

    Args:
        path: the file; missing parent folders are made.
        content: anything that the standard library's `json` can write.
        private: only the file's owner may read it (mode 0600).

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", private=private)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a UTF-8 text file atomically; see `atomic_file`."""
    with atomic_file(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends, and is deleted when it raises.

    Args:
        path: the file to write; missing parent folders are made.
        private: make the temporary file beforehand, with mode 0600.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if private:
            temporary.touch(mode=0o600)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block ends, and is deleted when it raises."""
    with temporary_folder(path.parent, f".{path.name}.new.") as parent:
        new, old = parent / "new", parent / "old"
        new.mkdir()
        yield new
        if path.exists():
            path.replace(old)
        try:
            new.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `parent` that is deleted when the block ends, however it ends.

    Folders of the same prefix that killed processes left are deleted first. A lock file in each marks those in use,
    across containers that share the disk too, which process ids would not do.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{prefix}*"):
        with suppress(OSError), lock_file(leftover / LOCK_NAME):
            shutil.rmtree(leftover, ignore_errors=True)
    with ExitStack() as stack:
        folder = None
        while folder is None:
            candidate = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            stack.callback(shutil.rmtree, candidate, ignore_errors=True)
            # before it is locked, another process may take it for a leftover and delete it: then make another
            with suppress(OSError):
                stack.enter_context(lock_file(candidate / LOCK_NAME))
                folder = candidate
        yield folder


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold the lock file `path` without waiting for it; the operating system releases it when the process ends.

    The file is deleted at the end, but not when the process is killed: its existence says nothing.

    Raises:
        filelock.Timeout: another process, or another block of this one, holds it. A subclass of OSError.
        OSError: the file cannot be made.
    """
    with FileLock(path, blocking=False):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: whoever opens it now finds it deleted, and opens a new one


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
