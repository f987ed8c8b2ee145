"""What DVC moves between cache, workspace and remote: why it broke off, and that it leaves no half of anything."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pageflip.base import full_disk, storage
from pageflip.base.errors import PageflipError, UnavailableError

if TYPE_CHECKING:
    from dvc.repo import Repo

LOGGERS = ("dvc", "dvc_data", "dvc_objects")
PRINTED_TRANSFERS = 3
MISSING = "Some of the cache files do not exist neither locally nor on remote"  # and DVC goes on
FAILED_TRANSFER = "failed to transfer '%s'"  # what dvc_data logs with an object's hash


class Heard(logging.Handler):
    """The errors that DVC only logs: what it raises in the end is a number of files."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[BaseException] = []
        self.hashes: list[str] = []
        self.missing = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])
        if record.msg == FAILED_TRANSFER and isinstance(record.args, tuple):
            self.hashes.append(str(record.args[0]))
        self.missing = self.missing or str(record.msg).startswith(MISSING)


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear what DVC logs, and have it printed once, by DVC's own handlers, without tracebacks.

    Of failed transfers, of which there is one for each file, the first few are printed.
    """
    heard = Heard()

    def is_printed(record: logging.LogRecord) -> bool:
        return record.msg != FAILED_TRANSFER or heard.hashes.index(str(record.args[0])) < PRINTED_TRANSFERS

    with ExitStack() as stack:
        for logger in map(logging.getLogger, LOGGERS):
            stack.callback(setattr, logger, "propagate", logger.propagate)
            stack.callback(setattr, logger, "handlers", logger.handlers)
            for handler in logger.handlers:
                stack.callback(handler.removeFilter, is_printed)
                handler.addFilter(is_printed)
            logger.propagate, logger.handlers = False, [heard, *logger.handlers]  # it hears first
        yield heard


@contextmanager
def explained(repo: "Repo", what: str, remedy: str, before: Heard | None = None) -> Iterator[Heard]:
    """Say why DVC could not move something: `what`, and the full disk or the server that does not answer.

    Args:
        before: what was heard earlier, where the reason may lie too.

    Raises:
        UnavailableError: it could not.
    """
    from dvc.exceptions import DvcException

    with listening() as heard:
        try:
            yield heard
        except PageflipError:
            raise
        except Exception as error:
            drop_half_written(repo, heard)
            heard.errors += before.errors if before else []
            cause = explanation(repo, error, heard)
            if cause is not None:
                raise UnavailableError(f"{what}: {cause.message}", cause.remedy) from error
            if not isinstance(error, DvcException | OSError):
                raise
            raise UnavailableError(f"{what}: {error}", remedy) from error


def explanation(repo: "Repo", error: BaseException, heard: Heard) -> UnavailableError | None:
    """The full disk or the silent S3 server behind what DVC raised and logged; None when it is neither."""
    errors = [*heard.errors, error]
    remote = str(repo.config["remote"]["store"]["url"])
    folders = [repo.cache.legacy.path, remote.removeprefix("file://")]
    full = full_disk.full_disk(errors, [Path(folder) for folder in folders if "://" not in folder])
    if full is not None or urlsplit(remote).scheme != "s3":
        return full
    endpoint = repo.config["remote"]["store"].get("endpointurl")
    faults = (storage.s3_fault(remote, each, endpoint) for top in errors for each in full_disk.chain(top))
    return next(filter(None, faults), None)


def drop_half_written(repo: "Repo", heard: Heard) -> None:
    """Remove from the cache what did not arrive whole.

    A download that is alone in its batch is moved into the cache even when it broke off (dvc-objects' `_get`), and is
    trusted from then on.
    """
    for name in heard.hashes:
        path = Path(repo.cache.local.oid_to_path(name))
        with suppress(FileNotFoundError), path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != name.removesuffix(".dir"):
                path.unlink()


def keep_folders_tidy() -> None:
    """Have DVC remove the temporary file of a copy that broke off: on a full disk it would hold what room there was."""
    from dvc_objects.fs.local import FsspecLocalFileSystem

    FsspecLocalFileSystem.put_file = _put_file


def _put_file(self: Any, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
    """Copy a file into a folder in one piece; what FsspecLocalFileSystem.put_file promises."""
    from dvc_objects.fs.utils import copyfile, tmp_fname

    folder = os.path.dirname(rpath)
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, tmp_fname())
    try:
        copyfile(lpath, part, callback=callback)
        os.replace(part, rpath)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
