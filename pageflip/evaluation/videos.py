"""Judge a model on videos whose flips are known: NAME.mp4 with NAME.events.json beside it (docs/reference/frames.md).

The truth names frames, and each event is taken at the times that those frames have in the video: phones film at rates
that vary. Flips are found as `pageflip predict --events` finds them.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.progress import track
from pageflip.evaluation.metrics import binary_metrics
from pageflip.events.baselines import BASELINES
from pageflip.events.flip import Flip
from pageflip.events.metrics import Event, Truth, event_metrics, read_truth, still_metrics
from pageflip.events.reader import find_sequence_flips
from pageflip.events.temporal import THRESHOLD
from pageflip.events.timeline import Timeline
from pageflip.footage.media import VIDEO_SUFFIXES
from pageflip.footage.predict import find_events
from pageflip.inference.predictor import Predictor
from pageflip.params.scoring import Stills

TRUTH = ".events.json"
DECODER, ALONE = "decoder", "decoder_alone"


@dataclass(frozen=True)
class Judged:
    """A video, its truth, and what was found in it.

    Attributes:
        found: events by the name of their finder. stills: frames of the page stills.
        states: int [N], 1 where a sheet is in the air. called: bool [N] each: by the model of single frames alone, and
            in sequence.
    """

    timeline: Timeline
    truth: Truth
    found: dict[str, list[Event]]
    stills: list[int]
    states: np.ndarray
    called: dict[str, np.ndarray]


def list_videos(folder: Path) -> list[tuple[Path, Path]]:
    """The videos of a folder that have a truth beside them, with it, by name.

    Raises:
        ConfigError: it is no folder, or none of its videos has a truth.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", "name a folder of videos with their events.json.")
    videos = sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    pairs = [(video, video.with_name(video.stem + TRUTH)) for video in videos]
    labelled = [(video, truth) for video, truth in pairs if truth.is_file()]
    if not labelled:
        raise ConfigError(
            f"none of the {len(videos)} videos in {folder} has its truth beside it, a NAME{TRUTH}",
            "write it as docs/reference/frames.md says, or try `pageflip synthesize video FOLDER/NAME.mp4`.",
        )
    return labelled


def evaluate_videos(
    folder: Path, predictor: Predictor, *, plan: Stills | None = None
) -> tuple[dict[str, Any], list[Timeline]]:
    """Find the flips of all labelled videos of a folder, and measure.

    Args:
        plan: with it page stills are chosen and judged too, which decodes each video twice; they are not kept.

    Returns:
        Ready for JSON: model, version, threshold, finders ({name: see `event_metrics`}: the decoder, the decoder
        without the temporal network, then baselines), frames ({alone, in_sequence}: f1, precision, recall), videos
        (for each: video, frames, and of the decoder n_true, n_found, n_matched, f1) and stills (see `still_metrics`;
        None without a plan, or where no truth tells of pages). And the timeline of each video.

    Raises:
        ConfigError: see `list_videos`.
        DataError: a video or a truth cannot be read, or the two do not belong together.
        UnavailableError: the disk or the machine failed for now.
    """
    judged = [
        _judge(video, truth, predictor, plan)
        for video, truth in track(list_videos(folder), description="evaluate videos")
    ]
    true, aborted = [one.timeline.true for one in judged], [one.truth.aborted for one in judged]
    finders = {name: event_metrics(true, [one.found[name] for one in judged], aborted) for name in judged[0].found}
    paged = [one for one in judged if one.truth.pages]
    result = {
        "model": predictor.name,
        "version": predictor.version,
        "threshold": predictor.threshold,
        "finders": finders,
        "frames": {name: _frame_figures(judged, name) for name in judged[0].called},
        "videos": [_row(one) for one in judged],
        "stills": still_metrics([one.truth.pages for one in paged], [one.stills for one in paged])
        if plan and paged
        else None,
    }
    return result, [one.timeline for one in judged]


def _judge(video: Path, truth_file: Path, predictor: Predictor, plan: Stills | None) -> Judged:
    truth, frames = _read_truth(truth_file)
    with tempfile.TemporaryDirectory(prefix="pageflip-videos-") as folder:
        (sequence,) = find_events(predictor, [video], Path(folder) if plan else None, plan or Stills())
    last = max((end for _, end in frames), default=0)
    if last >= sequence.frames:
        raise DataError(
            f"{truth_file} names frame {last}, and {video} has {sequence.frames} frames, the first being 0",
            "give the video that the truth was written for.",
        )
    times, alone, together = (np.array(v) for v in (sequence.times_s, sequence.probabilities, sequence.in_sequence))
    true = tuple((float(times[start]), float(times[end])) for start, end in frames)
    states = np.zeros(len(times), int)
    for start, end in frames:
        states[start : end + 1] = 1
    finders = {ALONE: find_sequence_flips, **BASELINES}
    found = {DECODER: _spans(sequence.flips)}
    found |= {name: _spans(find(alone, times, predictor.threshold)) for name, find in finders.items()}
    timeline = Timeline(video.name, times, together, true, tuple(found[DECODER]))
    called = {"alone": alone >= predictor.threshold, "in_sequence": together >= THRESHOLD}
    return Judged(timeline, truth, found, [still.index for still in sequence.stills], states, called)


def _read_truth(path: Path) -> tuple[Truth, list[tuple[int, int]]]:
    """The truth, and the first and last frame of each of its events."""
    remedy = "write it as docs/reference/frames.md says."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        truth = read_truth(content)
        frames = [(int(event["start_frame"]), int(event["end_frame"])) for event in content["events"]]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no truth of a video: {error}", remedy) from None
    except DataError as error:
        raise DataError(f"{path}: {error.message}", remedy) from None
    if any(not 0 <= start <= end for start, end in frames):
        raise DataError(f"{path} holds an event that ends before it begins, or begins before frame 0", remedy)
    return truth, frames


def _frame_figures(judged: list[Judged], name: str) -> dict[str, float]:
    """Of all frames of all videos at once."""
    states, called = (
        np.concatenate([one.states for one in judged]),
        np.concatenate([one.called[name] for one in judged]),
    )
    figures = binary_metrics(states, called.astype(float), 0.5)
    return {figure: figures[figure] for figure in ("f1", "precision", "recall")}


def _row(one: Judged) -> dict[str, Any]:
    scores = event_metrics([one.timeline.true], [one.found[DECODER]])
    counts = {name: scores[name] for name in ("n_true", "n_found", "n_matched", "f1")}
    return {"video": one.timeline.name, "frames": len(one.timeline.times_s), **counts}


def _spans(flips: list[Flip]) -> list[Event]:
    return [(flip.start_s, flip.end_s) for flip in flips]
