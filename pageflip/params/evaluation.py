"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share, Shares

PROTOCOLS = ("clip-disjoint", "leave-one-book-out", "later-frames", "supplied")


class Temperature(Section):
    """Bounds of the calibrating temperature; below `min_groups` groups of either label on validation it stays 1."""

    lowest: Annotated[float, Field(gt=0, le=1)]
    highest: Annotated[float, Field(ge=1, le=100)]
    min_groups: Annotated[int, Field(ge=2)]


class Threshold(Section):
    """What the threshold is chosen for, on validation: the best F1, or a precision or recall that is to be reached."""

    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    recall: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_one_of_three(cls, value: Any) -> Any:
        if value == "f1" or isinstance(value, cls):
            return {} if value == "f1" else value
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError("must be f1, {precision: SHARE} or {recall: SHARE}")
        return value


class Change(Section):
    """A change of a frame that leaves its label as it is; the strengths of what is left out are 0."""

    brightness: Annotated[float, Field(ge=-0.9, le=2)] = 0  # share added to every value
    warmth: Annotated[float, Field(ge=-0.9, le=0.9)] = 0  # share added to red and taken from blue
    saturation: Annotated[float, Field(ge=-1, le=2)] = 0  # share added to the distance from grey: -1 is grey
    mirror: bool = False
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0  # standard deviation in frame widths


class Shortcuts(Section):
    """Changes that must not cost F1 on the test part: a loss of more than `max_loss` points is flagged."""

    max_loss: Annotated[float, Field(ge=0, le=100)]
    changes: dict[Annotated[str, Field(min_length=1)], Change]


class Evaluate(Section):
    """The evaluation: interval, calibration, threshold, review band, shortcut test, report."""

    bootstrap_samples: Count
    seed: Seed
    worst_mistakes: Annotated[int, Field(ge=0)]
    temperature: Temperature
    threshold: Threshold
    review_error_rate: Share  # wanted at most, on either side of the review band
    shortcuts: Shortcuts


class Protocols(Section):
    """What `pageflip benchmark-protocols` measures: networks as in `train`, the bootstrap as in `evaluate`.

    Near-duplicates are told as in `split`; the threshold is always that of the best F1 on validation.

    `folds` is for clip-disjoint; each of `seeds` is one more round of all folds. `val_share` of the frames
    that are not tested choose epoch and threshold. `later_frames` are shares of each clip's frames, in order of time.
    """

    run: Annotated[tuple[Literal[PROTOCOLS], ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2, le=50)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    val_share: Annotated[float, Field(ge=0.05, le=0.5)]
    later_frames: Shares
