"""How well flips are found in streams that are stitched from test clips.

The archive holds short clips of one label each, and no recording from rest through flip to rest. So clips are put one
after another, those of a book together where books are known: notflip and flip by turns, in an order drawn by a seed.
Every clip is used once. Each frame lasts 1/30 s (`pageflip.events.reader.SEQUENCE_FPS`), in the order of the frame
numbers.

What this is not: transitions in a stream are hard cuts, between scenes that may differ in every way; clips begin and
end where somebody cut them; and where an archive keeps only some frames of a recording, flips and rests are shorter
here than they were. The decoder has learnt from videos how long flips and rests last, and is judged too harshly on
clips much shorter than those: beside it stands the same decoder with all its numbers learnt anew, from streams that are
stitched of the validation clips; where all clips have one length, that alone goes far to place the cuts. The difference
of frames finds cuts instead of flips. Figures on whole videos (docs/events.md) say more; these say what the model's
probabilities of real clips are worth in order.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.metrics import binary_metrics
from pageflip.events.baselines import BASELINES, difference_flips
from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_fitting import Recording, learn_event_model
from pageflip.events.decoder_model import EventModel, load_event_model
from pageflip.events.flip import Flip
from pageflip.events.metrics import TOLERANCE_MS, Event, Truth, event_metrics
from pageflip.events.reader import SEQUENCE_FPS, find_sequence_flips, holds_flip
from pageflip.events.timeline import Timeline
from pageflip.params.events import Events

DECODER, LEARNT, DIFFERENCE = "decoder", "decoder_learnt_here", "difference"
NO_BOOK, MIXED = "clips of unknown books", "clips of several books"
SHOWN = 6  # timelines
FIGURES = ("precision", "recall", "f1", "n_true", "n_found", "n_matched", "onset_ms", "offset_ms")
FIGURES += ("count_error", "counted_right")
VERDICT = ("precision", "recall", "f1", "accuracy", "n", "confusion")


@dataclass(frozen=True)
class Stream:
    """Clips one after another.

    Attributes:
        name: of the book, NO_BOOK or MIXED, with a number where that takes several streams.
        clips: their names, in order.
        rows: of the pack, int [N]. probabilities: of `flip`, float [N].
        events: (onset, offset) in seconds of each flip clip, from its first to its last frame.
    """

    name: str
    clips: tuple[str, ...]
    rows: np.ndarray
    probabilities: np.ndarray
    events: tuple[Event, ...]

    @property
    def times_s(self) -> np.ndarray:
        """Times of the frames in seconds, float64 [N]."""
        return np.arange(len(self.rows)) / SEQUENCE_FPS


def judge_stitched(
    predictions: pd.DataFrame,
    threshold: float,
    seed: int,
    *,
    plan: Events | None = None,
    pack: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[Timeline]]:
    """Stitch streams from the test clips of a table of predictions (see `pageflip.evaluation.metrics`), and find
    their flips.

    Args:
        predictions: calibrated, of the parts `test` and, to learn from, `val`.
        threshold: the model's.
        seed: draws the order of the clips.
        plan: how the decoder learns from the validation clips; None leaves that out, as do too few clips.
        pack: uint8 [frames, H, W, 3], by the predictions' column `row`; without it there is no difference of
            frames.

    Returns:
        {reason}, where a label has no clip; else reason (None), tolerance_ms, fps, n_streams, n_clips, n_frames,
        lengths_s (see `median_lengths`), finders ({name: FIGURES of `event_metrics`}, over all streams at once) and
        clips ({name: VERDICT of `binary_metrics`}, on whether each clip, alone, holds a flip). And the timelines of at
        most SHOWN streams, those with the most mistakes first.
    """
    test = predictions[predictions["part"] == "test"]
    missing = [label for label in ("notflip", "flip") if not (test["label"] == label).any()]
    if missing:
        return {"reason": f"the test part holds no {missing[0]} clip, so there is nothing to stitch"}, []
    streams = stitch_streams(test, seed)
    true = [stream.events for stream in streams]
    model = learn_from_clips(predictions[predictions["part"] == "val"], threshold, seed, plan) if plan else None
    finders = _finders(threshold, model, pack)
    found = {name: [_spans(find(stream)) for stream in streams] for name, find in finders.items()}
    clips = [Stream(*one) for one in _single_clips(test)]
    section = {
        "reason": None,
        "tolerance_ms": TOLERANCE_MS,
        "fps": SEQUENCE_FPS,
        "n_streams": len(streams),
        "n_clips": len(clips),
        "n_frames": len(test),
        "lengths_s": median_lengths(streams),
        "finders": {name: _only(event_metrics(true, spans), FIGURES) for name, spans in found.items()},
        # on a single clip the difference of frames has no quiet frames to be told from
        "clips": {name: _verdicts(clips, find) for name, find in finders.items() if name != DIFFERENCE},
    }
    lines = [
        Timeline(stream.name, stream.times_s, stream.probabilities, stream.events, tuple(spans))
        for stream, spans in zip(streams, found[DECODER], strict=True)
    ]
    return section, sorted(lines, key=lambda line: (-line.wrong, -len(line.true), line.name))[:SHOWN]


def learn_from_clips(val: pd.DataFrame, threshold: float, seed: int, plan: Events) -> EventModel | None:
    """The decoder's numbers, learnt from streams that are stitched of validation clips; None of too few clips.

    Books do not matter here: the clips of each label are dealt to the streams in turn, two for each fold.
    """
    count = 2 * plan.folds
    dealt = val[["clip", "target"]].drop_duplicates("clip").sort_values("clip")
    if len(dealt) == 0 or min((dealt["target"] == label).sum() for label in (0, 1)) < 2 * count:
        return None
    stream_of = dict(zip(dealt["clip"], dealt.groupby("target").cumcount() % count, strict=True))
    streams = stitch_streams(val.assign(book=val["clip"].map(stream_of)), seed)
    recordings = [
        Recording(one.probabilities, one.times_s, Truth(one.events, (False,) * len(one.events), ())) for one in streams
    ]
    return learn_event_model(recordings, threshold, plan, {"source": "validation clips, stitched"})[0]


def stitch_streams(test: pd.DataFrame, seed: int) -> list[Stream]:
    """Put each clip of a table of predictions into one stream, by book; two flip clips are never neighbours.

    Notflip clips beyond those that part flips lie beside other notflip clips, spread over the stream. Flip clips that
    would touch in their book go into a stream of several books, with notflip clips that other books can spare; where
    there are still too many they begin further streams.
    """
    rng = np.random.default_rng(seed)
    clips = {str(name): part.sort_values("frame") for name, part in test.groupby("clip", sort=True)}
    groups: dict[str, tuple[list[str], list[str]]] = {}
    for book, names in _clips_of_books(test).items():
        shuffled = [str(name) for name in rng.permutation(names)]
        is_flip = [clips[name]["target"].iloc[0] == 1 for name in shuffled]
        groups[book] = tuple([n for n, flip in zip(shuffled, is_flip, strict=True) if flip == one] for one in (0, 1))
    streams = []
    for group, (rests, flips) in _with_leftovers(groups).items():
        orders = order_clips(rests, flips)
        for number, order in enumerate(orders, start=1):
            name = f"{group}, {number} of {len(orders)}" if len(orders) > 1 else group
            streams.append(_joined(name, order, clips))
    return streams


def _clips_of_books(test: pd.DataFrame) -> dict[str, list[str]]:
    books = test.assign(book=test["book"].fillna(NO_BOOK).astype(str)).drop_duplicates("clip").sort_values("clip")
    return {str(book): table["clip"].tolist() for book, table in books.groupby("book", sort=True)}


def _with_leftovers(groups: dict[str, tuple[list[str], list[str]]]) -> dict[str, tuple[list[str], list[str]]]:
    """The (rests, flips) of each book that makes one stream, and of what is taken from them for a stream of several."""
    if len(groups) == 1:
        return groups
    kept = {name: (rests, flips[: len(rests) + 1 if rests else 0]) for name, (rests, flips) in groups.items()}
    pooled = [flip for name, (_, flips) in groups.items() for flip in flips[len(kept[name][1]) :]]
    wanted = len(pooled) + 1 if pooled else 0
    spared: list[str] = []
    for name, (rests, flips) in kept.items():
        needed = len(flips) + 1 if flips else 0
        needed = max(needed, len(rests) - (wanted - len(spared)))
        spared += rests[needed:]
        kept[name] = rests[:needed], flips
    return {name: group for name, group in (kept | {MIXED: (spared, pooled)}).items() if any(group)}


def order_clips(rests: Sequence[str], flips: Sequence[str]) -> list[list[str]]:
    """Streams in which no two of the flips are neighbours, of all rests and flips: as few as will do."""
    count = max(1, len(flips) - len(rests))
    return [_by_turns(rests[number::count], flips[number::count]) for number in range(count)]


def _by_turns(rests: Sequence[str], flips: Sequence[str]) -> list[str]:
    """Rests go between flips first, then before and behind, then once more everywhere."""
    places = list(dict.fromkeys((*range(1, len(flips)), 0, len(flips))))
    gaps: list[list[str]] = [[] for _ in range(len(flips) + 1)]
    for number, rest in enumerate(rests):
        gaps[places[number % len(places)]].append(rest)
    ordered = list(gaps[0])
    for flip, gap in zip(flips, gaps[1:], strict=True):
        ordered += [flip, *gap]
    return ordered


def median_lengths(streams: Sequence[Stream]) -> dict[str, float | None]:
    """Median seconds of flips and of rests between two flips, here (None without any) and as learnt from videos."""
    step, model = 1 / SEQUENCE_FPS, load_event_model()
    flips = [offset - onset + step for stream in streams for onset, offset in stream.events]
    rests = [two[0] - one[1] - step for stream in streams for one, two in pairwise(stream.events)]
    return {
        "flip": float(np.median(flips)) if flips else None,
        "rest": float(np.median(rests)) if rests else None,
        "learnt_flip": math.exp(model.flip.log_mean),
        "learnt_rest": math.exp(model.rest.log_mean),
    }


def _joined(name: str, order: Sequence[str], clips: dict[str, pd.DataFrame]) -> Stream:
    ends = np.cumsum([len(clips[clip]) for clip in order])
    events = tuple(
        ((end - len(clips[clip])) / SEQUENCE_FPS, (end - 1) / SEQUENCE_FPS)
        for clip, end in zip(order, ends.tolist(), strict=True)
        if clips[clip]["target"].iloc[0] == 1
    )
    table = pd.concat([clips[clip] for clip in order])
    return Stream(name, tuple(order), table["row"].to_numpy(), table["probability"].to_numpy(np.float64), events)


def _single_clips(test: pd.DataFrame) -> Iterable[tuple]:
    for name, part in test.groupby("clip", sort=True):
        part = part.sort_values("frame")
        ends = ((0.0, (len(part) - 1) / SEQUENCE_FPS),) if part["target"].iloc[0] == 1 else ()
        yield str(name), (str(name),), part["row"].to_numpy(), part["probability"].to_numpy(np.float64), ends


def _finders(
    threshold: float, model: EventModel | None, pack: np.ndarray | None
) -> dict[str, Callable[[Stream], list[Flip]]]:
    """How flips are found, by name: the decoder as it is used, with numbers learnt here, then the baselines."""
    finders: dict[str, Callable[[Stream], list[Flip]]] = {
        DECODER: lambda stream: find_sequence_flips(stream.probabilities, stream.times_s, threshold)
    }
    if model is not None:
        finders[LEARNT] = lambda stream: decode_flips(stream.probabilities, stream.times_s, threshold, model)
    for name, find in BASELINES.items():
        finders[name] = lambda stream, find=find: find(stream.probabilities, stream.times_s, threshold)
    if pack is not None:
        finders[DIFFERENCE] = lambda stream: difference_flips(frame_changes(pack, stream.rows), stream.times_s)
    return finders


def frame_changes(pack: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame's grey levels (0 to 255) to the one before, float64 [N]; 0 at first."""
    changes, before = np.zeros(len(rows)), None
    for place, row in enumerate(rows):
        grey = pack[row].astype(np.float32).mean(axis=2)
        changes[place] = 0.0 if before is None else np.abs(grey - before).mean()
        before = grey
    return changes


def _verdicts(clips: Sequence[Stream], find: Callable[[Stream], list[Flip]]) -> dict[str, Any]:
    """Whether each clip, alone, holds a flip: how often that is right."""
    said = [float(holds_flip(find(clip))) for clip in clips]
    return _only(binary_metrics([len(clip.events) for clip in clips], said, 0.5), VERDICT)


def _spans(flips: Iterable[Flip]) -> list[Event]:
    return [(flip.start_s, flip.end_s) for flip in flips]


def _only(content: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: content[name] for name in names}
