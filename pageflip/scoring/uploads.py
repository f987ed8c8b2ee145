"""Uploads: what counts as one, whether it has arrived whole, what it contains, and which ones are known.

An upload is what stands directly below the address of uploads: a video, a picture, or a folder of pictures, which is a
sequence of frames in the natural order of their names. Uploads are only ever read.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pageflip.base import storage
from pageflip.base.errors import PageflipError
from pageflip.base.storage import StoredFile, join

VIDEO, IMAGE, SEQUENCE, UNKNOWN = "video", "image", "sequence", "unknown"
VIDEO_SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEMPORARY_SUFFIXES = {".part", ".tmp", ".crdownload"}
CHUNK = 1 << 20
MOST_ATTEMPTS = 3  # an upload that ends the process that often is not tried again


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


@dataclass(frozen=True)
class LocalFile:
    """A file of an upload on this machine: its name in the upload and where to read it."""

    name: str
    path: Path


def find_uploads(url: str) -> list[Upload]:
    """All uploads below `url`, sorted by name; hidden and temporary names are passed over.

    Raises:
        UnavailableError: the store does not answer.
    """
    entries = storage.list_entries(url)
    return [
        _upload(
            entry.name, entry.url, SEQUENCE if entry.is_folder else _file_kind(entry.name), entry.changed, entry.files
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
    """Whether the upload has not changed for that long, and so has probably arrived whole."""
    # A clock ahead of ours must not hold an upload back for ever: far in the future counts as settled.
    return abs((time.time() if now is None else now) - upload.changed) >= settle_seconds


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
        return _file_sha256(files[0].path)
    digest = hashlib.sha256(b"sequence\n")  # so that an empty folder is not an empty file
    for file in sorted(files, key=lambda file: file.name):
        digest.update(f"{_file_sha256(file.path)}  {file.name}\n".encode())
    return digest.hexdigest()


class Ledger:
    """What is known of uploads seen before, so that an unchanged one need not be read again.

    One tiny file per address and fingerprint; all that is looked up stands in its name, so that one listing tells all.
    It is listed when something is first looked up. Losing the ledger costs time only: the results themselves say what
    has been scored.

        ledger/KEY-SHA256-good.json, ledger/KEY-SHA256-bad.json
        ledger/attempts/KEY-NUMBER   while an upload is being scored: see `attempt`
    """

    def __init__(self, results_url: str) -> None:
        self._url = join(results_url, "ledger")
        self._noted: dict[str, tuple[str, bool]] = {}
        self._lost: dict[str, list[str]] = {}  # marks of attempts that never ended, by key

    @functools.cached_property
    def _listed(self) -> dict[str, tuple[str, bool]]:
        names = [file.name.removesuffix(".json").split("-") for file in storage.list_files(self._url)]
        return {parts[0]: (parts[1], parts[2] == "bad") for parts in names if len(parts) == 3}

    def find(self, upload: Upload) -> tuple[str, bool] | None:
        """SHA-256 of the upload's content and whether it was found bad; None when it is new or has changed."""
        key = self._key(upload)
        return self._noted.get(key) or self._listed.get(key)

    def add(self, upload: Upload, sha256: str, *, bad: bool) -> None:
        """Note an upload that has been dealt with, and forget the attempts at it."""
        key = self._key(upload)
        content = {"upload": upload.name, "kind": upload.kind, "fingerprint": upload.fingerprint, "sha256": sha256}
        storage.write_bytes(
            join(self._url, f"{key}-{sha256}-{'bad' if bad else 'good'}.json"), json.dumps(content).encode()
        )
        self._noted[key] = (sha256, bad)
        for mark in self._lost.pop(key, ()):
            storage.delete(mark)

    @contextlib.contextmanager
    def attempt(self, upload: Upload) -> Iterator[int]:
        """Leave a mark while an upload is being scored; gives the number of earlier attempts that never ended.

        A mark that stays tells of a process that was killed, crashed or met an unforeseen error, or of one that is at
        it elsewhere: running attempts of this process are not counted. After MOST_ATTEMPTS, no mark is left.
        """
        key, mine = self._key(upload), None
        lost = self._lost[key] = []
        numbers = itertools.count(1)
        while mine is None and len(lost) < MOST_ATTEMPTS:
            mark = join(self._url, "attempts", f"{key}-{next(numbers)}")
            if storage.create_bytes(mark, _process_token()):
                mine = mark
                continue
            with contextlib.suppress(FileNotFoundError):  # that attempt has just ended
                if storage.read_bytes(mark) != _process_token():
                    lost.append(mark)
        try:
            yield len(lost)
        except (PageflipError, OSError):
            raise
        except Exception:  # unforeseen, and it ends the process as a crash does: the mark stays
            mine = None
            raise
        finally:
            if mine:
                storage.delete(mine)

    @staticmethod
    def _key(upload: Upload) -> str:
        text = json.dumps([upload.url, upload.kind, upload.fingerprint])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.cache
def _process_token() -> bytes:
    return uuid.uuid4().hex.encode()


def _upload(name: str, url: str, kind: str, changed: float, files: tuple[StoredFile, ...]) -> Upload:
    if kind != SEQUENCE:
        return Upload(printable(name), url, kind, files[0].fingerprint, changed, files)
    counted = [file for file in files if not any(is_passed_over(part) for part in file.name.split("/"))]
    counted.sort(key=lambda file: natural_key(file.name))
    listing = json.dumps([[file.name, file.fingerprint] for file in counted])
    fingerprint = f"{len(counted)}-{hashlib.sha256(listing.encode()).hexdigest()[:32]}"
    return Upload(printable(name), url, kind, fingerprint, changed, tuple(counted))


def _file_kind(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return VIDEO if suffix in VIDEO_SUFFIXES else IMAGE if suffix in IMAGE_SUFFIXES else UNKNOWN


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
