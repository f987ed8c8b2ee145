"""Section `protocols`."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from pageflip.params.sections import Section, Seed, Shares

ProtocolName = Literal["clip-disjoint", "leave-one-book-out", "later-frames", "supplied"]
PROTOCOLS: tuple[str, ...] = get_args(ProtocolName)


class Protocols(Section):
    """Protocol benchmark (`pageflip benchmark-protocols`).

    Networks are those of `train`, the bootstrap that of `evaluate`, near-duplicates those of `split`; the threshold is
    always that of the best F1 on validation.

    Attributes:
        run: protocols to run.
        folds: of clip-disjoint.
        seeds: each adds one repetition of all folds.
        val_share: validation share of the frames that are not tested.
        later_frames: shares of each clip's frames, in order of time.
    """

    run: Annotated[tuple[ProtocolName, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2, le=50)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    val_share: Annotated[float, Field(ge=0.05, le=0.5)]
    later_frames: Shares
