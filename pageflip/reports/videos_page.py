"""The HTML page of an evaluation on labelled videos: scores, and a timeline of each video."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pageflip.base.errors import ConfigError
from pageflip.base.files import write_json, write_text
from pageflip.events.temporal import THRESHOLD
from pageflip.events.timeline import Timeline
from pageflip.reports.page import page_environment
from pageflip.reports.timelines import draw_timeline

VIDEOS_FILE, VIDEOS_PAGE = "videos.json", "report.html"


def write_videos_report(out: Path, result: Mapping[str, Any], timelines: list[Timeline]) -> None:
    """Write videos.json and report.html.

    Args:
        out: folder of the files.
        result: see `pageflip.evaluation.videos.evaluate_videos`.
        timelines: of the videos, in order.

    Raises:
        ConfigError: `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is not a folder", "name another with --out.")
    drawn = [draw_timeline(timeline) for timeline in timelines]
    page = page_environment().get_template("videos.html.j2").render(r=result, timelines=drawn, threshold=THRESHOLD)
    write_json(out / VIDEOS_FILE, result)
    write_text(out / VIDEOS_PAGE, page)
