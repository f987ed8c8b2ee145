"""Sections of the scoring of uploads and of the page stills."""

from typing import Annotated

from pydantic import Field

from pageflip.params.sections import Count, Section, Share


class Stills(Section):
    """Choice of one frame of each rest between flips as the page still.

    Attributes:
        candidates: largest number of frames of a rest that are compared, evenly spaced.
        margin_s: seconds beside a flip from which no frame is taken.
        shortest_s: seconds; shorter rests have no still.
        compared: number of earlier stills that a still is compared with; of two that show the same pages the better one
            is kept.
        same_correlation: correlation from which two textured tiles agree.
        same_share: two stills show the same pages when their share of agreeing tiles is at least this share of the one
            between the two halves of a rest.
        quality: JPEG quality of the stills of videos.
    """

    candidates: Annotated[int, Field(ge=1, le=200)] = 16
    margin_s: Annotated[float, Field(ge=0)] = 0.07
    shortest_s: Annotated[float, Field(ge=0)] = 0.1
    compared: Annotated[int, Field(ge=0)] = 12
    same_correlation: Share = 0.85
    same_share: Share = 0.82
    quality: Annotated[int, Field(ge=1, le=100)] = 95


class ScoreUploads(Section):
    """Scoring of uploads.

    Attributes:
        settle_seconds: age from which a file counts as completely uploaded.
        uploads_per_shard: uploads of one scoring task.
    """

    settle_seconds: Annotated[float, Field(ge=0)]
    uploads_per_shard: Count
