"""Decoder: from frame probabilities to flips, by Viterbi decoding of a two-state hidden semi-Markov model.

The states are rest and flip. A rest is followed by a flip; a flip by a rest, or sometimes by another flip. Durations
have an explicit distribution (Yu, "Hidden semi-Markov models", 2010), in seconds, so that the frame rate does not
matter. Recordings begin and end in the middle of a state: the first and last durations are censored (Guédon,
"Estimating hidden semi-Markov chains from discrete sequences", 2003).

`decode_flips` takes a whole sequence, `FlipStream` takes frames one by one with a fixed lag. Both call `best_segments`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from pageflip.events.clock import SHORTEST_STEP_S, frame_step_s
from pageflip.events.decoder_model import FLIP, LEVEL_STEP_S, REST, DecoderModel
from pageflip.events.durations import Durations
from pageflip.events.flip import MAX_UNSEEN_S, Flip
from pageflip.events.log_odds import to_log_odds


@dataclass(frozen=True)
class Segment:
    """Frames `first` to `last` in one state; the first segment of a window may hold none of its frames."""

    state: int
    first: int
    last: int


@dataclass(frozen=True)
class Origin:
    """State that was active before a window, since when, and whether the recording began in it."""

    state: int
    since_s: float
    cut_off: bool


def decode_flips(probabilities: np.ndarray, times_s: np.ndarray, threshold: float, model: DecoderModel) -> list[Flip]:
    """Find the flips in a sequence.

    Args:
        probabilities: of `flip`, float [N]; NaN where a frame could not be read. No flip spans more than MAX_UNSEEN_S
            of such frames.
        times_s: ascending times of the frames in seconds, float [N].
        threshold: of the model that gave the probabilities.
        model: parameters of the decoder.
    """
    stream = FlipStream(threshold, math.inf, model)
    flips = []
    for probability, time_s in zip(np.asarray(probabilities).tolist(), np.asarray(times_s).tolist(), strict=True):
        flips += stream.push(probability, time_s)
    return flips + stream.finish()


def best_segments(
    ratios: np.ndarray, edges_s: np.ndarray, model: DecoderModel, origin: Origin | None = None
) -> list[Segment]:
    """Return the most probable sequence of states over a window; the last one is still active at its end.

    Args:
        ratios: log-likelihood ratios of flip to rest, float [N], N >= 1.
        edges_s: ascending begin of each frame and end of the last one, float [N + 1].
        model: parameters of the decoder.
        origin: state before the window; None at the beginning of a recording.
    """
    lattice = _Lattice(ratios, edges_s, model, origin)
    for end in range(len(ratios) + 1):
        lattice.advance(end)
    return lattice.trace()


class _Lattice:
    """Scores of ending a state at an edge and of entering one there, with back pointers."""

    def __init__(self, ratios: np.ndarray, edges_s: np.ndarray, model: DecoderModel, origin: Origin | None) -> None:
        self.count, self.edges, self.model, self.origin = len(ratios), np.asarray(edges_s, np.float64), model, origin
        self.total = np.concatenate([[0.0], np.cumsum(ratios)])
        self.log_steps = np.log(np.maximum(np.diff(self.edges), SHORTEST_STEP_S))
        self.ended = np.full((self.count + 1, 2), -np.inf)
        self.entered = np.full((self.count + 1, 2), -np.inf)
        self.start = np.full(
            (self.count + 1, 2), -1
        )  # edge where the state that ends here began; -1: before the window
        self.source = np.zeros((self.count + 1, 2), int)  # the state before the one entered here
        self.near = [0, 0]  # by state, the earliest start whose duration is not in the tail
        self.tail = [(-np.inf, -1), (-np.inf, -1)]  # by state, the best score and start among those in the tail

    def advance(self, end: int) -> None:
        """Fill in an edge; those before it must have been filled in."""
        for state in (REST, FLIP):
            candidates = (self._first(state, end), self._near(state, end), self._tail(state, end))
            self.ended[end, state], self.start[end, state] = max(candidates, key=lambda item: item[0])
        again = math.log(self.model.flip_after_flip)
        rested, flipped = self.ended[end]
        self.entered[end] = flipped + math.log1p(-self.model.flip_after_flip), max(rested, flipped + again)
        self.source[end] = FLIP, REST if rested >= flipped + again else FLIP

    def trace(self) -> list[Segment]:
        """Follow the back pointers from the last edge."""
        end, state = self.count, int(self.ended[self.count].argmax())
        segments = []
        while True:
            start = int(self.start[end, state])
            segments.append(Segment(state, max(start, 0), end - 1))
            if start < 0:
                return segments[::-1]
            end, state = start, int(self.source[start, state])

    def _log_step(self, end: int) -> float:
        return float(self.log_steps[max(end - 1, 0)])

    def _first(self, state: int, end: int) -> tuple[float, int]:
        """Score the window's first state, lasting until here."""
        origin = self.origin or Origin(state, float(self.edges[0]), True)
        if origin.state != state or (end == 0 and self.origin is None):
            return -np.inf, -1
        durations = self.model.states[state]
        lasted = np.maximum(self.edges[end : end + 1] - origin.since_s, SHORTEST_STEP_S)
        score = state * self.total[end]
        means = sum(each.mean_s for each in self.model.states)
        if end == self.count:
            score += float(durations.log_survival(lasted)[0])
            return score + (math.log(durations.mean_s / means) if origin.cut_off else 0.0), -1
        score += self._log_step(end)
        if origin.cut_off:
            return score + float(durations.log_survival(lasted)[0]) - math.log(means), -1
        return score + float(durations.log_density(lasted)[0]), -1

    def _near(self, state: int, end: int) -> tuple[float, int]:
        """Return the best start whose duration is not in the tail; move starts that have become older there."""
        durations = self.model.states[state]
        while self.near[state] < end and self.edges[end] - self.edges[self.near[state]] > durations.tail_s:
            self._move_to_tail(state, durations)
        first = self.near[state]
        if first >= end:
            return -np.inf, -1
        lasted = self.edges[end] - self.edges[first:end]
        score = self.entered[first:end, state] + state * (self.total[end] - self.total[first:end])
        score = score + (
            durations.log_survival(lasted) if end == self.count else durations.log_density(lasted) + self._log_step(end)
        )
        best = int(score.argmax())
        return float(score[best]), first + best

    def _move_to_tail(self, state: int, durations: Durations) -> None:
        start = self.near[state]
        self.near[state] += 1
        score = self.entered[start, state] - state * self.total[start] + durations.end_rate * self.edges[start]
        if score > self.tail[state][0]:
            self.tail[state] = float(score), start

    def _tail(self, state: int, end: int) -> tuple[float, int]:
        """Return the best start among durations in the tail, whose scores all change equally from edge to edge."""
        score, start = self.tail[state]
        durations = self.model.states[state]
        score += state * self.total[end] + durations.tail_log_survival
        score -= durations.end_rate * (self.edges[end] - durations.tail_s)
        if end < self.count:
            score += math.log(durations.end_rate) + self._log_step(end)
        return float(score), start


def frame_edges(times_s: np.ndarray) -> np.ndarray:
    """Return the begin of each frame and the end of the last one in seconds, float64 [N + 1]."""
    times = np.asarray(times_s, np.float64)
    return np.append(times, times[-1] + frame_step_s(times))


@dataclass(frozen=True)
class _Frame:
    index: int
    time_s: float
    probability: float


@dataclass(frozen=True)
class _Running:
    """Active state, and those of its frames that are settled."""

    origin: Origin
    first: _Frame
    last: _Frame
    peak: float

    def flip(self) -> Flip:
        return Flip(self.first.index, self.last.index, self.first.time_s, self.last.time_s, self.peak)


class FlipStream:
    """Find flips frame by frame, each at most `lag_s` and two frames after its last frame.

    Decisions older than `lag_s` are not revised, which bounds time and memory per frame. With a lag beyond the
    sequence's length the flips are those of `decode_flips`.

    Args:
        threshold: of the model that gives the probabilities.
        lag_s: at least the look-ahead of the emission weights, about 0.25 s; 0.5 s or more is better.
        model: parameters of the decoder.
    """

    def __init__(self, threshold: float, lag_s: float, model: DecoderModel) -> None:
        self._threshold, self._lag_s, self._model = threshold, lag_s, model
        self._pushed = 0
        self._begin()

    def _begin(self) -> None:
        self._window: list[_Frame] = []  # not settled yet
        self._before: list[_Frame] = []  # settled, and still within the reach of the emission weights
        self._running: _Running | None = None  # active in the last settled frame

    def push(self, probability: float, time_s: float) -> list[Flip]:
        """Take the next frame (NaN if it could not be read); return the flips that it settles."""
        frame = _Frame(self._pushed, time_s, probability)
        self._pushed += 1
        if not math.isfinite(probability):
            return []
        flips: list[Flip] = []
        if self._window:
            last = self._window[-1]
            if frame.index - last.index > 1 and time_s - last.time_s > MAX_UNSEEN_S:
                flips = self.finish()
        self._window.append(frame)
        settled = 0
        while time_s - self._window[settled].time_s > self._lag_s:
            settled += 1
        return flips + self._settle(settled) if settled else flips

    def finish(self) -> list[Flip]:
        """End the sequence; return the remaining flips."""
        flips = self._follow(len(self._window) + 1)[0] if self._window else []
        self._begin()
        return flips

    def _settle(self, count: int) -> list[Flip]:
        flips, self._running = self._follow(count)
        self._before += self._window[:count]
        self._window = self._window[count:]
        weights = self._model.evidence
        reach = self._window[0].time_s - max(weights.level_s + LEVEL_STEP_S, -min(weights.offsets_s))
        while len(self._before) > 2 and self._before[1].time_s < reach:
            self._before.pop(0)
        return flips

    def _follow(self, count: int) -> tuple[list[Flip], _Running | None]:
        """Return the flips that end before frame `count - 1` of the window, and what is active in that frame."""
        flips: list[Flip] = []
        for number, segment in enumerate(self._segments()):
            frames = self._window[segment.first : min(segment.last, count - 1) + 1]
            if number == 0 and self._running:
                running = self._running
            else:
                origin = Origin(segment.state, frames[0].time_s, cut_off=number == 0)
                running = _Running(origin, frames[0], frames[0], -math.inf)
            if frames:
                peak = max(running.peak, *(frame.probability for frame in frames))
                running = replace(running, last=frames[-1], peak=peak)
            if segment.last >= count - 1:
                return flips, running
            if segment.state == FLIP:
                flips.append(running.flip())
        return flips, None

    def _segments(self) -> list[Segment]:
        frames = self._before + self._window
        times = np.array([frame.time_s for frame in frames])
        odds = to_log_odds(np.array([frame.probability for frame in frames]), self._threshold)
        edges, kept = frame_edges(times), len(self._before)
        ratios = self._model.evidence.ratios(odds, times, np.diff(edges), skipped=kept)
        origin = self._running.origin if self._running else None
        return best_segments(ratios, edges[kept:], self._model, origin)
