"""What the command-line programs share: how they end, and how they print."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pageflip.base import full_disk
from pageflip.base.errors import PageflipError

OUTCOME_VARIABLE = "PAGEFLIP_OUTCOME_FILE"


def run_main(main: Callable[[], None]) -> None:
    """Run a program's main function; a user's mistake, and a full disk, end with message and exit code, no traceback.

    Set PAGEFLIP_TRACEBACK=1 to see the traceback all the same. SIGTERM ends the program as an exception does, so that
    temporary files are cleared away.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        main()
        _note_outcome(0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        shown = error if isinstance(error, PageflipError) else full_disk.full_disk([error])
        if shown is None or os.environ.get("PAGEFLIP_TRACEBACK"):
            raise
        print(f"error: {shown}", file=sys.stderr, flush=True)
        _note_outcome(shown.exit_code)
        raise SystemExit(shown.exit_code) from None


def _note_outcome(exit_code: int) -> None:
    """Tell the runner of a stage that the command ran and how it ended: DVC does not pass exit codes on."""
    path = os.environ.get(OUTCOME_VARIABLE)
    if path:
        # over the blanks that `prepare_outcome` left: on a full disk nothing else could be written
        with suppress(OSError), open(path, "r+" if Path(path).exists() else "w", encoding="utf-8") as file:
            file.write(str(exit_code))


def prepare_outcome(path: Path) -> None:
    """Make the file in which a command that is told of it notes its exit code; the room for that is taken now."""
    path.write_text(" " * 8, encoding="utf-8")


def read_outcome(path: Path) -> int | None:
    """The exit code that a command has noted; None when it noted none."""
    text = path.read_text(encoding="utf-8").strip()
    return int(text) if text else None
