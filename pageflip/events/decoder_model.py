"""What is learnt about leafing: how long flips and rests last, and what probabilities are worth as evidence.

`inference/pretrained/events.json` holds the numbers; `python -m tasks.learn_events` makes it from drawn videos. The
evidence of a
frame is linear in the model's log-odds around it, measured from the model's own threshold, so that the numbers serve
other models than the one they were learnt with, if less well.
"""

import functools
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.durations import Durations
from pageflip.inference.cards import FOLDER

FILE = FOLDER / "events.json"  # for probabilities of single frames
IN_SEQUENCE_FILE = FILE.with_name("events-in-sequence.json")  # for those that `pageflip.events.temporal` refined
FORMAT = 1
REST, FLIP = 0, 1
LEVEL_STEP_S = 0.5
SURE = 6.0  # log-odds beyond this are no surer
HIGHEST_LEVEL = 1.0  # log-odds: a recording that lies higher throughout is no rest, it is all flip


@dataclass(frozen=True)
class Evidence:
    """How log-odds become evidence: a bias, and a weight for the log-odds at each time beside the frame.

    Attributes:
        offsets_s, weights: where the log-odds are read, in seconds from the frame, and what they count.
        level_s, level_quantile, level_weight: the recording's own resting level, which scene and book shift, is that
            quantile of the log-odds no further away; and what it counts.
        bias: added; the sum is the log-likelihood ratio of flip against rest.
        per_s: what the evidence of one second counts in all, in frames: neighbouring frames say nearly the same.
    """

    offsets_s: tuple[float, ...]
    weights: tuple[float, ...]
    level_s: float
    level_quantile: float
    level_weight: float
    bias: float
    per_s: float

    def ratios(self, log_odds: np.ndarray, times_s: np.ndarray, steps_s: np.ndarray, skipped: int = 0) -> np.ndarray:
        """The log-likelihood ratios of flip against rest, float64 [N - skipped], for float [N] each.

        Args:
            skipped: how many of the first frames only stand there as neighbours.
        """
        read = readings(log_odds, times_s, self.offsets_s)[skipped:]
        levels = resting_levels(log_odds, times_s, self.level_s, self.level_quantile, skipped)
        sums = read @ np.array(self.weights) + self.level_weight * levels + self.bias
        return sums * np.minimum(1.0, self.per_s * steps_s[skipped:])


@dataclass(frozen=True)
class EventModel:
    """All that the decoder knows: what the file of learnt numbers holds.

    Attributes:
        rest, flip: how long each lasts.
        flip_after_flip: share of the flips that another one follows without a rest.
        learnt_from: what the numbers come from, for people.
    """

    rest: Durations
    flip: Durations
    evidence: Evidence
    flip_after_flip: float
    learnt_from: dict

    @property
    def states(self) -> tuple[Durations, Durations]:
        """The durations by state: REST, FLIP."""
        return self.rest, self.flip


def log_odds(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """How far probabilities are above the threshold, in log-odds, float64 [N], at most SURE either way."""
    clipped = np.clip(np.asarray(probabilities, np.float64), 1e-4, 1 - 1e-4)
    middle = min(max(threshold, 1e-4), 1 - 1e-4)
    return np.clip(np.log(clipped / (1 - clipped)) - math.log(middle / (1 - middle)), -SURE, SURE)


def readings(values: np.ndarray, times_s: np.ndarray, offsets_s: tuple[float, ...]) -> np.ndarray:
    """The values around each frame, float64 [N, offsets], between frames by line, beyond the ends the last one."""
    return np.stack([np.interp(times_s + offset, times_s, values) for offset in offsets_s], axis=1)


def resting_levels(
    log_odds: np.ndarray, times_s: np.ndarray, level_s: float, quantile: float, skipped: int = 0
) -> np.ndarray:
    """The quantile of the log-odds within `level_s` of each frame, at most HIGHEST_LEVEL, float64 [N - skipped].

    It changes slowly: it is taken for each LEVEL_STEP_S of the recording's clock, and holds for all frames in it.
    """
    steps = np.floor(times_s[skipped:] / LEVEL_STEP_S)
    levels = np.empty(len(steps))
    for step in np.unique(steps):
        middle = (step + 0.5) * LEVEL_STEP_S
        first, after = np.searchsorted(times_s, [middle - level_s, middle + level_s])
        ranked = np.sort(log_odds[first : max(after, first + 1)])
        levels[steps == step] = min(ranked[int(quantile * (len(ranked) - 1))], HIGHEST_LEVEL)
    return levels


def to_json(model: EventModel) -> str:
    """The content of the file of learnt numbers."""
    return json.dumps({"format": FORMAT, **asdict(model)}, indent=1) + "\n"


@functools.cache
def load_event_model(path: Path = FILE) -> EventModel:
    """Read the learnt numbers.

    Raises:
        DataError: the file is missing or is none of this format.
    """
    remedy = "restore it (`git checkout`), or run `python -m tasks.learn_events`."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        evidence = content.pop("evidence")
        reading = {name: tuple(evidence.pop(name)) for name in ("offsets_s", "weights")}
        durations = {name: Durations(**content.pop(name)) for name in ("rest", "flip")}
        return EventModel(**durations, evidence=Evidence(**reading, **evidence), **content)
    except FileNotFoundError:
        raise DataError(f"there is no {path}", remedy) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} holds no numbers of events: {error}", remedy) from None
