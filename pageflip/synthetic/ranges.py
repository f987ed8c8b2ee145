"""Parameters of synthetic footage: the section `synthesize` of params.yaml.

A pair is [lowest, highest], sampled uniformly; a share is a probability; a table of weights is a weighted choice.
Lengths are in picture widths, angles in degrees, times in frames of 1/30 s.
"""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pageflip.params.load import parse, read_yaml
from pageflip.params.sections import Share

Weight = Annotated[float, Field(ge=0)]
Pair = tuple[float, float]


def sample(rng: np.random.Generator, pair: Pair) -> float:
    """Draw a number uniformly from [lowest, highest]."""
    return float(rng.uniform(*pair))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"{name} is {list(value)}, and must be [lowest, highest]")
        return self


class _Weights(_Section):
    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if not sum(self.table().values()) > 0:
            raise ValueError("all weights are 0; give at least one a number above 0")
        return self

    def table(self) -> dict[str, float]:
        """Return the weights by name."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class FlipKinds(_Weights):
    """Weights of the part of a flip that a clip shows; parts make slow and sharp lifts as common as fast motion."""

    whole: Weight = 0.36
    lift: Weight = 0.18  # the first corner or edge only: slow and often sharp
    begin: Weight = 0.12
    middle: Weight = 0.08
    landing: Weight = 0.10
    aborted: Weight = 0.08  # lifted and put back
    hover: Weight = 0.06  # held still in the air


class StillKinds(_Weights):
    """Weights of the turning hand's actions while all pages lie flat: hard negatives."""

    enter: Weight = 0.13  # comes to the corner
    leave: Weight = 0.13
    rest: Weight = 0.15  # lies at or near the corner or the outer edge
    under: Weight = 0.12  # a finger below the edge of a lying page
    point: Weight = 0.10
    smooth: Weight = 0.11  # strokes the page flat
    sweep: Weight = 0.13  # passes over the page, fast and blurred
    hold: Weight = 0.06  # holds the book's outer edge
    none: Weight = 0.07


class FlipRanges(_Section):
    """Motion of pages."""

    clip: FlipKinds = FlipKinds()
    duration: Pair = (14, 40)  # of a whole flip
    corner: Pair = (0, 50)  # angle between the spine and the line about which a lifted corner bends
    stiffness: Pair = (0.08, 0.8)  # share of the lifted part that is bent; the rest is straight
    backward: Share = 0.12
    two_sheets: Share = 0.08
    hidden_hand: Share = 0.14
    pause: Share = 0.3
    aborted: Share = 0.1  # of the flips in videos
    rest: Pair = (14, 48)  # between the flips of a video


class BookRanges(_Section):
    """The book and how it lies."""

    page_width: Pair = (0.38, 0.6)
    page_ratio: Pair = (1.25, 1.9)  # height over width
    spine_x: Pair = (0.36, 0.62)
    spine_y: Pair = (0.36, 0.50)  # of the picture's height
    turn: Pair = (-6, 6)
    thickness: Pair = (0.01, 0.2)  # of all pages together
    bulge: Pair = (0.005, 0.1)  # height of the arch of the pages beside the spine
    hardcover: Share = 0.35  # the cover is larger than the pages
    mirrored: Share = 0.25  # read from right to left, turned with the left hand
    wavy: Share = 0.25  # lying pages that are not flat


class CameraRanges(_Section):
    """The phone above the desk."""

    distance: Pair = (1.15, 2.0)
    tilt: Pair = (-4, 20)  # towards the reader
    roll: Pair = (-3, 3)
    shake: Pair = (0.0002, 0.003)
    nudge: Share = 0.25
    exposure: Pair = (0.05, 0.95)  # time that the shutter is open
    metering: Pair = (115, 172)  # mean grey level that the phone exposes for
    defocus: Share = 0.25
    noise: Pair = (0.5, 5.0)  # standard deviation in grey levels
    recompressed: Share = 0.3  # clips with an earlier, low-quality JPEG compression


class LightRanges(_Section):
    """The light on the desk."""

    exposure: Pair = (0.85, 1.15)  # factor on the exposure that the phone chooses
    warmth: Pair = (-0.1, 0.12)
    falloff: Pair = (0.0, 0.28)
    ambient: Pair = (0.45, 0.95)  # brightness of paper that faces away from the light
    glow: Pair = (0.0, 0.55)  # how far light from behind washes out the print of a sheet in the air
    patches: Share = 0.6  # window light on the desk
    shadow: Share = 0.45  # of the person
    drift: Share = 0.35  # the light changes during the clip


class HandRanges(_Section):
    """The hands."""

    still: StillKinds = StillKinds()
    pinning: Share = 0.78
    length: Pair = (0.38, 0.58)


class Ranges(_Section):
    """All that a scene is sampled from."""

    flips: FlipRanges = FlipRanges()
    book: BookRanges = BookRanges()
    camera: CameraRanges = CameraRanges()
    light: LightRanges = LightRanges()
    hands: HandRanges = HandRanges()


DEFAULT_RANGES = Ranges()


class Synthesize(_Section):
    """The section `synthesize`: how much to draw, how large, and from which ranges."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7
    books: Annotated[int, Field(ge=1)] = 9
    clips_per_book: Annotated[int, Field(ge=2)] = 20
    frames_per_clip: Annotated[int, Field(ge=2)] = 8
    width: Annotated[int, Field(ge=64)] = 1080
    height: Annotated[int, Field(ge=64)] = 1920
    quality: Annotated[int, Field(ge=1, le=100)] = 88
    ranges: Ranges = Ranges()


def load_synthesize(path: Path) -> Synthesize:
    """Read the section `synthesize` of a params file.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, or a value is out of its range.
    """
    content = read_yaml(path)
    section = content.get("synthesize", {}) if isinstance(content, dict) else content
    return parse(Synthesize, section, path, "the keys and their ranges are in pageflip/synthetic/ranges.py.")
