"""Section of the pretrained model day-zero and of its compact companion."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from pageflip.params.prepare import Prepare
from pageflip.params.sections import Count, Section, Seed, Share, Shares
from pageflip.params.training import Augment, CnnSettings, EfficientNetLite0Settings, Fit


class Imitation(Section):
    """Feature distillation from day-zero into the compact network, before its own training.

    `augment` must be photometric: day-zero's features belong to the frame as it was.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(ge=0)]
    augment: Augment

    @model_validator(mode="after")
    def _augment_is_photometric(self) -> "Imitation":
        names = ("shift", "zoom", "rotate", "mirror", "stretch", "shear", "perspective", "zoom_in", "occlusion")
        moving = [name for name in names if getattr(self.augment, name)]
        if moving:
            raise ValueError(f"augment.{moving[0]} moves or covers parts of the frame, and must be off")
        return self


class Compact(Section):
    """Distillation of day-zero into the network `cnn`, on the same drawn frames.

    Attributes:
        imitation: the first phase, on day-zero's features.
        teacher_share: weight of day-zero's probabilities in the labels of the second phase, against the true labels.
        fit: training loop of the second phase, which augments by `day_zero.augment`.
    """

    network: CnnSettings
    imitation: Imitation
    teacher_share: Share
    fit: Fit


class DayZero(Section):
    """Model pretrained on drawn frames (`make day-zero`), which needs no labels of the user.

    Attributes:
        seed: of the first book; must leave a distance to the seeds of all other drawn sets.
        width: of the drawn frames, in pixels.
        height: of the drawn frames, in pixels.
        quality: JPEG quality of the drawn frames.
        ranges: overrides of `synthesize.ranges`.
        shares: of the books.
        prepare: size of the model's input.
        threshold_tolerance: F1 on validation given up for a threshold far from both classes, since real frames differ
            from drawn ones.
    """

    seed: Seed
    books: Annotated[int, Field(ge=3)]
    clips_per_book: Annotated[int, Field(ge=2)]
    frames_per_clip: Annotated[int, Field(ge=2)]
    width: Annotated[int, Field(ge=64)]
    height: Annotated[int, Field(ge=64)]
    quality: Annotated[int, Field(ge=1, le=100)]
    ranges: dict[str, Any] = Field(default_factory=dict)  # checked by pageflip.synthetic.ranges, which knows the keys
    shares: Shares
    prepare: Prepare
    threshold_tolerance: Share
    network: EfficientNetLite0Settings
    fit: Fit
    augment: Augment
    compact: Compact | None = None
