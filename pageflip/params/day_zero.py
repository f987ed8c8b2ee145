"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated, Any

from pydantic import Field, model_validator

from pageflip.params.data import Prepare
from pageflip.params.sections import Count, Section, Seed, Share, Shares
from pageflip.params.training import Augment, Cnn, EfficientNetLite0, Fit


class Imitation(Section):
    """How the compact network learns to see what day-zero sees, before it is trained itself.

    `augment` must not move anything in the frame, nor cover it: day-zero saw it where it was.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(ge=0)]
    augment: Augment

    @model_validator(mode="after")
    def _nothing_moves(self) -> "Imitation":
        names = ("shift", "zoom", "rotate", "mirror", "stretch", "shear", "perspective", "closer", "patches")
        moving = [name for name in names if getattr(self.augment, name)]
        if moving:
            raise ValueError(f"augment.{moving[0]} moves or covers what the network is to see, and must be off")
        return self


class Compact(Section):
    """The weights of `cnn` that stand beside day-zero, learnt from it on the same drawn frames.

    First it imitates day-zero's features; then it is trained with `day_zero.augment`, on labels that are to a share
    `teacher_share` day-zero's probabilities.
    """

    network: Cnn
    imitation: Imitation
    teacher_share: Share
    fit: Fit


class DayZero(Section):
    """The model that is there before any labels: what is drawn for it, and how it is trained (`make day-zero`).

    What scenes are drawn from stands in `synthesize.ranges`, but for the keys in `ranges`.
    """

    seed: Seed
    books: Annotated[int, Field(ge=3)]
    clips_per_book: Annotated[int, Field(ge=2)]
    frames_per_clip: Annotated[int, Field(ge=2)]
    width: Annotated[int, Field(ge=64)]
    height: Annotated[int, Field(ge=64)]
    quality: Annotated[int, Field(ge=1, le=100)]
    ranges: dict[str, Any] = Field(default_factory=dict)  # checked by pageflip.synthetic.ranges when something is drawn
    shares: Shares
    prepare: Prepare
    threshold_tolerance: Share
    network: EfficientNetLite0
    fit: Fit
    augment: Augment
    compact: Compact | None = None
