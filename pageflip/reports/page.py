"""The evaluation as one self-contained HTML page, and its curves in the form that `dvc plots` reads.

The page asks for nothing from outside: style and charts are inline, pictures are data URIs. It weighs at most 4 MB:
pictures share PICTURE_BYTES, and tables are cut. The same input gives the same bytes: no date is written. Every value
is escaped by the templates. Each part of the page is a template of its own, `evaluation_NAME.html.j2`.
"""

import jinja2

from pageflip.reports.evidence import AGAINST, FOR

STYLE_COLOURS = {"for": FOR, "against": AGAINST}  # what the style sheet needs beside its own


def page_environment() -> jinja2.Environment:
    """Jinja with the templates of pages and their filters."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pageflip", "reports/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": format_score,
        "percent": _percent,
        "count": _count,
        "share": format_share,
        "points": _points,
    }
    return environment


def format_score(value: float | None) -> str:
    """Three decimals, cut rather than rounded up to a perfect 1."""
    if value is None:
        return "–"  # noqa: RUF001 - a typographic dash for the reader
    return f"{min(value, 0.999) if value < 1 else value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"  # noqa: RUF001


def format_share(value: float | None) -> str:
    """A percentage with one decimal: review bands are about few frames."""
    return "–" if value is None else f"{100 * value:.1f}%"  # noqa: RUF001


def _points(value: float) -> str:
    """Points of F1 lost, as a change: a loss is negative."""
    return f"{-value:+.1f}" if round(value, 1) else "0.0"


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
