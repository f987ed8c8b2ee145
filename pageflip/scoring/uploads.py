"""Uploads: listing them, whether one has arrived completely, its files and its digest.

An upload is an entry directly below the address of uploads: a video, an image, or a folder of images, which is a
sequence of frames in the natural order of their names. Uploads are only ever read.
"""

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pageflip.base import storage
from pageflip.base.files import sha256_of
from pageflip.base.storage import StoredFile
from pageflip.footage.media import SEQUENCE, LocalFile, file_kind, is_passed_over, natural_key, printable


@dataclass(frozen=True)
class Upload:
    """One upload. `files` are those that count, in order; the fingerprint changes when any of them does.

    Attributes:
        name: for people, always printable; `url` is what finds it.
        kind: video, image, sequence or unknown.
        changed: when anything in it last changed, in seconds since 1970.
    """

    name: str
    url: str
    kind: str
    fingerprint: str
    changed: float
    files: tuple[StoredFile, ...]

    @property
    def error(self) -> str:
        """Why it cannot be read, as far as listing shows; empty when nothing is known."""
        return next((f"{printable(file.name)}: {file.error}" for file in self.files if file.error), "")


def find_uploads(url: str) -> list[Upload]:
    """All uploads below `url`, sorted by name; hidden and temporary names are passed over.

    Raises:
        UnavailableError: the store does not answer.
    """
    entries = storage.list_entries(url)
    return [
        _upload(
            entry.name, entry.url, SEQUENCE if entry.is_folder else file_kind(entry.name), entry.changed, entry.files
        )
        for entry in entries
        if not is_passed_over(entry.name)
    ]


def look_again(url: str, kind: str) -> Upload | None:
    """The upload at `url` as it is now; None when it is gone (an empty folder is not told from none)."""
    name = url.rstrip("/").rsplit("/", 1)[-1]
    if kind == SEQUENCE:
        files = storage.list_files(url, tolerant=True)
    else:
        file = storage.look_up(url, tolerant=True)
        files = [file] if file else []
        if not files:
            return None
    return _upload(name, url, kind, max((file.changed for file in files), default=0.0), tuple(files))


def is_settled(upload: Upload, settle_seconds: float, now: float | None = None) -> bool:
    """Return whether the upload has been unchanged for that long, and so has probably arrived whole."""
    # A clock ahead of ours must not hold an upload back for ever: far in the future counts as settled.
    return abs((time.time() if now is None else now) - upload.changed) >= settle_seconds


@contextlib.contextmanager
def fetched(upload: Upload) -> Iterator[list[LocalFile]]:
    """The upload's files on this machine: in place when the store is a folder, downloaded for a while otherwise.

    Raises:
        FileNotFoundError: one has been removed meanwhile.
    """
    with contextlib.ExitStack() as stack:
        files, temporary = [], None
        for number, file in enumerate(upload.files):
            path = storage.local_path(file.url)
            if path is None:
                temporary = temporary or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pageflip-")))
                # Numbered, because a key of S3 may hold anything, `..` included.
                path = temporary / f"{number:08d}{PurePosixPath(file.name).suffix.lower()}"
                storage.download(file.url, path)
            files.append(LocalFile(printable(file.name), path))
        yield files


def content_sha256(kind: str, files: list[LocalFile]) -> str:
    """The SHA-256 of a single file; of a sequence, of a line `sequence` and lines `sha256  name`, by name."""
    if kind != SEQUENCE:
        return sha256_of(files[0].path)
    digest = hashlib.sha256(b"sequence\n")  # so that an empty folder is not an empty file
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f"{sha256_of(file.path)}  {file.name}\n".encode())
    return digest.hexdigest()


def _upload(name: str, url: str, kind: str, changed: float, files: tuple[StoredFile, ...]) -> Upload:
    if kind != SEQUENCE:
        return Upload(printable(name), url, kind, files[0].fingerprint, changed, files)
    counted = [file for file in files if not any(is_passed_over(part) for part in file.name.split("/"))]
    counted.sort(key=lambda file: natural_key(file.name))
    listing = json.dumps([[file.name, file.fingerprint] for file in counted])
    fingerprint = f"{len(counted)}-{hashlib.sha256(listing.encode()).hexdigest()[:32]}"
    return Upload(printable(name), url, kind, fingerprint, changed, tuple(counted))
