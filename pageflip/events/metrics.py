"""How good found flips are beside the true ones, and page stills beside the pages that lay open.

An event is (onset, offset): the times of its first and last frame, in seconds. A found event matches a true one when
its onset and its offset are each within the tolerance. Matching is one to one, and of all matchings one with the most
pairs is taken, of these one with the least error in sum. An aborted lift (the sheet goes up and back) has a sheet in
the air like any other flip: it is an event to be found, and its recall is told apart besides. That no page was turned
is judged where pages are: a still of the same two pages before and after it is a duplicate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from pageflip.base.errors import DataError

TOLERANCE_MS = 150.0
NEAR_MS = 500.0  # what is no further away counts for the errors of onset and offset
Event = tuple[float, float]


@dataclass(frozen=True)
class Truth:
    """What is known of a video.

    Attributes:
        events: (onset, offset) in seconds, by time.
        aborted: for each event, whether the sheet went back.
        pages: (first frame, last frame, (left page, right page)) of each run in which two pages lie open.
    """

    events: tuple[Event, ...]
    aborted: tuple[bool, ...]
    pages: tuple[tuple[int, int, tuple[int, int]], ...]


def read_truth(content: Mapping[str, Any]) -> Truth:
    """The truth of a video, from the content of its events.json: fps and events; pages and aborted if they are known.

    Raises:
        DataError: it is another file.
    """
    try:
        fps = float(content["fps"])
        events = [(e["start_frame"] / fps, e["end_frame"] / fps) for e in content["events"]]
        aborted = [bool(e.get("aborted", False)) for e in content["events"]]
        pages = [(p["start_frame"], p["end_frame"], (p["left"], p["right"])) for p in content.get("pages", [])]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"this is no truth of a video: {error!r}", "use the events.json beside it.") from None
    return Truth(tuple(events), tuple(aborted), tuple(pages))


def match_events(true: Sequence[Event], found: Sequence[Event], tolerance_ms: float) -> list[tuple[int, int]]:
    """Pairs (true, found) of positions: a matching of the most pairs, and of those of the least error in sum."""
    if not len(true) or not len(found):
        return []
    one, two = np.array(true, np.float64), np.array(found, np.float64)
    away = np.abs(one[:, None, :] - two[None, :, :])
    tolerance_s = tolerance_ms / 1000 + 1e-9
    allowed = (away <= tolerance_s).all(axis=2)
    # A pair is worth more than all error that can come with it: the most pairs come first.
    gain = np.where(allowed, 1 - away.sum(axis=2) / (2 * tolerance_s * (len(one) + len(two) + 1)), 0.0)
    pairs = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return [(int(i), int(j)) for i, j in pairs if allowed[i, j]]


def event_metrics(
    true: Sequence[Sequence[Event]],
    found: Sequence[Sequence[Event]],
    aborted: Sequence[Sequence[bool]] | None = None,
    tolerance_ms: float = TOLERANCE_MS,
) -> dict[str, Any]:
    """Precision, recall and F1 over all events of several videos at once, with errors of time and counts.

    Args:
        true, found: for each video, its events.
        aborted: for each video, whether each true event was an aborted lift.

    Returns:
        precision, recall, f1, n_true, n_found, n_matched, tolerance_ms; onset_ms and offset_ms (median, p90 of the
        absolute error and mean of the signed one, over events matched within NEAR_MS; None without any); count_error
        (mean absolute difference of the number of flips per video) and counted_right (share of videos); recall_aborted
        and recall_turned (None where there are none).
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
    """How well stills cover what there was to read, over several videos at once.

    The unit is what lies open: two pages of a video, however often they lie open there.

    Args:
        pages: for each video, `Truth.pages`.
        stills: for each video, the frame number of each still.

    Returns:
        page_recall: share of the openings that a still shows. page_duplicates: share of the stills that show nothing
        new, for the opening has a still already or a sheet is in the air; n_openings, n_stills, n_again, n_in_the_air.
    """
    shown = openings = again = in_the_air = 0
    for runs, frames in zip(pages, stills, strict=True):
        seen: set[tuple[int, int]] = set()
        for frame in frames:
            opening = next((pair for first, last, pair in runs if first <= frame <= last), None)
            in_the_air += opening is None
            again += opening in seen
            seen |= {opening} - {None}
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
