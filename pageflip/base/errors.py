"""Errors that a user can cause or meet: each has a message, the offending value and a remedy.

Every command ends with the error's `exit_code` (numbers of BSD sysexits.h). An orchestrator retries after
`EXIT_UNAVAILABLE`, and never after one of `FINAL_EXIT_CODES`.
"""

EXIT_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78
FINAL_EXIT_CODES = (EXIT_DATA, EXIT_CONFIG)


class PageflipError(Exception):
    """Base of all errors that are shown to the user without a traceback.

    Args:
        message: what is wrong, with the offending value.
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
    """Invalid frames, archives, labels or files."""

    exit_code = EXIT_DATA


class ConfigError(PageflipError):
    """Invalid parameter, option or environment."""

    exit_code = EXIT_CONFIG


class UnavailableError(PageflipError):
    """Service or store that does not answer, or a full disk; a later try may succeed."""

    exit_code = EXIT_UNAVAILABLE
