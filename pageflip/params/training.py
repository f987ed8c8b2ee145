"""Sections for training: the training loop, augmentation, and the networks."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share

NetworkName = Literal["cnn", "efficientnet_lite0", "mobilenet_v2", "resnet18"]
RENAMED_FIT_KEYS = {
    "keep_initial": "initial_weight_share",
    "ema": "ema_decay",
    "body_learning_rate": "body_learning_rate_share",
}


class Fit(Section):
    """Training loop.

    Attributes:
        epochs: upper limit; early stopping may end the training before.
        patience: epochs without a better validation score before early stopping.
        batch_size: frames in a batch of one device.
        learning_rate: peak of the schedule, for the head.
        weight_decay: of AdamW.
        label_smoothing: 0 is off.
        ema_decay: decay of the exponential moving average of the weights, which is then validated and saved; 0 is off.
        body_learning_rate_share: learning rate of all layers but the head, as a share of `learning_rate`.
        head_epochs: epochs at the start in which only the head is trained.
        initial_weight_share: interpolate the final weights with the initial ones (WiSE-FT, Wortsman et al. 2022): share
            of the initial ones; 0 is off.
        compile: use torch.compile, which takes a minute at the start and needs a C++ compiler.
        device_memory_share: share of a GPU's free memory for frames that stay there for the whole training; with 0,
            batches are copied one by one, ahead of use.
        devices: of each node; `auto` is all that are found.
        strategy: several devices always use DDP.
        require_gpu: fail where no GPU is found.
    """

    RENAMED: ClassVar[dict[str, str]] = RENAMED_FIT_KEYS

    epochs: Count
    patience: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0
    body_learning_rate_share: Share = 1
    head_epochs: Annotated[int, Field(ge=0)] = 0
    initial_weight_share: Share = 0
    compile: bool = False
    device_memory_share: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Literal["auto"] | Count = 1
    num_nodes: Count = 1
    strategy: Literal["auto", "ddp"] = "auto"
    require_gpu: bool


class FitChanges(Section):
    """Overrides of `train.fit` for one network; None keeps the value of `train.fit`."""

    RENAMED: ClassVar[dict[str, str]] = RENAMED_FIT_KEYS

    epochs: Count | None = None
    patience: Count | None = None
    batch_size: Count | None = None
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    body_learning_rate_share: Share | None = None
    head_epochs: Annotated[int, Field(ge=0)] | None = None
    initial_weight_share: Share | None = None
    compile: bool | None = None

    def applied_to(self, fit: Fit) -> Fit:
        """Return `fit` with these overrides."""
        return fit.model_copy(update=self.model_dump(exclude_none=True))


class Augment(Section):
    """Strengths of the training augmentation; 0 turns one off.

    Angles are in degrees, shifts are shares of the frame, other lengths are in frame widths. `grey`, `channel_swap` and
    `sharpen` are shares of the frames.
    """

    RENAMED: ClassVar[dict[str, str]] = {
        "swap": "channel_swap",
        "chroma": "chroma_noise",
        "slope": "light_gradient",
        "closer": "zoom_in",
        "patches": "occlusion",
    }

    brightness: Share
    contrast: Share
    colour: Share
    gamma: Share
    noise: Share
    shift: Share
    zoom: Share
    rotate: Annotated[float, Field(ge=0, le=45)]
    mirror: bool
    saturation: Share = 0
    hue: Annotated[float, Field(ge=0, le=180)] = 0
    grey: Share = 0  # converted to grey
    channel_swap: Share = 0  # red, green and blue permuted
    chroma_noise: Share = 0  # low-frequency colour noise
    light: Share = 0  # patches of light and bands of shadow
    light_gradient: Share = 0  # linear change of brightness over the frame
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0  # motion blur: standard deviation along its direction
    sharpen: Share = 0
    resolution: Annotated[float, Field(ge=0, le=8)] = 0  # scaled down by 1 to 1 + this, and up again
    stretch: Share = 0  # change of the aspect ratio
    shear: Share = 0
    perspective: Annotated[float, Field(ge=0, le=0.4)] = 0
    zoom_in: Share = 0  # in addition to `zoom`, towards the book only, which then exceeds the frame
    occlusion: Share = 0  # size of ellipses that cover parts of the frame; half of them are skin-coloured


class CnnSettings(Section):
    """Compact convolutional network.

    Attributes:
        channels: of each block; the first works at a quarter of the frame's resolution, each further one at half of the
            resolution before.
        dropout: before the head.
        initial: weights to start from: `none`, `day-zero` (made for the channels of the default), or the path or s3://
            address of a file.
    """

    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)] = "none"


class EfficientNetLite0Settings(Section):
    """EfficientNet-Lite0, cut off after some of its stages.

    Attributes:
        stages: number of stages that are kept, of 7.
        last: channels of the convolution before the head; 0 is none.
        frozen: number of stages, with the stem, that are not trained.
        dropout: before the head.
        initial: weights to start from: `none`, `imagenet`, `day-zero`, or the path or s3:// address of a file.
    """

    stages: Annotated[int, Field(ge=1, le=7)]
    last: Annotated[int, Field(ge=0)]
    frozen: Annotated[int, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _frozen_stages_exist(self) -> "EfficientNetLite0Settings":
        if self.frozen > self.stages:
            raise ValueError(f"frozen is {self.frozen}, and must be at most stages, {self.stages}")
        return self


class _TorchvisionSettings(Section):
    """Network of torchvision.

    Attributes:
        dropout: before the head.
        initial: weights to start from: `none`, `imagenet`, or the path or s3:// address of a file.
        frozen: number of its parts, from the input on, that are not trained.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)]


class MobileNetV2Section(_TorchvisionSettings):
    """MobileNetV2 and its overrides of `train.fit`."""

    frozen: Annotated[int, Field(ge=0, le=19)]
    fit: FitChanges = FitChanges()


class ResNet18Section(_TorchvisionSettings):
    """ResNet18 and its overrides of `train.fit`."""

    frozen: Annotated[int, Field(ge=0, le=8)]
    fit: FitChanges = FitChanges()


class CnnSection(CnnSettings):
    """Compact network and its overrides of `train.fit`."""

    fit: FitChanges = FitChanges()


class EfficientNetLite0Section(EfficientNetLite0Settings):
    """EfficientNet-Lite0 and its overrides of `train.fit`."""

    fit: FitChanges = FitChanges()


class Networks(Section):
    """Settings of each network, by its name in `pageflip.networks.build`."""

    cnn: CnnSection
    efficientnet_lite0: EfficientNetLite0Section
    mobilenet_v2: MobileNetV2Section
    resnet18: ResNet18Section


class Train(Section):
    """Networks to train, and how."""

    models: Annotated[tuple[NetworkName, ...], Field(min_length=1)]
    seed: Seed
    fit: Fit
    augment: Augment
    networks: Networks
