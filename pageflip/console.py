"""What the command-line programs share: how they end, and how they print."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pageflip.errors import PageflipError

OUTCOME_VARIABLE = "PAGEFLIP_OUTCOME_FILE"


def run_main(main: Callable[[], None]) -> None:
    """Run a program's main function; a user's mistake ends with its message and exit code, without a traceback.

    Set PAGEFLIP_TRACEBACK=1 to see the traceback all the same. SIGTERM ends the program as an exception does, so that
    temporary files are cleared away.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        main()
        _note_outcome(0)
    except PageflipError as error:
        if os.environ.get("PAGEFLIP_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr, flush=True)
        _note_outcome(error.exit_code)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _note_outcome(exit_code: int) -> None:
    """Tell the runner of a stage that the command ran and how it ended: DVC does not pass exit codes on."""
    path = os.environ.get(OUTCOME_VARIABLE)
    if path:
        Path(path).write_text(str(exit_code), encoding="utf-8")
