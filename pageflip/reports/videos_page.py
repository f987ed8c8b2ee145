"""Judge a model on videos whose flips are known: NAME.mp4 with NAME.events.json beside it (docs/reference/frames.md).

The truth names frames, and each event is taken at the times that those frames have in the video: phones film at rates
that vary. Flips are found as `pageflip predict --events` finds them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pageflip.base.errors import ConfigError
from pageflip.base.files import write_json, write_text
from pageflip.events.temporal import THRESHOLD
from pageflip.events.timeline import Timeline
from pageflip.reports.page import STYLE_COLOURS, page_environment
from pageflip.reports.timelines import draw_timeline

RESULT_FILE, REPORT_FILE = "videos.json", "report.html"


def write_videos_report(out: Path, result: Mapping[str, Any], timelines: list[Timeline]) -> None:
    """Write videos.json and report.html, a page that asks for nothing from outside, into the folder `out`.

    Raises:
        ConfigError: `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is no folder", "name another with --out.")
    drawn = [draw_timeline(timeline) for timeline in timelines]
    values = {"r": result, "timelines": drawn, "line_at": THRESHOLD, **STYLE_COLOURS}
    page = page_environment().get_template("videos.html.j2").render(values)
    write_json(out / RESULT_FILE, result)
    write_text(out / REPORT_FILE, page)
