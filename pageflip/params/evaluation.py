"""Section `evaluate`."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share


class Temperature(Section):
    """Bounds of temperature scaling; with fewer than `min_groups` validation groups of a label the temperature is 1."""

    lowest: Annotated[float, Field(gt=0, le=1)]
    highest: Annotated[float, Field(ge=1, le=100)]
    min_groups: Annotated[int, Field(ge=2)]


class Threshold(Section):
    """Goal of the threshold choice on validation: a precision, a recall or, with neither, the best F1."""

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
    """Label-preserving change of a frame."""

    brightness: Annotated[float, Field(ge=-0.9, le=2)] = 0  # share added to every value
    warmth: Annotated[float, Field(ge=-0.9, le=0.9)] = 0  # share added to red and taken from blue
    saturation: Annotated[float, Field(ge=-1, le=2)] = 0  # share added to the distance from grey: -1 is grey
    mirror: bool = False
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0  # standard deviation in frame widths


class Shortcuts(Section):
    """Shortcut test: changes that must not cost more than `max_loss` points of F1 on the test part."""

    max_loss: Annotated[float, Field(ge=0, le=100)]
    changes: dict[Annotated[str, Field(min_length=1)], Change]


class Evaluate(Section):
    """Evaluation on the test part.

    Attributes:
        bootstrap_samples: of the confidence intervals.
        worst_mistakes: number of the most confident errors in the report.
        review_error_rate: highest error rate above, and below, the review band of probabilities.
    """

    bootstrap_samples: Count
    seed: Seed
    worst_mistakes: Annotated[int, Field(ge=0)]
    temperature: Temperature
    threshold: Threshold
    review_error_rate: Share
    shortcuts: Shortcuts
