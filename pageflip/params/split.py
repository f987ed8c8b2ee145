"""Section `split`."""

from typing import Annotated, Literal

from pydantic import Field

from pageflip.params.sections import Section, Seed, Shares


class Split(Section):
    """Split of the frames into train, validation and test part.

    Attributes:
        unit: what is never divided between parts, near-duplicates aside.
        protocol: `grouped`, or `supplied`: the archive's own folders, whose parts share clips.
        near_duplicate_bits: Hamming distance of two perceptual hashes up to which their clips form one group.
    """

    unit: Literal["clip", "book"]
    protocol: Literal["grouped", "supplied"]
    shares: Shares
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    seed: Seed
