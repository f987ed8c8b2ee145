"""Start and end of the command-line programs."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pageflip.base import settings
from pageflip.base.errors import PageflipError
from pageflip.base.full_disk import full_disk_error


def run_main(main: Callable[[], None]) -> None:
    """Run a program's main function; end with a message and an exit code for errors that users can cause or meet.

    These are PageflipErrors and full disks; PAGEFLIP_TRACEBACK=1 shows their tracebacks. SIGTERM ends the program by an
    exception, so that temporary files are deleted.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    _configure_logging()
    try:
        main()
        _note_outcome(os.EX_OK)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        known = error if isinstance(error, PageflipError) else full_disk_error([error])
        if known is None or settings.shows_tracebacks():
            raise
        print(f"error: {known}", file=sys.stderr, flush=True)
        _note_outcome(known.exit_code)
        raise SystemExit(known.exit_code) from None


class _LineFormatter(logging.Formatter):
    """Messages of level INFO as plain lines, others with level and logger."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage() if record.levelno == logging.INFO else super().format(record)


def _configure_logging() -> None:
    """Log to standard error: of libraries the warnings, of this project also the progress, which is INFO."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("pageflip").setLevel(logging.INFO)


def _note_outcome(exit_code: int) -> None:
    """Write the exit code for the runner of a stage, to which DVC does not pass it."""
    path = settings.outcome_file()
    if path is not None:
        # over the blanks of `prepare_outcome`: a full disk has no room for anything new
        with suppress(OSError), path.open("r+" if path.exists() else "w", encoding="utf-8") as file:
            file.write(str(exit_code))


def prepare_outcome(path: Path) -> None:
    """Write a file of blanks, in which a command with OUTCOME_VARIABLE in its environment notes its exit code."""
    path.write_text(" " * 8, encoding="utf-8")


def read_outcome(path: Path) -> int | None:
    """Return the exit code that a command has noted; None when it noted none."""
    text = path.read_text(encoding="utf-8").strip()
    return int(text) if text else None
