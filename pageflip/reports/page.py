"""The Jinja environment of all HTML pages: templates, filters, and the colours that the style sheets share with Python.

Pages are self-contained: styles and charts are inline, images are data URIs, and nothing is fetched. Every value is
escaped.
"""

import jinja2

from pageflip.evaluation.formatting import format_clock, format_percent, format_score, format_share

FOR_FLIP, AGAINST_FLIP = (255, 122, 0), (0, 112, 255)  # evidence; distinguishable with any colour blindness


def page_environment() -> jinja2.Environment:
    """Return Jinja's environment with the templates of pages and their filters."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pageflip", "reports/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": format_clock,
        "count": _format_count,
        "percent": format_percent,
        "points": _format_points,
        "score": format_score,
        "share": format_share,
    }
    environment.globals |= {"for_flip": FOR_FLIP, "against_flip": AGAINST_FLIP}
    return environment


def _format_points(loss: float) -> str:
    """Format points of F1 lost as a change: a loss is negative."""
    return f"{-loss:+.1f}" if round(loss, 1) else "0.0"


def _format_count(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
