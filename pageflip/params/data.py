"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share, Shares


class Prepare(Section):
    """Size in pixels at which frames are packed, and so seen by the model."""

    width: Annotated[int, Field(ge=16, le=2048)]
    height: Annotated[int, Field(ge=16, le=2048)]


class Validate(Section):
    """Limits of the data checks: `min_*` and shares stop the pipeline, `warn_*` do not."""

    min_decodable_share: Share
    min_width: Count
    min_height: Count
    min_clips_per_label: Count
    warn_clips_per_label: Count
    warn_clips_per_book: Count
    min_frames_per_clip: Count
    warn_frames_per_clip: Count
    brightness: tuple[Annotated[float, Field(ge=0, le=255)], Annotated[float, Field(ge=0, le=255)]]
    brightness_share: Share

    @model_validator(mode="after")
    def _brightness_ascends(self) -> "Validate":
        if self.brightness[0] > self.brightness[1]:
            raise ValueError(f"brightness is {list(self.brightness)}, and must be [lowest, highest]")
        return self


class Split(Section):
    """How frames are dealt to train, val and test."""

    unit: Literal["clip", "book"]
    protocol: Literal["grouped", "supplied"]
    shares: Shares
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    seed: Seed
