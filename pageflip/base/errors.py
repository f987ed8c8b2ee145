"""The errors a user can cause or meet. Each says what was wrong, with which value, and what to do.

Every command ends with the error's `exit_code` (numbers of BSD sysexits.h), by which an orchestrator tells a fault
that a retry may cure (`EXIT_UNAVAILABLE`) from one that it never will.
"""

EXIT_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78
FINAL_EXIT_CODES = (EXIT_DATA, EXIT_CONFIG)


class PageflipError(Exception):
    """Base of all errors that are shown to the user without a traceback.

    Args:
        message: what was wrong, with the offending value.
        remedy: what to do about it, as a sentence or a command.
    """

    exit_code = EXIT_DATA

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  What to do: {self.remedy}" if self.remedy else self.message


class DataError(PageflipError):
    """Frames, archives or labels are not what they must be."""

    exit_code = EXIT_DATA


class ConfigError(PageflipError):
    """A parameter, an option or the environment is wrong."""

    exit_code = EXIT_CONFIG


class UnavailableError(PageflipError):
    """A service or a store did not answer, or a disk is full; a later try may succeed."""

    exit_code = EXIT_UNAVAILABLE
