"""Timelines of videos as shapes for inline SVG: probabilities, with true events above and detected ones below.

A timeline is divided into rows of equal length, of at most ROW_S seconds and about ROW_EVENTS true events each, because
an hour in one row shows nothing. A row is ROW_WIDTH wide, and its curve 100 high with probability 1 at the top; the
template stretches it to the reader's screen and puts texts beside it.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from pageflip.evaluation.formatting import format_clock
from pageflip.events.clock import frame_step_s
from pageflip.events.metrics import TOLERANCE_MS, Event, match_events
from pageflip.events.timeline import Timeline
from pageflip.reports.charts import round_step

ROW_S, ROW_EVENTS = 20.0, 16
MAX_ROWS = 24  # of one timeline; the rest is cut off, and the page says so
STEPS = 180  # of a row's curve
MAX_TICKS = 5
ROW_WIDTH = 1000.0


def draw_timeline(timeline: Timeline, max_rows: int = MAX_ROWS) -> dict[str, Any]:
    """Return the shapes of a timeline.

    Returns:
        name; n_true, n_found, n_matched; shown_s (0 if all of it is shown); rows, each with label, ticks (dicts of at,
        a share of the width, and text), points (of a polyline), true and found (dicts of x, width, matched and note).
    """
    start_s, step_s = float(timeline.times_s[0]), frame_step_s(timeline.times_s)
    length_s = float(timeline.times_s[-1]) - start_s + step_s
    count = max(1, ceil(length_s / ROW_S - 1e-6), ceil(len(timeline.true) / ROW_EVENTS))
    row_s = length_s / count
    pairs = match_events(timeline.true, timeline.found, TOLERANCE_MS)
    bands = {
        "true": _bands(timeline.true, {one for one, _ in pairs}, step_s, ("true flip", "missed")),
        "found": _bands(timeline.found, {two for _, two in pairs}, step_s, ("detected flip", "wrong")),
    }
    rows = [_row(timeline, bands, start_s + number * row_s, row_s) for number in range(min(count, max_rows))]
    counts = {"n_true": len(timeline.true), "n_found": len(timeline.found), "n_matched": len(pairs)}
    return {"name": timeline.name, "shown_s": max_rows * row_s if count > max_rows else 0, "rows": rows, **counts}


def curve_points(x: np.ndarray, probabilities: np.ndarray, steps: int = STEPS) -> str:
    """Return the points of an SVG polyline, 100 high, through at most `steps` steps of a curve.

    The lowest and the highest probability of each step are drawn, so that no peak is lost.

    Args:
        x: float [N], ascending, in the units of the drawing.
        probabilities: float [N]; NaN is left out.
        steps: that the frames are divided into.
    """
    known = np.flatnonzero(np.isfinite(probabilities))
    chosen: list[int] = []
    for step in np.array_split(known, min(len(known), steps) or 1):
        if len(step):
            values = probabilities[step]
            chosen += sorted({int(step[values.argmin()]), int(step[values.argmax()])})
    return " ".join(f"{x[index]:.1f},{100 * (1 - probabilities[index]):.1f}" for index in chosen)


def _bands(
    events: Sequence[Event], matched: set[int], step_s: float, words: tuple[str, str]
) -> list[tuple[float, float, bool, str]]:
    """Return onset, offset (the last frame lasts one step), matched and note of each event."""
    return [
        (onset, offset + step_s, place in matched, _note(words[0], onset, offset, "" if place in matched else words[1]))
        for place, (onset, offset) in enumerate(events)
    ]


def _note(what: str, onset: float, offset: float, verdict: str) -> str:
    return f"{what}, {onset:.2f} to {offset:.2f} s" + (f": {verdict}" if verdict else "")


def _row(timeline: Timeline, bands: dict[str, list], start_s: float, row_s: float) -> dict[str, Any]:
    end_s = start_s + row_s
    return {
        "label": f"{format_clock(start_s)} to {format_clock(end_s)}",
        "ticks": _ticks(start_s, row_s),
        "points": _points(timeline, start_s, row_s),
        **{
            name: [
                {
                    "x": f"{ROW_WIDTH * (max(onset, start_s) - start_s) / row_s:.1f}",
                    "width": f"{ROW_WIDTH * (min(offset, end_s) - max(onset, start_s)) / row_s:.1f}",
                    "matched": matched,
                    "note": note,
                }
                for onset, offset, matched, note in events
                if onset < end_s - 1e-6 and offset > start_s + 1e-6
            ]
            for name, events in bands.items()
        },
    }


def _ticks(start_s: float, row_s: float) -> list[dict[str, Any]]:
    step = round_step(row_s / MAX_TICKS)
    first = ceil(start_s / step - 1e-6)
    times = [number * step for number in range(first, first + MAX_TICKS + 2)]
    return [
        {"at": round((time - start_s) / row_s, 4), "text": format_clock(time)}
        for time in times
        if time < start_s + row_s - 1e-6
    ]


def _points(timeline: Timeline, start_s: float, row_s: float) -> str:
    """Return the curve of a row, with the frames next to the row on either side."""
    times = timeline.times_s
    first, after = np.searchsorted(times, [start_s - 1e-6, start_s + row_s - 1e-6])
    row = slice(max(first - 1, 0), min(after + 1, len(times)))
    return curve_points(ROW_WIDTH * (times[row] - start_s) / row_s, timeline.probabilities[row])
