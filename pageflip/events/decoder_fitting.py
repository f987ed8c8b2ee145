"""Learns the numbers of `pageflip.events.decoder_model` from videos whose flips are known.

Durations are counted. The worth of log-odds as evidence is a logistic regression of each frame's state on the log-odds
around it, less the share of flips; it also learns by how much onsets come before, and offsets after, what the model of
single frames sees. How much neighbouring frames repeat each other is chosen by cross-validation over whole videos, for
the best F1 of events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_model import EventModel, Evidence, log_odds, readings, resting_levels
from pageflip.events.durations import Durations
from pageflip.events.metrics import Truth, event_metrics
from pageflip.params.events import Events

STEP_S = 1 / 30  # between the places where log-odds are read
LEAST_LOG_SD = 0.25


@dataclass(frozen=True)
class Recording:
    """A video with its truth: probabilities float [N], times in seconds float [N]."""

    probabilities: np.ndarray
    times_s: np.ndarray
    truth: Truth


def learn_event_model(
    recordings: Sequence[Recording], threshold: float, plan: Events, learnt_from: dict
) -> tuple[EventModel, dict]:
    """Learn all numbers.

    Args:
        threshold: of the model that gave the probabilities.
        learnt_from: told to people in the file.

    Returns:
        The model, and the metrics of events on held-out folds, with the evidence that was chosen.

    Raises:
        DataError: fewer videos than folds, or no flips.
    """
    if len(recordings) < plan.folds or not any(r.truth.events for r in recordings):
        raise DataError(
            f"nothing can be learnt from {len(recordings)} videos in {plan.folds} parts",
            "give more videos, with flips in them, or set events.folds lower.",
        )
    parts = [list(range(fold, len(recordings), plan.folds)) for fold in range(plan.folds)]
    held_out = []
    for part in parts:
        rest = [recording for i, recording in enumerate(recordings) if i not in part]
        held_out.append((_fit(rest, threshold, plan, {}), [recordings[i] for i in part]))
    tried = {per_s: _judge(held_out, threshold, per_s) for per_s in plan.evidence_per_s}
    best = max(tried, key=lambda per_s: (tried[per_s]["f1"], -_mean_error(tried[per_s])))
    model = _fit(recordings, threshold, plan, learnt_from)
    return _with_evidence(model, best), {"evidence_per_s": best, **tried[best]}


def _fit(recordings: Sequence[Recording], threshold: float, plan: Events, learnt_from: dict) -> EventModel:
    flips, rests = [], []
    for recording in recordings:
        step = float(np.median(np.diff(recording.times_s)))
        events = recording.truth.events
        flips += [offset - onset + step for onset, offset in events]
        rests += [after[0] - before[1] - step for before, after in pairwise(events)]
    if not flips or not any(rest >= STEP_S / 2 for rest in rests):
        raise DataError(
            f"{len(recordings)} of the videos hold {len(flips)} flips and no rest between two",
            "give more videos, with several flips in each.",
        )
    joined = sum(rest < STEP_S / 2 for rest in rests)
    return EventModel(
        rest=_durations([rest for rest in rests if rest >= STEP_S / 2], plan),
        flip=_durations(flips, plan),
        evidence=_fit_evidence(recordings, threshold, plan),
        flip_after_flip=(joined + 0.5) / (len(rests) + 1),
        learnt_from=learnt_from,
    )


def _durations(seconds: list[float], plan: Events) -> Durations:
    logs = np.log(seconds)
    sd = max(float(logs.std()), LEAST_LOG_SD)
    return Durations(float(logs.mean()), sd, plan.broad_share, max(plan.broad_log_sd, sd), plan.tail_s)


def _fit_evidence(recordings: Sequence[Recording], threshold: float, plan: Events) -> Evidence:
    from sklearn.linear_model import LogisticRegression

    reach = round(plan.context_s / STEP_S)
    offsets = tuple(float(k * STEP_S) for k in range(-reach, reach + 1))
    inputs, target = [], np.concatenate([states_of(r.times_s, r.truth) for r in recordings])
    for recording in recordings:
        odds, times = log_odds(recording.probabilities, threshold), recording.times_s
        level = resting_levels(odds, times, plan.level_s, plan.level_quantile)
        inputs.append(np.column_stack([readings(odds, times, offsets), level]))
    inputs = np.concatenate(inputs)
    scale = inputs.std() or 1.0  # one for all: they are the same quantity
    fitted = LogisticRegression(C=plan.regularisation, max_iter=500).fit(inputs / scale, target)
    prior = float(np.log(target.mean() / (1 - target.mean())))
    *weights, level_weight = (fitted.coef_[0] / scale).tolist()
    level = (plan.level_s, plan.level_quantile, level_weight)
    return Evidence(offsets, tuple(weights), *level, float(fitted.intercept_[0]) - prior, per_s=1 / STEP_S)


def states_of(times_s: np.ndarray, truth: Truth) -> np.ndarray:
    """The true state of each frame, int [N]: 1 is flip."""
    times, states = times_s, np.zeros(len(times_s), int)
    for onset, offset in truth.events:
        states[(times >= onset - 1e-6) & (times <= offset + 1e-6)] = 1
    return states


def _with_evidence(model: EventModel, per_s: float) -> EventModel:
    return replace(model, evidence=replace(model.evidence, per_s=per_s))


def _judge(held_out: list[tuple[EventModel, list[Recording]]], threshold: float, per_s: float) -> dict:
    true, found, aborted = [], [], []
    for model, recordings in held_out:
        for recording in recordings:
            flips = decode_flips(recording.probabilities, recording.times_s, threshold, _with_evidence(model, per_s))
            true.append(recording.truth.events)
            found.append([(flip.start_s, flip.end_s) for flip in flips])
            aborted.append(recording.truth.aborted)
    return event_metrics(true, found, aborted)


def _mean_error(scores: dict) -> float:
    return sum(scores[name]["median"] for name in ("onset_ms", "offset_ms") if scores[name])
