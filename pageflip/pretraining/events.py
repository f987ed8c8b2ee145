"""Production of the temporal network and of the decoders from labelled recordings."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.base.files import atomic_folder, write_text
from pageflip.base.progress import show_progress, track
from pageflip.evaluation.metrics import binary_metrics
from pageflip.events.decoder_fitting import LabelledSequence, fit_decoder, frame_states
from pageflip.events.decoder_model import FRAME_DECODER_FILE, SEQUENCE_DECODER_FILE, to_json
from pageflip.events.log_odds import to_log_odds
from pageflip.events.temporal import STEP_S, THRESHOLD, FrameEncoder, load_temporal, refine
from pageflip.events.temporal_training import TrainingSequence, export_temporal, train_temporal
from pageflip.params.events import Events
from pageflip.pretraining.recordings import (
    EVENTS_SUFFIX,
    HOLD_OUT_EVERY,
    FrameModels,
    PredictedVideo,
    predict_clips,
    predict_video,
)

COMMAND = "python -m tasks.learn_events"
MIN_VIDEOS = 2 * HOLD_OUT_EVERY  # cross-validation on the videos that are held out needs two

log = logging.getLogger(__name__)


def learn_events(plan: Events, videos: Path, out: Path, clips: Path | None = None) -> dict[str, Any]:
    """Train the temporal network, fit both decoders, and return the metrics of events on the held-out videos.

    Args:
        plan: section `events`.
        videos: folder of NAME.mp4 with NAME.events.json beside it.
        out: folder of the files.
        clips: an archive of drawn clips to train the temporal network on too.

    Raises:
        ConfigError: there are too few labelled videos.
    """
    files = sorted(path for path in videos.glob("*.mp4") if path.with_suffix(EVENTS_SUFFIX).exists())
    if len(files) < MIN_VIDEOS:
        raise ConfigError(
            f"{videos} holds {len(files)} labelled videos, and at least {MIN_VIDEOS} are needed",
            f"give NAME.mp4 with NAME{EVENTS_SUFFIX} beside it.",
        )
    models = FrameModels.load()
    threshold = models.main.threshold
    predicted = [predict_video(file, models) for file in track(files, description="events: predict videos")]
    source: dict[str, Any] = {
        "command": COMMAND,
        "model": models.main.version,
        "other_model": models.other.version,
        "threshold": threshold,
        "videos": len(files),
        "flips": sum(len(video.truth.events) for video in predicted),
        "source": "drawn by pageflip.synthetic" if clips else "videos of the user",
        "params": plan.model_dump(mode="json"),
    }
    with atomic_folder(out) as folder:
        single = [LabelledSequence(video.probabilities, video.times_s, video.truth) for video in predicted]
        _write_decoder(single, threshold, plan, folder / FRAME_DECODER_FILE, source)
        training = [video for number, video in enumerate(predicted) if (number + 1) % HOLD_OUT_EVERY]
        training_clips, held_out_clips = predict_clips(clips, models) if clips else ([], [])
        sequences = [_training_sequence(video, threshold) for video in training] + training_clips
        _write_temporal(sequences, plan, folder, source)
        if held_out_clips:
            source["held_out_clips"] = _evaluate_clips(held_out_clips, folder)
        held_out = predicted[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
        refined = [_refined_sequence(video, threshold, folder) for video in held_out]
        scores = _write_decoder(refined, THRESHOLD, plan, folder / SEQUENCE_DECODER_FILE, source)
    log.info("events: F1 %.4f within %g ms on held-out videos", scores["f1"], scores["tolerance_ms"])
    counts = f"{scores['n_matched']} of {scores['n_true']} flips, {scores['n_found']} found"
    log.info("events: %s; written to %s", counts, out)
    return scores


def _training_sequence(video: PredictedVideo, threshold: float) -> TrainingSequence:
    states = frame_states(video.times_s, video.truth)
    return TrainingSequence(video.planes, to_log_odds(video.probabilities, threshold), states, video.other_odds)


def _write_decoder(
    sequences: list[LabelledSequence], threshold: float, plan: Events, file: Path, source: dict[str, Any]
) -> dict[str, Any]:
    """Fit a decoder and write it to a file; return the metrics of events by cross-validation."""
    source = dict(source)
    folds = min(plan.folds, len(sequences))
    model, scores = fit_decoder(sequences, threshold, plan.model_copy(update={"folds": folds}), source)
    source["held_out"] = scores
    write_text(file, to_json(model))
    return scores


def _write_temporal(sequences: Sequence[TrainingSequence], plan: Events, folder: Path, source: dict[str, Any]) -> None:
    facts = {"model": str(source["model"]), "learnt_from": f"{len(sequences)} recordings, {source['source']}"}
    with show_progress(plan.temporal.steps, "events: train the temporal network") as advance:
        network = train_temporal(sequences, plan.temporal, plan.seed, lambda steps, _: advance(steps))
    export_temporal(network, folder, facts)


def _evaluate_clips(clips: Sequence[TrainingSequence], folder: Path) -> dict[str, float]:
    """Compute F1 of the frames of held-out clips, by each frame model alone and with the temporal network."""
    model = load_temporal(folder)
    targets = np.concatenate([clip.states for clip in clips])
    alone: dict[str, list[np.ndarray]] = {"f1": [], "other_f1": []}
    in_sequence: dict[str, list[np.ndarray]] = {"f1": [], "other_f1": []}
    for clip in clips:
        times = np.arange(len(clip.states)) * STEP_S
        features = FrameEncoder(model).push_planes(clip.planes, times)
        for name, odds in (("f1", clip.log_odds), ("other_f1", np.asarray(clip.other_odds))):
            alone[name].append(odds)
            in_sequence[name].append(refine(features, 1 / (1 + np.exp(-odds)), times, 0.5, model))
    scores: dict[str, float] = {"n": len(targets)}
    for name in alone:
        scores[f"{name}_alone"] = _f1(targets, np.concatenate(alone[name]) >= 0)
        scores[f"{name}_in_sequence"] = _f1(targets, np.concatenate(in_sequence[name]) >= THRESHOLD)
    line = "F1 of {n} frames of held-out clips {f1_in_sequence:.4f}, without the temporal network {f1_alone:.4f}"
    log.info("events: %s", line.format(**scores))
    line = "with cnn {other_f1_in_sequence:.4f}, without the temporal network {other_f1_alone:.4f}"
    log.info("events: %s", line.format(**scores))
    return scores


def _f1(targets: np.ndarray, positive: np.ndarray) -> float:
    return binary_metrics(targets, positive.astype(float), 0.5)["f1"]


def _refined_sequence(video: PredictedVideo, threshold: float, folder: Path) -> LabelledSequence:
    model, times = load_temporal(folder), video.times_s
    features = FrameEncoder(model).push_planes(video.planes, times)
    return LabelledSequence(refine(features, video.probabilities, times, threshold, model), times, video.truth)
