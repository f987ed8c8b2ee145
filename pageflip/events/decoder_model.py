"""Parameters of the decoder: state durations and emission weights.

`python -m tasks.learn_events` fits them on drawn videos and writes them to `inference/pretrained/`. The emission score
of a frame is linear in the log-odds around it, relative to the threshold of the model that gave the probabilities. The
parameters therefore serve other frame models than the one they were fitted with, if less well.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.durations import Durations

FRAME_DECODER_FILE = "events.json"  # for probabilities of single frames
SEQUENCE_DECODER_FILE = "events-in-sequence.json"  # for those re-estimated by pageflip.events.temporal
FORMAT = 1
REST, FLIP = 0, 1
LEVEL_STEP_S = 0.5
HIGHEST_LEVEL = 1.0  # log-odds: a recording above this throughout is not at rest but all flip


@dataclass(frozen=True)
class EmissionWeights:
    """Weights of the log-odds around a frame in its emission score.

    Attributes:
        offsets_s, weights: positions in seconds relative to the frame, and the weight of the log-odds at each.
        level_s, level_quantile, level_weight: the recording's resting level (which depends on scene and book) is this
            quantile of the log-odds within `level_s` of the frame, and its weight.
        bias: constant term; the sum is the log-likelihood ratio of flip to rest.
        per_s: effective number of independent frames per second, since neighbouring frames repeat each other.
    """

    offsets_s: tuple[float, ...]
    weights: tuple[float, ...]
    level_s: float
    level_quantile: float
    level_weight: float
    bias: float
    per_s: float

    def ratios(self, log_odds: np.ndarray, times_s: np.ndarray, steps_s: np.ndarray, skipped: int = 0) -> np.ndarray:
        """Return log-likelihood ratios of flip to rest, float64 [N - skipped], for float [N] each.

        Args:
            log_odds: see `pageflip.events.log_odds.to_log_odds`.
            times_s: of the frames, in seconds.
            steps_s: durations of the frames in seconds.
            skipped: number of leading frames that serve as neighbours only.
        """
        inputs = interpolate_around(log_odds, times_s, self.offsets_s)[skipped:]
        levels = resting_levels(log_odds, times_s, self.level_s, self.level_quantile, skipped)
        sums = inputs @ np.array(self.weights) + self.level_weight * levels + self.bias
        return sums * np.minimum(1.0, self.per_s * steps_s[skipped:])


@dataclass(frozen=True)
class DecoderModel:
    """All parameters of the decoder.

    Attributes:
        rest, flip: durations of the two states.
        evidence: emission weights.
        flip_after_flip: share of the flips that another one follows without a rest.
        learnt_from: provenance, for people.
    """

    rest: Durations
    flip: Durations
    evidence: EmissionWeights
    flip_after_flip: float
    learnt_from: dict

    @property
    def states(self) -> tuple[Durations, Durations]:
        """Durations by state: REST, FLIP."""
        return self.rest, self.flip


def interpolate_around(values: np.ndarray, times_s: np.ndarray, offsets_s: tuple[float, ...]) -> np.ndarray:
    """Interpolate values linearly at offsets from each frame, constant beyond the ends: float64 [N, offsets]."""
    return np.stack([np.interp(times_s + offset, times_s, values) for offset in offsets_s], axis=1)


def resting_levels(
    log_odds: np.ndarray, times_s: np.ndarray, level_s: float, quantile: float, skipped: int = 0
) -> np.ndarray:
    """Return a quantile of the log-odds within `level_s` of each frame, at most HIGHEST_LEVEL: float64 [N - skipped].

    The level changes slowly: it is computed once for each LEVEL_STEP_S of the recording's clock.
    """
    steps = np.floor(times_s[skipped:] / LEVEL_STEP_S)
    levels = np.empty(len(steps))
    for step in np.unique(steps):
        middle = (step + 0.5) * LEVEL_STEP_S
        first, after = np.searchsorted(times_s, [middle - level_s, middle + level_s])
        ranked = np.sort(log_odds[first : max(after, first + 1)])
        levels[steps == step] = min(ranked[int(quantile * (len(ranked) - 1))], HIGHEST_LEVEL)
    return levels


def to_json(model: DecoderModel) -> str:
    """Return the content of the parameter file."""
    return json.dumps({"format": FORMAT, **asdict(model)}, indent=1) + "\n"


def load_decoder_model(path: Path) -> DecoderModel:
    """Load the parameters.

    Raises:
        DataError: the file is missing or has another format.
    """
    remedy = "restore it (`git checkout`), or run `python -m tasks.learn_events`."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        evidence = content.pop("evidence")
        offsets_s, weights = (tuple(evidence.pop(name)) for name in ("offsets_s", "weights"))
        rest, flip = (Durations(**content.pop(name)) for name in ("rest", "flip"))
        return DecoderModel(rest, flip, EmissionWeights(offsets_s, weights, **evidence), **content)
    except FileNotFoundError:
        raise DataError(f"there is no {path}", remedy) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} holds no decoder parameters: {error}", remedy) from None
