"""Event-level precision, recall and F1 with an onset/offset tolerance; recall and duplicates of page stills.

An event is (onset, offset): the times of its first and last frame, in seconds. A found event matches a true one when
onset and offset are each within the tolerance. The matching is one to one, with the most pairs, and among those with
the least total error. An aborted lift (the sheet goes up and back) is an event like any other, and its recall is
reported separately too. Whether a page was turned shows in the stills: one of the same two pages before and after an
aborted lift is a duplicate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from pageflip.base.errors import DataError

TOLERANCE_MS = 150.0
NEAR_MS = 500.0  # tolerance of the matching that errors of onset and offset are computed from
Event = tuple[float, float]


@dataclass(frozen=True)
class Truth:
    """Labels of a video.

    Attributes:
        events: (onset, offset) in seconds, by time.
        aborted: whether the sheet went back, for each event.
        pages: (first frame, last frame, (left page, right page)) of each run in which two pages lie open.
    """

    events: tuple[Event, ...]
    aborted: tuple[bool, ...]
    pages: tuple[tuple[int, int, tuple[int, int]], ...]


def read_truth(content: Mapping[str, Any]) -> Truth:
    """Parse the content of an events.json: fps and events; pages and aborted are optional.

    Raises:
        DataError: the content has another form.
    """
    try:
        fps = float(content["fps"])
        events = [(e["start_frame"] / fps, e["end_frame"] / fps) for e in content["events"]]
        aborted = [bool(e.get("aborted", False)) for e in content["events"]]
        pages = [(p["start_frame"], p["end_frame"], (p["left"], p["right"])) for p in content.get("pages", [])]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"these are no labels of a video: {error!r}", "use the events.json beside it.") from None
    return Truth(tuple(events), tuple(aborted), tuple(pages))


def match_events(true: Sequence[Event], found: Sequence[Event], tolerance_ms: float) -> list[tuple[int, int]]:
    """Match events one to one; return pairs of positions (true, found)."""
    if not len(true) or not len(found):
        return []
    one, two = np.array(true, np.float64), np.array(found, np.float64)
    away = np.abs(one[:, None, :] - two[None, :, :])
    tolerance_s = tolerance_ms / 1000 + 1e-9
    allowed = np.all(away <= tolerance_s, axis=2)
    # one more pair outweighs any total error, so that matchings with the most pairs win
    gain = np.where(allowed, 1 - away.sum(axis=2) / (2 * tolerance_s * (len(one) + len(two) + 1)), 0.0)
    pairs = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return [(int(i), int(j)) for i, j in pairs if allowed[i, j]]


def event_metrics(
    true: Sequence[Sequence[Event]],
    found: Sequence[Sequence[Event]],
    aborted: Sequence[Sequence[bool]] | None = None,
    tolerance_ms: float = TOLERANCE_MS,
) -> dict[str, Any]:
    """Compute precision, recall and F1 over all events of several videos, with errors of times and counts.

    Args:
        true: true events of each video.
        found: found events of each video.
        aborted: for each video, whether each true event was an aborted lift.
        tolerance_ms: largest difference of onsets, and of offsets, that still matches.

    Returns:
        precision, recall, f1, n_true, n_found, n_matched, tolerance_ms; onset_ms and offset_ms (median and p90 of the
        absolute error and mean of the signed error (bias) over events matched within NEAR_MS; None without any);
        count_error (mean absolute difference of the number of flips per video) and counted_right (share of videos);
        recall_aborted and recall_turned (None if there are no such events).
    """
    pairs = [match_events(one, two, tolerance_ms) for one, two in zip(true, found, strict=True)]
    near = [
        (np.array(two[j]) - np.array(one[i])) * 1000
        for one, two in zip(true, found, strict=True)
        for i, j in match_events(one, two, NEAR_MS)
    ]
    n_true, n_found, matched = sum(map(len, true)), sum(map(len, found)), sum(map(len, pairs))
    differences = [abs(len(one) - len(two)) for one, two in zip(true, found, strict=True)]
    return {
        "precision": _share(matched, n_found),
        "recall": _share(matched, n_true),
        "f1": _share(2 * matched, n_true + n_found),
        "n_true": n_true,
        "n_found": n_found,
        "n_matched": matched,
        "tolerance_ms": tolerance_ms,
        "onset_ms": _errors([error[0] for error in near]),
        "offset_ms": _errors([error[1] for error in near]),
        "count_error": float(np.mean(differences)) if differences else 0.0,
        "counted_right": float(np.mean([d == 0 for d in differences])) if differences else 0.0,
        **_recall_by_kind(pairs, aborted),
    }


def still_metrics(
    pages: Sequence[Sequence[tuple[int, int, tuple[int, int]]]], stills: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Compute recall and duplicates of page stills over several videos.

    The unit is an opening: two pages of a video, however often they lie open there.

    Args:
        pages: for each video, `Truth.pages`.
        stills: for each video, the frame number of each still.

    Returns:
        page_recall: share of the openings with a still. page_duplicates: share of the stills that show nothing new,
        because the opening has a still already (n_again) or a sheet is in the air (n_in_the_air); n_openings, n_stills.
    """
    shown = openings = again = in_the_air = 0
    for runs, frames in zip(pages, stills, strict=True):
        seen: set[tuple[int, int]] = set()
        for frame in frames:
            opening = next((pair for first, last, pair in runs if first <= frame <= last), None)
            if opening is None:
                in_the_air += 1
                continue
            again += opening in seen
            seen.add(opening)
        shown, openings = shown + len(seen), openings + len({pair for _, _, pair in runs})
    count = sum(map(len, stills))
    return {
        "page_recall": _share(shown, openings),
        "page_duplicates": _share(again + in_the_air, count),
        "n_openings": openings,
        "n_stills": count,
        "n_again": again,
        "n_in_the_air": in_the_air,
    }


def _recall_by_kind(pairs: list[list[tuple[int, int]]], aborted: Sequence[Sequence[bool]] | None) -> dict[str, Any]:
    hits, all_of = {True: 0, False: 0}, {True: 0, False: 0}
    for matched, kinds in zip(pairs, aborted or [], strict=aborted is not None):
        for position, kind in enumerate(kinds):
            all_of[bool(kind)] += 1
            hits[bool(kind)] += position in {i for i, _ in matched}
    return {
        name: hits[kind] / all_of[kind] if all_of[kind] else None
        for name, kind in (("recall_turned", False), ("recall_aborted", True))
    }


def _errors(signed: list[float]) -> dict[str, float] | None:
    if not signed:
        return None
    away = np.abs(signed)
    return {"median": float(np.median(away)), "p90": float(np.quantile(away, 0.9)), "bias": float(np.mean(signed))}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
