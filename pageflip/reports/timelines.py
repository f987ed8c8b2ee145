"""Timelines of videos and stitched streams, true events above and found ones below, as shapes for inline SVG.

A timeline is cut into rows of one scale, of at most ROW_S seconds and some ROW_EVENTS true events each, since an hour
on one line shows nothing. A row is 1000 wide, the probabilities 1000 x 100 with 1 at the top; the template stretches it
to the reader's screen and puts the words beside it. No peak is lost: of each step, the lowest and the highest
probability are drawn.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from pageflip.events.metrics import TOLERANCE_MS, Event, match_events
from pageflip.events.timeline import Timeline
from pageflip.reports.charts import round_step

ROW_S, ROW_EVENTS = 20.0, 16
MAX_ROWS = 24  # of one timeline; what is longer is cut, and said to be
STEPS = 180  # of a row
MOST_TICKS = 5
WIDTH = 1000.0


def draw_timeline(timeline: Timeline, max_rows: int = MAX_ROWS) -> dict[str, Any]:
    """The shapes of a timeline.

    Returns:
        name, n_true, n_found, n_matched, shown_s (0 where all of it is shown) and rows: of each label, ticks ({at,
        text}, `at` a share of the width), points (of a polyline), true and found ({x, width, matched, note}).
    """
    start_s, step_s = float(timeline.times_s[0]), _step(timeline.times_s)
    length_s = float(timeline.times_s[-1]) - start_s + step_s
    count = max(1, ceil(length_s / ROW_S - 1e-6), ceil(len(timeline.true) / ROW_EVENTS))
    row_s = length_s / count
    pairs = match_events(timeline.true, timeline.found, TOLERANCE_MS)
    bands = {
        "true": _bands(timeline.true, {one for one, _ in pairs}, step_s, ("true flip", "missed")),
        "found": _bands(timeline.found, {two for _, two in pairs}, step_s, ("found flip", "wrong")),
    }
    rows = [_row(timeline, bands, start_s + number * row_s, row_s) for number in range(min(count, max_rows))]
    counts = {"n_true": len(timeline.true), "n_found": len(timeline.found), "n_matched": len(pairs)}
    return {"name": timeline.name, "shown_s": max_rows * row_s if count > max_rows else 0, "rows": rows, **counts}


def _step(times_s: np.ndarray) -> float:
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1 / 30


def _bands(
    events: Sequence[Event], matched: set[int], step_s: float, words: tuple[str, str]
) -> list[tuple[float, float, bool, str]]:
    """Where each event begins and ends (its last frame lasts a step), whether it is matched, and what to say of it."""
    return [
        (onset, offset + step_s, place in matched, _note(words[0], onset, offset, "" if place in matched else words[1]))
        for place, (onset, offset) in enumerate(events)
    ]


def _note(what: str, onset: float, offset: float, verdict: str) -> str:
    return f"{what}, {onset:.2f} to {offset:.2f} s" + (f": {verdict}" if verdict else "")


def _row(timeline: Timeline, bands: dict[str, list], start_s: float, row_s: float) -> dict[str, Any]:
    end_s = start_s + row_s
    return {
        "label": f"{clock(start_s)} to {clock(end_s)}",
        "ticks": _ticks(start_s, row_s),
        "points": _points(timeline, start_s, row_s),
        **{
            name: [
                {
                    "x": f"{WIDTH * (max(onset, start_s) - start_s) / row_s:.1f}",
                    "width": f"{WIDTH * (min(offset, end_s) - max(onset, start_s)) / row_s:.1f}",
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
    step = round_step(row_s / MOST_TICKS)
    first = ceil(start_s / step - 1e-6)
    times = [number * step for number in range(first, first + MOST_TICKS + 2)]
    return [
        {"at": round((time - start_s) / row_s, 4), "text": clock(time)}
        for time in times
        if time < start_s + row_s - 1e-6
    ]


def _points(timeline: Timeline, start_s: float, row_s: float) -> str:
    """The lowest and the highest probability of each step of a row, and the frames next to the row on either side."""
    times = timeline.times_s
    first, after = np.searchsorted(times, [start_s - 1e-6, start_s + row_s - 1e-6])
    inside = np.arange(max(first - 1, 0), min(after + 1, len(times)))
    inside = inside[np.isfinite(timeline.probabilities[inside])]
    chosen: list[int] = []
    for part in np.array_split(inside, min(len(inside), STEPS) or 1):
        if len(part):
            values = timeline.probabilities[part]
            chosen += sorted({int(part[values.argmin()]), int(part[values.argmax()])})
    return " ".join(
        f"{WIDTH * (times[index] - start_s) / row_s:.1f},{100 * (1 - timeline.probabilities[index]):.1f}"
        for index in chosen
    )


def clock(seconds: float) -> str:
    """A time as m:ss, with as many decimals as it has, at most two."""
    minutes, rest = divmod(round(100 * seconds), 6000)
    decimals = f"{rest % 100:02d}".rstrip("0")
    return f"{minutes}:{rest // 100:02d}" + (f".{decimals}" if decimals else "")
