"""Files at addresses: a folder, `file://` or `s3://` (any S3 server through AWS_ENDPOINT_URL), one interface for all.

What is written appears whole or not at all. A missing file is Python's FileNotFoundError; a store that does not answer,
or refuses the credentials, is an UnavailableError. Credentials come from where boto3 takes them.
"""

import contextlib
import mimetypes
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pageflip.base import settings
from pageflip.base.errors import ConfigError, PageflipError, UnavailableError
from pageflip.base.full_disk import full_disk_error

TEMPORARY = ".pageflip-tmp-"  # names that begin so are half-written and never listed
DISK_FOLDER = "lost+found"  # stands at the top of a disk, and is nobody's
TEMPORARY_LIVES_S = 86_400  # after that, a temporary folder belongs to nobody
S3_CONFIG = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 3}}


@dataclass(frozen=True)
class StoredFile:
    """A file in a store.

    Attributes:
        url: its address.
        name: its name relative to the address that was listed, with forward slashes.
        size: bytes.
        fingerprint: changes whenever the file does; cheap (no contents are read).
        changed: when it last changed, in seconds since 1970.
        error: why it cannot be read, as far as listing shows; it may then be a folder. Empty when nothing is known.
    """

    url: str
    name: str
    size: int
    fingerprint: str
    changed: float
    error: str = ""


@dataclass(frozen=True)
class Entry:
    """What stands directly below an address: a file, or a folder with all the files below it (names relative to it).

    `changed` is when anything in it last changed, in seconds since 1970.
    """

    name: str
    url: str
    is_folder: bool
    changed: float
    files: tuple[StoredFile, ...]


def join(url: str, *parts: str) -> str:
    """An address below another one."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)])


def local_path(url: str) -> Path | None:
    """The absolute path behind a plain path or `file://` address; None for `s3://`.

    Raises:
        ConfigError: the address is of another kind.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Path(url).expanduser().absolute()
    if scheme == "file" and rest.startswith("/"):
        return Path(rest)
    if scheme == "s3" and rest.strip("/"):
        return None
    raise ConfigError(f"{url!r} is no address of a store", "use a folder, file:///FOLDER or s3://BUCKET/PREFIX.")


def folder_exists(url: str) -> bool:
    """Whether there is a place to list: a local folder, or a bucket that answers (its prefixes need no making)."""
    path = local_path(url)
    if path is not None:
        return path.is_dir()
    with _explained(url):
        bucket, _, prefix = _key(url).partition("/")
        _s3().call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return True


def list_files(url: str, *, tolerant: bool = False) -> list[StoredFile]:
    """All files below `url`, sorted by name; an empty list where nothing has been written yet.

    Locally, links are followed (a folder is walked once, however many links lead to it). What cannot be read below
    `url` is among them with its error; so is `url` itself, by its own name, when `tolerant`.
    """
    path = local_path(url)
    with _explained(url):
        found = list(_list_s3(url) if path is None else _list_local(path, url, tolerant=tolerant))
    files = [replace(file, name=file.name.rstrip("/")) if file.error else file for file in found]
    return sorted((file for file in files if not file.name.endswith("/")), key=lambda file: file.name)


def list_entries(url: str) -> list[Entry]:
    """What stands directly below `url`, sorted by name, empty folders included."""
    path = local_path(url)
    with _explained(url):
        files = list(_list_s3(url) if path is None else _list_local(path, url))
    tops: dict[str, list[StoredFile]] = {}
    folders: set[str] = set()
    changed: dict[str, float] = {}
    for file in files:
        top, separator, rest = file.name.partition("/")
        inside = tops.setdefault(top, [])
        changed[top] = max(changed.get(top, 0.0), file.changed)
        if separator:
            folders.add(top)
        if file.error:
            inside.append(replace(file, name=rest.rstrip("/") or top))
        elif not file.name.endswith("/"):
            inside.append(replace(file, name=rest or top))
    return [
        Entry(name, join(url, name), name in folders, changed[name], tuple(sorted(inside, key=lambda file: file.name)))
        for name, inside in sorted(tops.items())
        if name
    ]


def look_up(url: str, *, tolerant: bool = False) -> StoredFile | None:
    """The one file at `url`, with its last part as its name; None when there is none.

    When `tolerant`, a local one that cannot be looked at is returned with its error.
    """
    path = local_path(url)
    name = url.rstrip("/").rsplit("/", 1)[-1]
    try:
        with _explained(url):
            if path is not None:
                return _look_up_local(path, url, name, tolerant)
            info = _s3().info(_key(url), refresh=True)
            return _stored_s3(url, name, info) if info["type"] == "file" else None
    except FileNotFoundError:
        return None


def exists(url: str) -> bool:
    """Whether there is a file at `url`."""
    return look_up(url) is not None


def read_bytes(url: str) -> bytes:
    """The contents of a small file."""
    path = local_path(url)
    with _explained(url):
        return path.read_bytes() if path is not None else _s3().cat_file(_key(url))


def read_many(urls: Iterable[str]) -> list[bytes]:
    """The contents of many small files, in order; from S3, several at a time. All in one store."""
    urls = list(urls)
    if not urls or local_path(urls[0]) is not None:
        return [read_bytes(url) for url in urls]
    keys = [_key(url) for url in urls]
    with _explained(urls[0]):
        contents = _s3().cat(keys) if len(keys) > 1 else {keys[0]: _s3().cat_file(keys[0])}
    return [contents[key] for key in keys]


def download(url: str, path: Path) -> None:
    """Copy a file to the local `path`, which appears when it is complete."""
    source = local_path(url)
    _make_folder(path.parent)
    with _explained(url), _temporary(path) as part:
        if source is not None:
            shutil.copyfile(source, part)
        else:
            _s3().get_file(_key(url), str(part))
        os.replace(part, path)


def write_bytes(url: str, data: bytes) -> None:
    """Write a file, over the one that is there; readers see the old contents or the new."""
    path = local_path(url)
    with _explained(url):
        if path is None:
            _s3().pipe_file(_key(url), data, **_content_type(url))
            return
        _make_folder(path.parent)
        with _temporary(path) as part:
            part.write_bytes(data)
            os.replace(part, path)


def create_bytes(url: str, data: bytes) -> bool:
    """Write a file unless there is one; of several writers at once, exactly one gets True."""
    path = local_path(url)
    with _explained(url):
        if path is None:
            return _create_s3(url, data)
        _make_folder(path.parent)
        with _temporary(path) as part:
            part.write_bytes(data)
            try:
                os.link(part, path)  # unlike a rename, this fails when the name is taken
            except FileExistsError:
                return False
        return True


def delete(url: str) -> None:
    """Remove a file; one that is not there is fine."""
    path = local_path(url)
    with _explained(url), contextlib.suppress(FileNotFoundError):
        if path is not None:
            path.unlink()
        else:
            _s3().rm_file(_key(url))


@contextlib.contextmanager
def staging_folder(url: str) -> Iterator[Path]:
    """An empty local folder in which to prepare what `publish_folder` brings to `url`; removed at the end.

    For a local address it lies beside it, on the same disk, so that publishing is a rename.
    """
    path = local_path(url)
    if path is None:
        with tempfile.TemporaryDirectory(prefix="pageflip-") as folder:
            yield Path(folder)
        return
    with _explained(url):
        _make_folder(path.parent)
        _sweep(path.parent)
        staging = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish_folder(local_dir: Path, url: str, marker_name: str) -> bool:
    """Bring a prepared folder, which holds `marker_name`, to `url` as a whole; False when one was published before.

    Locally it is renamed into place (and so gone from `local_dir`). On S3 the files are uploaded and the marker
    last, put only if absent: a folder without its marker counts as not there, and is completed by the next attempt.
    """
    if exists(join(url, marker_name)):
        return False
    path = local_path(url)
    with _explained(url):
        if path is not None:
            return _publish_local(local_dir, path, marker_name)
        files = sorted(file for file in local_dir.rglob("*") if file.is_file() and file != local_dir / marker_name)
        keys = [_key(join(url, file.relative_to(local_dir).as_posix())) for file in files]
        if files:
            _s3().put([str(file) for file in files], keys)
    return create_bytes(join(url, marker_name), (local_dir / marker_name).read_bytes())


# --- local folders


def _look_up_local(path: Path, url: str, name: str, tolerant: bool) -> StoredFile | None:
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if not tolerant:
            raise
        return _unreadable(url, name, error)
    return _stored(url, name, state) if stat.S_ISREG(state.st_mode) else None


def _list_local(top: Path, url: str, *, tolerant: bool = False) -> Iterator[StoredFile]:
    """Files below `top`; a folder that has none, or cannot be read, gives one entry whose name ends with a slash."""
    if top.is_file():
        raise UnavailableError(f"{url} is a file", "correct the address: it must be a folder.")
    pending, walked = [(top, "")], set()
    while pending:
        folder, prefix = pending.pop()
        try:
            identity = folder.stat().st_dev, folder.stat().st_ino
            items = [item for item in os.scandir(folder) if not item.name.startswith(TEMPORARY)]
        except FileNotFoundError:  # removed meanwhile, or nothing has been written yet
            continue
        except OSError as error:
            if not prefix and not tolerant:
                raise
            yield _unreadable(join(url, prefix) if prefix else url, prefix or top.name, error)
            continue
        if identity in walked:
            continue
        walked.add(identity)
        if not items and prefix:
            yield StoredFile(join(url, prefix), prefix, 0, "", folder.stat().st_mtime)
        for item in items:
            name = prefix + item.name
            if name == DISK_FOLDER:
                continue
            try:
                if item.is_dir():
                    pending.append((Path(item.path), name + "/"))
                else:
                    yield _stored(join(url, name), name, os.stat(item.path))
            except FileNotFoundError:
                continue
            except OSError as error:  # among them a link that leads to itself
                yield _unreadable(join(url, name), name, error)


def _unreadable(url: str, name: str, error: OSError) -> StoredFile:
    """An entry for what cannot be read; its fingerprint changes once it can."""
    return StoredFile(url, name, 0, f"unreadable-{error.errno}", 0.0, error.strerror or str(error))


def _stored(url: str, name: str, state: os.stat_result) -> StoredFile:
    # ctime catches what sets the modification time back: copying with -p, unpacking, rsync.
    fingerprint = f"{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}"
    return StoredFile(url, name, state.st_size, fingerprint, max(state.st_mtime, state.st_ctime))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # among them "not found" (a parent that cannot be) and "exists" (a file of that name)
        full = full_disk_error([error])
        if full is not None:
            raise full from error
        raise UnavailableError(f"{folder} cannot be made: {error}", "check the address and its permissions.") from error


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _publish_local(local_dir: Path, path: Path, marker_name: str) -> bool:
    _make_folder(path.parent)
    if local_dir.stat().st_dev != path.parent.stat().st_dev:
        with staging_folder(str(path)) as near:
            shutil.copytree(local_dir, near / "copy")
            return _publish_local(near / "copy", path, marker_name)
    if path.is_dir() and not (path / marker_name).exists():  # not ours, or damaged by hand: make room
        with contextlib.suppress(FileNotFoundError), staging_folder(str(path)) as aside:
            os.rename(path, aside / "incomplete")
    try:
        os.rename(local_dir, path)
    except OSError:
        if (path / marker_name).exists():  # another attempt was first
            return False
        raise
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind."""
    for item in folder.glob(TEMPORARY + "*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - item.stat().st_mtime > TEMPORARY_LIVES_S:
                shutil.rmtree(item, ignore_errors=True) if item.is_dir() else item.unlink()


# --- S3


def _s3() -> Any:
    import fsspec  # here, because it brings botocore and aiohttp, which local folders do without

    endpoint = settings.s3_endpoint()
    return fsspec.filesystem("s3", endpoint_url=endpoint, use_listings_cache=False, config_kwargs=S3_CONFIG)


def _key(url: str) -> str:
    return url.removeprefix("s3://").strip("/")


def _list_s3(url: str) -> Iterator[StoredFile]:
    top = _key(url)
    for key, info in _s3().find(top, detail=True).items():
        name = key.removeprefix(top).removeprefix("/")
        if not name or f"/{TEMPORARY}" in f"/{name}":
            continue
        yield _stored_s3(f"s3://{key}", name, info)


def _stored_s3(url: str, name: str, info: dict[str, Any]) -> StoredFile:
    fingerprint = f"{info['size']}-{info['ETag'].strip(chr(34))}"
    return StoredFile(url, name, info["size"], fingerprint, info["LastModified"].timestamp())


def _content_type(url: str) -> dict[str, str]:
    kind, _ = mimetypes.guess_type(url)
    return {"ContentType": kind} if kind else {}


def _create_s3(url: str, data: bytes) -> bool:
    try:
        _s3().pipe_file(_key(url), data, mode="create", **_content_type(url))
    except OSError as error:
        if isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412"):
            return False
        # Two conditional puts at the same moment: S3 answers one of them with a conflict.
        if _code(error) in ("ConditionalRequestConflict", "409") and exists(url):
            return False
        raise
    return True


def _code(error: BaseException) -> str:
    """The S3 error code behind an exception of s3fs, or an empty string."""
    response = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what a store's client raises into an UnavailableError that names the address and the remedy."""
    try:
        yield
    except FileNotFoundError as error:
        if _code(error) != "NoSuchBucket":
            raise
        raise UnavailableError(f"{url}: the bucket does not exist", "create it, or correct the address.") from error
    except (PageflipError, FileExistsError, IsADirectoryError, NotADirectoryError):
        raise
    except Exception as error:
        described = _describe(url, error)
        if described is None:
            raise
        raise described from error


def _describe(url: str, error: Exception) -> UnavailableError | None:
    path = local_path(url)
    if path is not None:
        if not isinstance(error, OSError):
            return None
        full = full_disk_error([error], [path.parent])
        return full or UnavailableError(f"{url}: {error}", "check the permissions of that folder.")
    return s3_fault(url, error)


def s3_fault(url: str, error: BaseException, endpoint: str | None = None) -> UnavailableError | None:
    """What an error of an S3 client means for `url`; None when the error is none of theirs.

    Args:
        endpoint: the server's address; the one in the environment unless given.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return UnavailableError(
            f"{url}: no S3 credentials were found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if isinstance(error, PermissionError):
        return UnavailableError(
            f"{url}: the S3 server refuses access ({error})",
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy.",
        )
    if isinstance(error, BotoCoreError | ClientError | OSError):
        endpoint = endpoint or settings.s3_endpoint() or "AWS"
        return UnavailableError(
            f"{url}: the S3 server ({endpoint}) does not answer as it should: {error}",
            "check AWS_ENDPOINT_URL, the network and the server.",
        )
    return None
