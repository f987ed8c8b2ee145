"""Section `validate`."""

from typing import Annotated

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Share


class Validate(Section):
    """Limits of the data checks: `min_*` and shares stop the pipeline, `warn_*` are only reported.

    Attributes:
        brightness: range of a frame's mean grey level, 0..255.
        brightness_share: share of the frames that must lie in `brightness`.
    """

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
    def _brightness_is_a_range(self) -> "Validate":
        if self.brightness[0] > self.brightness[1]:
            raise ValueError(f"brightness is {list(self.brightness)}, and must be [lowest, highest]")
        return self
