"""Import of frames from a zip file or a folder into the raw folder, all of them or none.

The source holds `images/{training,testing}/{flip,notflip}/VVVV_FFFFFFFFF.jpg` and optionally a `books.csv`, at its top
or inside one wrapping folder. Any other file, `__MACOSX` and `.DS_Store` included, is an error that names it, so that
what is imported is exactly what was sent. JPEGs are not decoded here; `prepare` does that.
"""

import contextlib
import csv
import errno
import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import Timeout

from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.files import lock_file
from pageflip.base.progress import track
from pageflip.frames.names import BOOKS_FILE, LAYOUT, FrameFile, parse_path
from pageflip.frames.raw_folder import list_frames, read_books

# the MonReader archive `images.zip`, by a public audit of the data set
MONREADER_SHA256 = "033dd76fa617ba9bcf16d8ca4dcc294a838a6956eae0740f3013e4663805008f"
MONREADER_BYTES = 939_921_132

CHUNK = 1 << 20
READABLE, WRITABLE = "name a zip file or a folder that you may read.", "name a folder you may write to."
ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000  # traditional, strong, and masked headers (APPNOTE 4.4.4)
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError, OverflowError)


@dataclass(frozen=True)
class Limits:
    """Limits of one import; the defaults are far above the known archives and far below the size of a disk."""

    entries: int = 500_000
    entry_bytes: int = 64 << 20
    total_bytes: int = 64 << 30
    ratio: float = 100.0  # uncompressed / compressed size; JPEGs hardly compress
    ratio_from_bytes: int = 1 << 20  # smaller entries have no limit: a blank frame compresses well


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class ImportResult:
    """Number of frames, clips and bytes that an import added; `skipped` frames were there already."""

    frames: int
    clips: int
    bytes: int
    skipped: int = 0


@dataclass(frozen=True)
class _Entry:
    """One file of the source. `size` is what the source claims, and not to be trusted."""

    name: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def import_frames(
    source: Path,
    raw: Path,
    *,
    monreader: bool = False,
    merge: bool = False,
    replace: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> ImportResult:
    """Import the frames of `source`, a zip file or a folder, into the folder `raw`.

    Files are staged in a hidden folder beside `raw` and renamed into place, so that a failure leaves `raw` unchanged.
    The next import cleans up, or completes the undoing, after one that was killed.

    Args:
        source: a zip file, or a folder.
        raw: the folder to import into.
        monreader: require the MonReader archive, byte for byte.
        merge: add to the frames in `raw`; identical ones are skipped, different ones of the same key are refused.
        replace: replace the frames in `raw`.
        limits: limits on the number and size of entries.

    Raises:
        DataError: the source is refused; the message names the entry.
        ConfigError: `raw` holds frames and neither `merge` nor `replace` is given, both are given, or `source` or `raw`
            cannot be used.
        UnavailableError: another import into `raw` is running, or the disk is too full.
    """
    if merge and replace:
        raise ConfigError("merge and replace are both given", "choose one of the two.")
    raw = Path(os.path.realpath(raw))
    source = Path(os.path.realpath(source))
    with _usable(source, READABLE):
        _check_source(source)
        if monreader:
            check_monreader(source)
    with _usable(raw, WRITABLE):
        _check_places(source, raw)
        raw.parent.mkdir(parents=True, exist_ok=True)
    with _staging(raw) as staging:
        if _holds_something(raw) and not (merge or replace):
            raise ConfigError(
                f"{raw} is not empty, and nothing is overwritten silently",
                "use --merge to add the new frames to the old ones, or --replace to replace the old ones.",
            )
        with _entries(source, limits) as entries:
            result = _stage(entries, staging, raw if merge and _holds_something(raw) else None, limits)
        _swap(staging, raw)
    return result


def check_monreader(source: Path) -> None:
    """Check that a file has the size and SHA-256 of the MonReader archive.

    Raises:
        DataError: it has not, or is no file.
    """
    remedy = "download the archive again, or leave out --monreader to import other frames."
    if not source.is_file():
        raise DataError(f"{source} is not the MonReader archive: it is not a file", remedy)
    size = source.stat().st_size
    if size != MONREADER_BYTES:
        raise DataError(f"{source} has {size} bytes, the MonReader archive has {MONREADER_BYTES}", remedy)
    digest = hashlib.sha256()
    for chunk in track(_read_chunks(source), total=-(-size // CHUNK), description="checking SHA-256"):
        digest.update(chunk)
    if digest.hexdigest() != MONREADER_SHA256:
        raise DataError(f"{source} has the SHA-256 {digest.hexdigest()}, expected {MONREADER_SHA256}", remedy)


@contextlib.contextmanager
def _usable(place: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{place} cannot be used: {error}", remedy) from error


def _check_source(source: Path) -> None:
    if not source.exists():
        raise DataError(f"there is nothing at {source}", "name a zip file or a folder of frames.")
    if source.is_dir():
        os.scandir(source).close()
    else:
        source.open("rb").close()


def _check_places(source: Path, raw: Path) -> None:
    if raw.exists() and not raw.is_dir():
        raise ConfigError(f"{raw} is not a folder", "name a folder to import into.")
    if source.is_dir() and (source == raw or source in raw.parents or raw in source.parents):
        raise ConfigError(f"{source} and {raw} lie inside one another", "import from a folder elsewhere.")


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


# --- reading the source


@contextlib.contextmanager
def _entries(source: Path, limits: Limits) -> Iterator[list[_Entry]]:
    """Yield the files of the source, their names checked and nothing unpacked."""
    if source.is_dir():
        yield _folder_entries(source, limits)
        return
    try:
        archive = zipfile.ZipFile(source)
    except ZIP_FAULTS as error:
        raise DataError(
            f"{source} is not a zip file, or is cut short: {error}", "download or copy it again."
        ) from error
    with archive:
        yield _zip_entries(archive, limits)


def _zip_entries(archive: zipfile.ZipFile, limits: Limits) -> list[_Entry]:
    infos = archive.infolist()
    _check_limit(len(infos) <= limits.entries, f"the archive has {len(infos)} entries, more than {limits.entries}")
    seen: dict[str, str] = {}
    entries = []
    for info in infos:
        _check_zip_entry(info, limits)
        name = info.filename
        other = seen.setdefault(name.rstrip("/").casefold(), name)
        if other is not name:
            raise DataError(f"the entry {name!r} stands twice in the archive (also as {other!r})", "keep one of them.")
        if not info.is_dir():
            entries.append(_Entry(name, info.file_size, partial(_unzip_chunks, archive, info)))
    return entries


def _check_zip_entry(info: zipfile.ZipInfo, limits: Limits) -> None:
    name = info.orig_filename  # zipfile has cleaned up `filename`
    _check_name(name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > name.endswith("/"):
        raise DataError(f"the entry {name!r} is a link or a special file", "pack the files themselves.")
    if info.flag_bits & ENCRYPTED_FLAGS:
        raise DataError(f"the entry {name!r} is encrypted", "unpack it yourself and import the folder.")
    if info.compress_type not in PLAIN_METHODS:
        raise DataError(
            f"the entry {name!r} has the compression method {info.compress_type}", "compress it with deflate."
        )
    if info.is_dir() and info.file_size:
        raise DataError(f"the entry {name!r} is a folder with contents", "pack the files with a common zip program.")
    _check_limit(info.file_size <= limits.entry_bytes, f"the entry {name!r} would unpack to {info.file_size} bytes")
    ratio = info.file_size / max(info.compress_size, 1)
    suspicious = info.file_size >= limits.ratio_from_bytes and ratio > limits.ratio
    _check_limit(not suspicious, f"the entry {name!r} is compressed {ratio:.0f} times, which no JPEG is")


def _check_name(name: str) -> None:
    parts = name.rstrip("/").split("/")
    climbs = ".." in parts or name.startswith("/")
    if climbs or "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".") for part in parts):
        raise DataError(
            f"the entry {name!r} is not a plain relative path below the archive's top", f"use the layout {LAYOUT}."
        )


def _check_limit(within: bool, message: str) -> None:
    if not within:
        raise DataError(message + ": it looks like a zip bomb", "import a smaller archive, or unpack it yourself.")


def _unzip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (*ZIP_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: the directory points before the file
            raise
        raise DataError(f"the entry {info.filename!r} is damaged: {error}", "download the archive again.") from error


def _folder_entries(folder: Path, limits: Limits) -> list[_Entry]:
    entries: list[_Entry] = []
    pending = [folder]
    while pending:
        for item in sorted(os.scandir(pending.pop()), key=lambda item: item.name):
            path = Path(item.path)
            name = path.relative_to(folder).as_posix()
            if item.is_symlink() or not (item.is_dir() or item.is_file()):
                raise DataError(f"{name!r} below {folder} is a link or a special file", "copy the file itself there.")
            if item.is_dir():
                pending.append(path)
                continue
            size = item.stat().st_size
            _check_limit(size <= limits.entry_bytes, f"the file {name!r} has {size} bytes")
            entries.append(_Entry(name, size, partial(_read_chunks, path)))
            _check_limit(len(entries) <= limits.entries, f"{folder} has more than {limits.entries} files")
    return entries


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _classify(entries: list[_Entry]) -> tuple[list[tuple[FrameFile, _Entry]], _Entry | None]:
    """Return the frames, sorted and each with its entry, and the entry of books.csv; refuse any other file."""
    top = _wrapping_folder(entries)
    frames: dict[tuple[str, str, int], tuple[FrameFile, _Entry]] = {}
    books = None
    for entry in entries:
        name = entry.name.removeprefix(top)
        frame = parse_path(name) if entry.name.startswith(top) else None
        if frame is not None:
            _, other = frames.setdefault(frame.key, (frame, entry))
            if other is not entry:
                raise DataError(
                    f"{entry.name!r} and {other.name!r} are the same frame (label, video, number)",
                    "keep one of the two.",
                )
        elif entry.name == top + BOOKS_FILE:
            books = entry
        else:
            raise DataError(
                f"{entry.name!r} does not belong in the layout {LAYOUT}",
                "remove it and import again (`zip -d ARCHIVE '__MACOSX/*' '*.DS_Store'` removes what macOS adds).",
            )
    return sorted(frames.values(), key=lambda pair: pair[0]), books


def _wrapping_folder(entries: list[_Entry]) -> str:
    """Return the folder that wraps the layout, with a trailing slash; empty when the layout starts at the top."""
    tops = set()
    for entry in entries:
        if parse_path(entry.name):
            return ""
        top, _, rest = entry.name.partition("/")
        if parse_path(rest):
            tops.add(top)
    if len(tops) > 1:
        raise DataError(f"frames lie below several folders: {sorted(tops)}", "import them one at a time, with --merge.")
    return f"{tops.pop()}/" if tops else ""


# --- staging


def _stage(entries: list[_Entry], staging: Path, old: Path | None, limits: Limits) -> ImportResult:
    """Write the source's files to `staging`, and link those of `old` there when it is given."""
    frames, books = _classify(entries)
    if not frames:
        raise DataError("the source holds no frames", f"put frames there in the layout {LAYOUT}.")
    declared = sum(entry.size for entry in entries)
    _check_limit(
        declared <= limits.total_bytes, f"the source would unpack to {declared} bytes, over {limits.total_bytes}"
    )
    free = shutil.disk_usage(staging).free
    if declared > free:
        raise UnavailableError(f"the import needs {declared} bytes, and {staging} has {free} free", "free disk space.")
    present = _link_old(old, staging) if old else {}
    left, added, skipped = limits.total_bytes, [], 0
    for frame, entry in track(frames, total=len(frames), description="importing frames"):
        if frame.key in present:
            _require_same(entry, present[frame.key])
            skipped += 1
            continue
        left -= _write(entry, staging / frame.path, min(left, limits.entry_bytes))
        added.append(frame)
    if books:
        _stage_books(books, staging, limits)
    list_frames(staging)  # checks the result against the rules that every later stage relies on
    return ImportResult(len(added), len({frame.clip for frame in added}), limits.total_bytes - left, skipped)


def _write(entry: _Entry, path: Path, limit: int) -> int:
    """Write one entry and return its size, counted while reading: the header may lie."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        for chunk in entry.chunks():
            written += len(chunk)
            _check_limit(written <= limit, f"the entry {entry.name!r} goes on after {limit} bytes")
            file.write(chunk)
    if written != entry.size:
        raise DataError(f"{entry.name!r} has {written} bytes and claims {entry.size}", "pack or copy it again.")
    return written


def _link_old(old: Path, staging: Path) -> dict[tuple[str, str, int], Path]:
    """Hard-link the files of `old` into the staging folder, or copy them; return the file of each frame key."""
    present = {}
    for frame in list_frames(old):
        _link_or_copy(old / frame.path, staging / frame.path)
        present[frame.key] = old / frame.path
    if (old / BOOKS_FILE).exists():
        _link_or_copy(old / BOOKS_FILE, staging / BOOKS_FILE)
    return present


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another disk, or one without hard links
        shutil.copy2(source, target)


def _require_same(entry: _Entry, present: Path) -> None:
    same = True
    with present.open("rb") as file:
        for chunk in entry.chunks():
            same = same and file.read(len(chunk)) == chunk
        same = same and not file.read(1)
    if not same:
        raise DataError(
            f"{entry.name!r} is a frame that {present} holds with other contents",
            "give it another frame number, or use --replace.",
        )


def _stage_books(entry: _Entry, staging: Path, limits: Limits) -> None:
    """Write books.csv, merged with the one that is there already; a clip with two books is an error."""
    target = staging / BOOKS_FILE
    before = read_books(staging) if target.exists() else {}
    incoming = staging / ".incoming"
    _write(entry, incoming / BOOKS_FILE, limits.entry_bytes)
    try:
        new = read_books(incoming)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{entry.name!r} cannot be read as CSV: {error}", "save it as UTF-8, comma separated."
        ) from error
    for clip, book in new.items():
        if before.get(clip, book) != book:
            raise DataError(
                f"{entry.name!r} puts {'/'.join(clip)} into {book}; here it belongs to {before[clip]}",
                "correct one of the two files.",
            )
    if before and new != before:
        with (incoming / BOOKS_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["label", "video_id", "book"])
            writer.writerows([*clip, book] for clip, book in sorted({**before, **new}.items()))
    (incoming / BOOKS_FILE).replace(target)
    incoming.rmdir()


@contextlib.contextmanager
def _staging(raw: Path) -> Iterator[Path]:
    """Yield an empty folder beside `raw` that is deleted at the end, while no other import into `raw` can run."""
    place = raw.parent / f".{raw.name}.import"
    with _only_import(raw):
        _recover(place, raw)
        staging = place / "new"
        try:
            with _usable(raw, WRITABLE):
                staging.mkdir(parents=True)
            yield staging
        except PermissionError as error:  # a retry would not help
            raise ConfigError(f"the import into {raw} stopped: {error}", f"{READABLE[:-1]}; {WRITABLE}") from error
        except OSError as error:
            raise UnavailableError(
                f"the import into {raw} stopped: {error}", "check the disk, then try again."
            ) from error
        finally:
            _recover(place, raw)


def _recover(place: Path, raw: Path) -> None:
    """Move `raw` back if an import was killed between the two renames of `_swap`, and delete what it left."""
    old = place / "old"
    if old.is_dir() and not raw.exists():
        old.rename(raw)
    shutil.rmtree(place, ignore_errors=True)


def _swap(staging: Path, raw: Path) -> None:
    if raw.exists():
        raw.rename(staging.parent / "old")
    staging.rename(raw)


@contextlib.contextmanager
def _only_import(raw: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_file(raw.parent / f".{raw.name}.import.lock"))
        except Timeout as error:
            raise UnavailableError(f"another import into {raw} is running", "wait until it ends.") from error
        except OSError as error:
            raise ConfigError(f"{raw} cannot be used: {error}", WRITABLE) from error
        yield
