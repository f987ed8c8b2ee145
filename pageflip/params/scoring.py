"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated

from pydantic import Field

from pageflip.params.sections import Count, Section, Share


class Stills(Section):
    """Which frame of each rest is kept as the page's still.

    At most `candidates` frames of a rest are looked at, spread evenly over what is `margin_s` away from flips; rests
    under `shortest_s` have none. A still that shows the same pages as one of the `compared` before it is the same page:
    the better one is kept. Two stills show the same pages when the share of their textured tiles that agree by a
    correlation of `same_correlation` is `same_share` of what it is between the halves of one rest.
    """

    candidates: Annotated[int, Field(ge=1, le=200)] = 16
    margin_s: Annotated[float, Field(ge=0)] = 0.07
    shortest_s: Annotated[float, Field(ge=0)] = 0.1
    compared: Annotated[int, Field(ge=0)] = 12
    same_correlation: Share = 0.85
    same_share: Share = 0.82
    quality: Annotated[int, Field(ge=1, le=100)] = 95  # of the JPEG of a video's frame


class ScoreUploads(Section):
    """How uploads are picked up."""

    settle_seconds: Annotated[float, Field(ge=0)]
    uploads_per_shard: Count
