"""Fit the parameters of the decoder (`pageflip.events.decoder_model`) to videos with known flips.

Durations are fitted by moments of their logarithms. Emission weights come from a logistic regression of each frame's
state on the log-odds around it, less the prior log-odds of flips; they also learn how long before (after) the model of
single frames onsets (offsets) occur. The effective number of independent frames per second is chosen by
cross-validation over whole videos, for the best F1 of events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.clock import frame_step_s
from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_model import DecoderModel, EmissionWeights, interpolate_around, resting_levels
from pageflip.events.durations import Durations
from pageflip.events.log_odds import to_log_odds
from pageflip.events.metrics import Truth, event_metrics
from pageflip.params.events import Events

OFFSET_STEP_S = 1 / 30  # between the offsets of the emission weights
MIN_LOG_SD = 0.25


@dataclass(frozen=True)
class LabelledSequence:
    """Frame probabilities and times in seconds of a video, float [N] each, with its true events."""

    probabilities: np.ndarray
    times_s: np.ndarray
    truth: Truth


def fit_decoder(
    recordings: Sequence[LabelledSequence], threshold: float, plan: Events, learnt_from: dict
) -> tuple[DecoderModel, dict]:
    """Fit all parameters.

    Args:
        recordings: labelled videos.
        threshold: of the model that gave the probabilities.
        plan: parameters of the fit.
        learnt_from: provenance, for people.

    Returns:
        The model, and the metrics of events on held-out folds with the chosen `evidence_per_s`.

    Raises:
        DataError: fewer videos than folds, or no flips.
    """
    if len(recordings) < plan.folds or not any(r.truth.events for r in recordings):
        raise DataError(
            f"the decoder cannot be fitted to {len(recordings)} videos in {plan.folds} folds",
            "give more videos with flips, or lower events.folds.",
        )
    parts = [list(range(fold, len(recordings), plan.folds)) for fold in range(plan.folds)]
    held_out = []
    for part in parts:
        rest = [recording for i, recording in enumerate(recordings) if i not in part]
        held_out.append((_fit(rest, threshold, plan, {}), [recordings[i] for i in part]))
    tried = {per_s: _evaluate(held_out, threshold, per_s) for per_s in plan.evidence_per_s}
    best = max(tried, key=lambda per_s: (tried[per_s]["f1"], -_mean_error(tried[per_s])))
    model = _fit(recordings, threshold, plan, learnt_from)
    return _with_rate(model, best), {"evidence_per_s": best, **tried[best]}


def _fit(recordings: Sequence[LabelledSequence], threshold: float, plan: Events, learnt_from: dict) -> DecoderModel:
    flips, rests = [], []
    for recording in recordings:
        step = frame_step_s(recording.times_s)
        events = recording.truth.events
        flips += [offset - onset + step for onset, offset in events]
        rests += [after[0] - before[1] - step for before, after in pairwise(events)]
    if not flips or not any(rest >= OFFSET_STEP_S / 2 for rest in rests):
        raise DataError(
            f"{len(recordings)} videos hold {len(flips)} flips and no rest between two of them",
            "give more videos with several flips each.",
        )
    joined = sum(rest < OFFSET_STEP_S / 2 for rest in rests)
    return DecoderModel(
        rest=_durations([rest for rest in rests if rest >= OFFSET_STEP_S / 2], plan),
        flip=_durations(flips, plan),
        evidence=_fit_evidence(recordings, threshold, plan),
        flip_after_flip=(joined + 0.5) / (len(rests) + 1),
        learnt_from=learnt_from,
    )


def _durations(seconds: list[float], plan: Events) -> Durations:
    logs = np.log(seconds)
    sd = max(float(logs.std()), MIN_LOG_SD)
    return Durations(float(logs.mean()), sd, plan.broad_share, max(plan.broad_log_sd, sd), plan.tail_s)


def _fit_evidence(recordings: Sequence[LabelledSequence], threshold: float, plan: Events) -> EmissionWeights:
    from sklearn.linear_model import LogisticRegression

    reach = round(plan.context_s / OFFSET_STEP_S)
    offsets = tuple(float(k * OFFSET_STEP_S) for k in range(-reach, reach + 1))
    tables, target = [], np.concatenate([frame_states(r.times_s, r.truth) for r in recordings])
    for recording in recordings:
        odds, times = to_log_odds(recording.probabilities, threshold), recording.times_s
        level = resting_levels(odds, times, plan.level_s, plan.level_quantile)
        tables.append(np.column_stack([interpolate_around(odds, times, offsets), level]))
    inputs = np.concatenate(tables)
    scale = inputs.std() or 1.0  # one for all columns: they are the same quantity
    fitted = LogisticRegression(C=plan.regularisation, max_iter=500).fit(inputs / scale, target)
    prior = float(np.log(target.mean() / (1 - target.mean())))
    *weights, level_weight = (fitted.coef_[0] / scale).tolist()
    return EmissionWeights(
        offsets_s=offsets,
        weights=tuple(weights),
        level_s=plan.level_s,
        level_quantile=plan.level_quantile,
        level_weight=level_weight,
        bias=float(fitted.intercept_[0]) - prior,
        per_s=1 / OFFSET_STEP_S,
    )


def frame_states(times_s: np.ndarray, truth: Truth) -> np.ndarray:
    """Return the true state of each frame, int [N]: 1 is flip."""
    states = np.zeros(len(times_s), int)
    for onset, offset in truth.events:
        states[(times_s >= onset - 1e-6) & (times_s <= offset + 1e-6)] = 1
    return states


def _with_rate(model: DecoderModel, per_s: float) -> DecoderModel:
    return replace(model, evidence=replace(model.evidence, per_s=per_s))


def _evaluate(held_out: list[tuple[DecoderModel, list[LabelledSequence]]], threshold: float, per_s: float) -> dict:
    true, found, aborted = [], [], []
    for model, recordings in held_out:
        for recording in recordings:
            flips = decode_flips(recording.probabilities, recording.times_s, threshold, _with_rate(model, per_s))
            true.append(recording.truth.events)
            found.append([(flip.start_s, flip.end_s) for flip in flips])
            aborted.append(recording.truth.aborted)
    return event_metrics(true, found, aborted)


def _mean_error(scores: dict) -> float:
    return sum(scores[name]["median"] for name in ("onset_ms", "offset_ms") if scores[name])
