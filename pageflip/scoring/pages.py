"""The page of an upload's result, and the page over all results of a model version.

RESULTS/MODEL/vVERSION/SHA256/index.html
RESULTS/MODEL/vVERSION/index.html
"""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pageflip.base import storage
from pageflip.base.storage import join
from pageflip.events.flip import Flip
from pageflip.events.temporal import THRESHOLD
from pageflip.footage.frame_scores import FrameScores
from pageflip.footage.media import VIDEO
from pageflip.reports.page import page_environment
from pageflip.reports.timelines import curve_points
from pageflip.scoring.results import ALREADY, RESULT, SCORED, version_url

THUMBNAIL = 180  # pixels of the longer side of a still on the page
TIMELINE_STEPS = 480  # a timeline of any length is drawn with this many pairs of lowest and highest probability
LISTED = 500  # rows of a page's table; the files beside it hold them all
SHOWN = 120  # stills on a page


def encode_thumbnail(path: Path) -> str:
    """A small JPEG of a still, in base64."""
    buffer = BytesIO()
    with Image.open(path) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(buffer, "JPEG", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()


def publish_index(results_url: str, model_name: str, model_version: str, outcomes: list[dict[str, Any]]) -> str:
    """Write the page over all results of a model version, the newest first, and return its address.

    A page that is newer than every result stays when there is nothing to add.

    Args:
        outcomes: of the run that has just ended; those in quarantine or left are shown with their reason.
    """
    folder = version_url(results_url, model_name, model_version)
    address = join(folder, "index.html")
    files = storage.list_files(folder)
    markers = [file for file in files if file.name.endswith("/" + RESULT)]
    pages = [file.changed for file in files if file.name == "index.html"]
    if pages and not outcomes and all(marker.changed < pages[0] for marker in markers):
        return address
    results = [json.loads(content) for content in storage.read_many(marker.url for marker in markers)]
    results.sort(key=lambda result: (result["scored_at"], result["upload"]), reverse=True)
    problems = [outcome for outcome in outcomes if outcome["status"] not in (SCORED, ALREADY)]
    page = render_page(
        "scoring_index.html.j2",
        model=model_name,
        version=model_version,
        results=results[:LISTED],
        unlisted=max(0, len(results) - LISTED),
        frames=sum(result["frames"] for result in results),
        flips=sum(result["flips"] for result in results),
        problems=problems,
    )
    storage.write_bytes(address, page)
    return address


def page_values(scores: FrameScores, flips: list[Flip], kind: str, threshold: float) -> dict[str, Any]:
    count = len(scores.names)
    broken = [(i, scores.names[i], error) for i, error in enumerate(scores.errors) if error]
    return {
        "flips": flips[:LISTED],
        "timed": kind == VIDEO,
        "names": scores.names,
        "broken": broken[:LISTED],
        "listed": LISTED,
        "line": curve_points(1000 * np.arange(count) / max(count - 1, 1), scores.in_sequence, TIMELINE_STEPS),
        "line_at": THRESHOLD,
        "last": count - 1,
        "probability": scores.probabilities[0],
        "threshold": threshold,
    }


def render_page(template: str, **values: Any) -> bytes:
    return page_environment().get_template(template).render(**values).encode("utf-8", "backslashreplace")
