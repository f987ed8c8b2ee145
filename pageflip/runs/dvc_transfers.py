"""DVC's transfers between cache, workspace and remote: report the underlying error, and delete partial files."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pageflip.base import storage
from pageflip.base.errors import PageflipError, UnavailableError
from pageflip.base.full_disk import error_chain, full_disk_error

if TYPE_CHECKING:
    from dvc.repo import Repo

LOGGERS = ("dvc", "dvc_data", "dvc_objects")
PRINTED_TRANSFERS = 3
MISSING = "Some of the cache files do not exist neither locally nor on remote"  # a warning, after which DVC goes on
FAILED_TRANSFER = "failed to transfer '%s'"  # what dvc_data logs with an object's hash


class TransferLogHandler(logging.Handler):
    """Collects the errors that DVC only logs: what it raises in the end is a number of files.

    Attributes:
        errors: logged exceptions.
        hashes: objects that could not be transferred.
        missing: whether DVC warned of files that are neither in the cache nor in the remote.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[BaseException] = []
        self.hashes: list[str] = []
        self.missing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a record."""
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])
        if record.msg == FAILED_TRANSFER and isinstance(record.args, tuple):
            self.hashes.append(str(record.args[0]))
        self.missing = self.missing or str(record.msg).startswith(MISSING)


@contextmanager
def capture_log() -> Iterator[TransferLogHandler]:
    """Yield a handler of what DVC logs; DVC's own handlers print it once, without tracebacks.

    There is one record for each file whose transfer failed; only the first PRINTED_TRANSFERS are printed.
    """
    log = TransferLogHandler()

    def is_printed(record: logging.LogRecord) -> bool:
        if record.msg != FAILED_TRANSFER or not isinstance(record.args, tuple):
            return True
        return log.hashes.index(str(record.args[0])) < PRINTED_TRANSFERS

    with ExitStack() as stack:
        for logger in map(logging.getLogger, LOGGERS):
            stack.callback(setattr, logger, "propagate", logger.propagate)
            stack.callback(setattr, logger, "handlers", logger.handlers)
            for handler in logger.handlers:
                stack.callback(handler.removeFilter, is_printed)
                handler.addFilter(is_printed)
            logger.propagate, logger.handlers = False, [log, *logger.handlers]  # collects before they filter
        yield log


@contextmanager
def explain_failure(
    repo: "Repo", problem: str, remedy: str, earlier: TransferLogHandler | None = None
) -> Iterator[TransferLogHandler]:
    """Raise DVC's failures in the block as errors that name the cause.

    Args:
        repo: the workspace.
        problem: what could not be done, as the start of the message.
        remedy: what to do where the cause is neither a full disk nor a server that does not answer.
        earlier: log of an earlier step, which may hold the cause too.

    Raises:
        UnavailableError: DVC failed.
    """
    from dvc.exceptions import DvcException

    with capture_log() as log:
        try:
            yield log
        except PageflipError:
            raise
        except Exception as error:
            delete_partial_files(repo, log)
            log.errors += earlier.errors if earlier else []
            cause = find_cause(repo, error, log)
            if cause is not None:
                raise UnavailableError(f"{problem}: {cause.message}", cause.remedy) from error
            if not isinstance(error, DvcException | OSError):
                raise
            raise UnavailableError(f"{problem}: {error}", remedy) from error


def find_cause(repo: "Repo", error: BaseException, log: TransferLogHandler) -> UnavailableError | None:
    """Return the full disk or the silent S3 server behind what DVC raised and logged; None for another cause."""
    errors = [*log.errors, error]
    remote = str(repo.config["remote"]["store"]["url"])
    folders = [repo.cache.legacy.path, remote.removeprefix("file://")]
    full = full_disk_error(errors, [Path(folder) for folder in folders if "://" not in folder])
    if full is not None or urlsplit(remote).scheme != "s3":
        return full
    endpoint = repo.config["remote"]["store"].get("endpointurl")
    faults = (storage.s3_fault(remote, each, endpoint) for top in errors for each in error_chain(top))
    return next(filter(None, faults), None)


def delete_partial_files(repo: "Repo", log: TransferLogHandler) -> None:
    """Delete objects from the cache whose content does not match their hash.

    DVC moves a download that is alone in its batch into the cache even when it was interrupted (`_get` of dvc-objects),
    and trusts it from then on.
    """
    for name in log.hashes:
        path = Path(repo.cache.local.oid_to_path(name))
        with suppress(FileNotFoundError), path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != name.removesuffix(".dir"):
                path.unlink()


def clean_up_failed_copies() -> None:
    """Make DVC delete the temporary file of a failed copy, which would fill what is left of a full disk."""
    from dvc_objects.fs.local import FsspecLocalFileSystem

    FsspecLocalFileSystem.put_file = _put_file  # type: ignore[method-assign]  # there is no option for it


def _put_file(self: Any, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
    """Copy a file atomically, as FsspecLocalFileSystem.put_file does."""
    from dvc_objects.fs.utils import copyfile, tmp_fname

    target = Path(rpath)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(tmp_fname())
    try:
        copyfile(lpath, str(part), callback=callback)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
