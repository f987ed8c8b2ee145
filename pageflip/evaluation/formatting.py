"""Scores, shares and times as texts in tables and pages."""

NO_VALUE = "\N{EN DASH}"


def format_score(value: float | None) -> str:
    """Format a score with three decimals; one below 1 is never rounded up to 1."""
    if value is None:
        return NO_VALUE
    return f"{min(value, 0.999) if value < 1 else value:.3f}"


def format_percent(value: float | None) -> str:
    """Format a share as a percentage without decimals."""
    return NO_VALUE if value is None else f"{100 * value:.0f}%"


def format_share(value: float | None) -> str:
    """Format a share as a percentage with one decimal, for small shares."""
    return NO_VALUE if value is None else f"{100 * value:.1f}%"


def format_clock(seconds: float) -> str:
    """Format a time as m:ss, with up to two decimals if it has any."""
    minutes, rest = divmod(round(100 * seconds), 6000)
    decimals = f"{rest % 100:02d}".rstrip("0")
    return f"{minutes}:{rest // 100:02d}" + (f".{decimals}" if decimals else "")
