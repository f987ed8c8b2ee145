"""Learn how flips follow each other and look in time: write what stands in pageflip/inference/pretrained.

    make events                                      # draws first; to be run again once day-zero or cnn is made anew
    python -m tasks.learn_events --videos FOLDER     # from videos of your own: NAME.mp4 with NAME.events.json beside it

    temporal-encoder.onnx, temporal-head.onnx   the temporal network (pageflip.events.temporal)
    events-in-sequence.json                     durations and evidence for the probabilities that it refined
    events.json                                 the same for probabilities of single frames alone

Frames are read by day-zero, and by the compact network that is weaker: the temporal network learns to read after both.

Every fourth video, and all clips of every fourth book, teach the network nothing: durations and evidence are learnt
there, and the network is judged. With videos of your own no clips are drawn. Drawn videos and clips, and what was read
from them, are kept in the work folder, named by all that they depend on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pageflip.base.errors import ConfigError
from pageflip.base.files import atomic_folder, write_text
from pageflip.base.progress import show_progress, track
from pageflip.evaluation.metrics import binary_metrics
from pageflip.events import decoder_model
from pageflip.events.decoder_fitting import LabelledSequence, fit_decoder, frame_states
from pageflip.events.log_odds import to_log_odds
from pageflip.events.temporal import STEP_S, THRESHOLD, FrameEncoder, load_temporal, refine
from pageflip.events.temporal_training import TrainingSequence, export_temporal, train_temporal
from pageflip.params.events import Events
from pageflip.pretraining.recordings import HELD_EVERY, Footage, Readers, read_clips, read_footage

COMMAND = "python -m tasks.learn_events"
LEAST_VIDEOS = 2 * HELD_EVERY  # those held out are judged by cross-validation, which wants two


def learn(plan: Events, videos: Path, out: Path, clips: Path | None = None) -> dict:
    """Read the videos, learn, write it all to the folder `out`, and return the metrics of events on held-out videos.

    Args:
        clips: an archive of drawn clips, which the temporal network learns from, too.

    Raises:
        ConfigError: the folder holds too few videos with their truth.
    """
    files = sorted(path for path in videos.glob("*.mp4") if path.with_suffix(".events.json").exists())
    if len(files) < LEAST_VIDEOS:
        raise ConfigError(
            f"{videos} holds {len(files)} videos with their truth, and at least {LEAST_VIDEOS} are needed",
            "give NAME.mp4 with NAME.events.json beside it.",
        )
    readers = Readers.load()
    threshold = readers.main.threshold
    footage = [read_footage(file, readers) for file in track(files, description="events: read videos")]
    source = {
        "command": COMMAND,
        "model": readers.main.version,
        "other_model": readers.other.version,
        "threshold": threshold,
        "videos": len(files),
        "flips": sum(len(one.truth.events) for one in footage),
        "source": "drawn by pageflip.synthetic" if clips else "videos of the user",
        "params": plan.model_dump(mode="json"),
    }
    with atomic_folder(out) as folder:
        plain = [LabelledSequence(one.probabilities, one.times_s, one.truth) for one in footage]
        _learn_numbers(plain, threshold, plan, folder / decoder_model.FRAME_DECODER_FILE, source)
        taught = [_lesson(one, threshold) for number, one in enumerate(footage) if (number + 1) % HELD_EVERY]
        known, unknown = read_clips(clips, readers) if clips else ([], [])
        _train([*taught, *known], plan, folder, source)
        if unknown:
            source["held_out_clips"] = _judge_clips(unknown, folder)
        held = [_refined(one, threshold, folder) for one in footage[HELD_EVERY - 1 :: HELD_EVERY]]
        scores = _learn_numbers(held, THRESHOLD, plan, folder / decoder_model.SEQUENCE_DECODER_FILE, source)
    print(f"events: F1 {scores['f1']:.4f} within {scores['tolerance_ms']:g} ms on held-out videos", flush=True)
    print(f"events: {scores['n_matched']} of {scores['n_true']} flips, {scores['n_found']} found; written to {out}")
    return scores


def _lesson(footage: Footage, threshold: float) -> TrainingSequence:
    states = frame_states(footage.times_s, footage.truth)
    return TrainingSequence(footage.planes, to_log_odds(footage.probabilities, threshold), states, footage.other_odds)


def _learn_numbers(
    recordings: list[LabelledSequence], threshold: float, plan: Events, file: Path, source: dict
) -> dict:
    """Write the file of durations and evidence, and return the metrics of events by cross-validation."""
    source = dict(source)
    folds = min(plan.folds, len(recordings))
    model, scores = fit_decoder(recordings, threshold, plan.model_copy(update={"folds": folds}), source)
    source["held_out"] = scores
    write_text(file, decoder_model.to_json(model))
    return scores


def _train(lessons: Sequence[TrainingSequence], plan: Events, folder: Path, source: dict) -> None:
    facts = {"model": str(source["model"]), "learnt_from": f"{len(lessons)} recordings, {source['source']}"}
    with show_progress(plan.temporal.steps, "events: train the temporal network") as advance:
        network = train_temporal(lessons, plan.temporal, plan.seed, lambda steps, _: advance(steps))
    export_temporal(network, folder, facts)


def _judge_clips(clips: Sequence[TrainingSequence], folder: Path) -> dict[str, float]:
    """F1 of the frames of clips that taught nothing, by single frames alone and in sequence, of both readers."""
    model = load_temporal(folder)
    targets = np.concatenate([clip.states for clip in clips])
    said, refined = ([], []), ([], [])  # of the main one, and of the other
    for clip in clips:
        times = np.arange(len(clip.states)) * STEP_S
        features = FrameEncoder(model).push_planes(clip.planes, times)
        for number, odds in enumerate((clip.log_odds, clip.other_odds)):
            said[number].append(odds)
            refined[number].append(refine(features, 1 / (1 + np.exp(-odds)), times, 0.5, model))
    told = {"n": len(targets)}
    for number, name in enumerate(("f1", "other_f1")):
        told[f"{name}_alone"] = _f1(targets, np.concatenate(said[number]) >= 0)
        told[f"{name}_in_sequence"] = _f1(targets, np.concatenate(refined[number]) >= THRESHOLD)
    print("events: F1 of {n} frames of held-out clips {f1_in_sequence:.4f}, alone {f1_alone:.4f}".format(**told))
    print("events: read by cnn {other_f1_in_sequence:.4f}, alone {other_f1_alone:.4f}".format(**told))
    return told


def _f1(targets: np.ndarray, called: np.ndarray) -> float:
    return binary_metrics(targets, called.astype(float), 0.5)["f1"]


def _refined(footage: Footage, threshold: float, folder: Path) -> LabelledSequence:
    model, times = load_temporal(folder), footage.times_s
    features = FrameEncoder(model).push_planes(footage.planes, times)
    return LabelledSequence(refine(features, footage.probabilities, times, threshold, model), times, footage.truth)
