"""Evaluation of a model on labelled videos: NAME.mp4 with NAME.events.json beside it (docs/reference/frames.md).

The labels give frame numbers. Each event gets the times of its frames in the video, because phones film at varying
rates. Flips are detected as `pageflip predict --events` detects them.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import read_json
from pageflip.base.progress import track
from pageflip.evaluation.metrics import binary_metrics
from pageflip.events.baselines import BASELINES
from pageflip.events.decoder import decode_flips
from pageflip.events.flip import Flip
from pageflip.events.metrics import Event, Truth, event_metrics, read_truth, still_metrics
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.temporal import THRESHOLD
from pageflip.events.timeline import Timeline
from pageflip.footage.media import VIDEO_SUFFIXES
from pageflip.footage.predict import find_events
from pageflip.footage.read_events import StillsOutput
from pageflip.inference.predictor import Predictor
from pageflip.params.scoring import Stills

LABELS_SUFFIX = ".events.json"
DECODER, DECODER_ALONE = "decoder", "decoder_alone"


@dataclass(frozen=True)
class VideoResult:
    """A video, its labels, and what was detected in it.

    Attributes:
        timeline: probabilities, true and detected events.
        truth: the labels.
        detected: events by name of the detector.
        stills: frame numbers of the page stills.
        target: int [N], 1 in frames where a sheet is in the air.
        called: bool [N], whether a frame is called flip: "alone" by the frame model, "in_sequence" by the temporal
            network.
    """

    timeline: Timeline
    truth: Truth
    detected: dict[str, list[Event]]
    stills: list[int]
    target: np.ndarray
    called: dict[str, np.ndarray]


def list_videos(folder: Path) -> list[tuple[Path, Path]]:
    """Return the videos of a folder that have labels, with their label files, by name.

    Raises:
        ConfigError: there is no such folder, or none of its videos has labels.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", "name a folder of videos with their events.json.")
    videos = sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    pairs = [(video, video.with_name(video.stem + LABELS_SUFFIX)) for video in videos]
    labelled = [(video, labels) for video, labels in pairs if labels.is_file()]
    if not labelled:
        raise ConfigError(
            f"none of the {len(videos)} videos in {folder} has a file NAME{LABELS_SUFFIX} beside it",
            "write it as docs/reference/frames.md says, or try `pageflip synthesize video FOLDER/NAME.mp4`.",
        )
    return labelled


def evaluate_videos(
    folder: Path, predictor: Predictor, model: SequenceModel, *, plan: Stills | None = None
) -> tuple[dict[str, Any], list[Timeline]]:
    """Detect the flips of all labelled videos of a folder, and evaluate.

    Args:
        folder: of the videos.
        predictor: model of single frames.
        model: temporal network and decoder.
        plan: evaluate page stills too, chosen with these parameters. Each video is then decoded twice; the stills are
            not kept.

    Returns:
        Results ready for JSON, and the timeline of each video. The results are model, version, threshold; finders,
        the `event_metrics` of the decoder, of the decoder without the temporal network, and of the baselines; frames,
        f1, precision and recall of single frames, alone and in_sequence; videos, with video, frames, n_true, n_found,
        n_matched and f1 of the decoder; stills (see `still_metrics`; None without a plan or without labelled pages).

    Raises:
        ConfigError: see `list_videos`.
        DataError: a video or its labels cannot be read, or they do not belong together.
        UnavailableError: the disk or the machine failed temporarily.
    """
    results = [
        _evaluate_video(video, labels, predictor, model, plan)
        for video, labels in track(list_videos(folder), description="evaluate videos")
    ]
    true, aborted = [one.timeline.true for one in results], [one.truth.aborted for one in results]
    finders = {
        name: event_metrics(true, [one.detected[name] for one in results], aborted) for name in results[0].detected
    }
    paged = [one for one in results if one.truth.pages]
    return {
        "model": predictor.name,
        "version": predictor.version,
        "threshold": predictor.threshold,
        "finders": finders,
        "frames": {name: _frame_scores(results, name) for name in results[0].called},
        "videos": [_summarise(one) for one in results],
        "stills": still_metrics([one.truth.pages for one in paged], [one.stills for one in paged])
        if plan and paged
        else None,
    }, [one.timeline for one in results]


def _evaluate_video(
    video: Path, labels: Path, predictor: Predictor, model: SequenceModel, plan: Stills | None
) -> VideoResult:
    truth, frames = _read_labels(labels)
    with tempfile.TemporaryDirectory(prefix="pageflip-videos-") as folder:
        output = StillsOutput(plan, Path(folder)) if plan else None
        (sequence,) = find_events(predictor, model, [video], output)
    last = max((end for _, end in frames), default=0)
    if last >= sequence.frames:
        raise DataError(
            f"{labels} names frame {last}, but {video} has {sequence.frames} frames, counted from 0",
            "give the video that the labels were written for.",
        )
    times, alone, refined = (np.array(v) for v in (sequence.times_s, sequence.probabilities, sequence.in_sequence))
    true = tuple((float(times[start]), float(times[end])) for start, end in frames)
    target = np.zeros(len(times), int)
    for start, end in frames:
        target[start : end + 1] = 1
    detectors: dict[str, Callable[..., list[Flip]]] = {
        DECODER_ALONE: partial(decode_flips, model=model.frame_decoder),
        **BASELINES,
    }
    detected = {DECODER: _spans(sequence.flips)}
    detected |= {name: _spans(detect(alone, times, predictor.threshold)) for name, detect in detectors.items()}
    timeline = Timeline(video.name, times, refined, true, tuple(detected[DECODER]))
    called = {"alone": alone >= predictor.threshold, "in_sequence": refined >= THRESHOLD}
    return VideoResult(timeline, truth, detected, [still.index for still in sequence.stills], target, called)


def _read_labels(path: Path) -> tuple[Truth, list[tuple[int, int]]]:
    """Return the labels, and the first and last frame of each event."""
    remedy = "write it as docs/reference/frames.md says."
    content = read_json(path)
    try:
        truth = read_truth(content)
        frames = [(int(event["start_frame"]), int(event["end_frame"])) for event in content["events"]]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not hold the labels of a video: {error}", remedy) from None
    except DataError as error:
        raise DataError(f"{path}: {error.message}", remedy) from None
    if any(not 0 <= start <= end for start, end in frames):
        raise DataError(f"{path} has an event that ends before it starts, or starts before frame 0", remedy)
    return truth, frames


def _frame_scores(results: list[VideoResult], name: str) -> dict[str, float]:
    target = np.concatenate([one.target for one in results])
    called = np.concatenate([one.called[name] for one in results])
    scores = binary_metrics(target, called.astype(float), 0.5)
    return {score: scores[score] for score in ("f1", "precision", "recall")}


def _summarise(one: VideoResult) -> dict[str, Any]:
    scores = event_metrics([one.timeline.true], [one.detected[DECODER]])
    counts = {name: scores[name] for name in ("n_true", "n_found", "n_matched", "f1")}
    return {"video": one.timeline.name, "frames": len(one.timeline.times_s), **counts}


def _spans(flips: list[Flip]) -> list[Event]:
    return [(flip.start_s, flip.end_s) for flip in flips]
