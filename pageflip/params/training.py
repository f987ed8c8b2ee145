"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share

NetworkName = Literal["cnn", "efficientnet_lite0", "mobilenet_v2", "resnet18"]


class Fit(Section):
    """The training loop.

    With several devices or nodes each takes its share of every epoch's frames, and `batch_size` is that of one device.
    """

    epochs: Count
    patience: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0  # decay of the running mean of the weights; 0 is off
    body_learning_rate: Annotated[float, Field(ge=0, le=1)] = 1  # share of learning_rate for all but the head
    head_epochs: Annotated[int, Field(ge=0)] = 0  # at first only the head learns
    keep_initial: Share = 0  # of the initial weights, which the trained ones are blended with at the end
    compile: bool = False  # by torch.compile: a minute at the start, faster steps on a GPU
    # of a GPU's free memory that the frames may take, which then stay there; 0: batches are copied ahead, one by one
    device_memory_share: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Literal["auto"] | Count = 1  # of each node; auto is all that are seen
    num_nodes: Count = 1
    strategy: Literal["auto", "ddp"] = "auto"  # several devices always use ddp
    require_gpu: bool


class FitChanges(Section):
    """What one network needs otherwise than `train.fit` says; what is left out stays."""

    epochs: Count | None = None
    patience: Count | None = None
    batch_size: Count | None = None
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    body_learning_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    head_epochs: Annotated[int, Field(ge=0)] | None = None
    keep_initial: Share | None = None
    compile: bool | None = None

    def applied_to(self, fit: Fit) -> Fit:
        """The training loop of this network."""
        return fit.model_copy(update=self.model_dump(exclude_none=True))


class Augment(Section):
    """Strengths of the training augmentation; 0 turns one off.

    Angles are in degrees, shifts shares of the frame, other lengths frame widths; `grey`, `swap` and `sharpen` are
    shares of the frames.
    """

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
    grey: Share = 0  # without any colour
    swap: Share = 0  # with their three colours in another order
    chroma: Share = 0  # noise in blotches of colour
    light: Share = 0  # patches of light and bands of shadow
    slope: Share = 0  # of the light over the frame
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0  # standard deviation along its direction
    sharpen: Share = 0
    resolution: Annotated[float, Field(ge=0, le=8)] = 0  # scaled down by 1 to 1 + this, and up again
    stretch: Share = 0  # width against height
    shear: Share = 0
    perspective: Annotated[float, Field(ge=0, le=0.4)] = 0
    closer: Share = 0  # further zoom, towards the book only: it then leaves the frame
    patches: Share = 0  # size of ellipses that cover parts, every second of the colour of skin


class Cnn(Section):
    """The compact convolutional network: the first of `channels` at a quarter of the frame, each further at half of it.

    `initial` names the weights that training starts from: none, day-zero (of the channels that it was made with), or
    the path or s3:// address of a file.
    """

    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)] = "none"


class EfficientNetLite0(Section):
    """EfficientNet-Lite0 up to stage `stages`, a last convolution to `last` channels (0: none), the first not trained.

    `initial` names the weights that training starts from: none, imagenet, day-zero, or the path or s3:// address of a
    file.
    """

    stages: Annotated[int, Field(ge=1, le=7)]
    last: Annotated[int, Field(ge=0)]
    frozen: Annotated[int, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _frozen_are_there(self) -> "EfficientNetLite0":
        if self.frozen > self.stages:
            raise ValueError(f"frozen is {self.frozen}, and must be at most stages, {self.stages}")
        return self


class _Torchvision(Section):
    """A network of torchvision, of which the first `frozen` parts are not trained.

    `initial` names the weights that training starts from: none, imagenet, or the path or s3:// address of a file.
    """

    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)]


class TrainedMobileNetV2(_Torchvision):
    """MobileNetV2, and how it is trained."""

    frozen: Annotated[int, Field(ge=0, le=19)]
    fit: FitChanges = FitChanges()


class TrainedResNet18(_Torchvision):
    """ResNet18, and how it is trained."""

    frozen: Annotated[int, Field(ge=0, le=8)]
    fit: FitChanges = FitChanges()


class TrainedCnn(Cnn):
    """The compact network, and how it is trained."""

    fit: FitChanges = FitChanges()


class TrainedEfficientNetLite0(EfficientNetLite0):
    """EfficientNet-Lite0, and how it is trained."""

    fit: FitChanges = FitChanges()


class Networks(Section):
    """The settings of each network, by its registry name."""

    cnn: TrainedCnn
    efficientnet_lite0: TrainedEfficientNetLite0
    mobilenet_v2: TrainedMobileNetV2
    resnet18: TrainedResNet18


class Train(Section):
    """Which models are trained, and how."""

    models: Annotated[tuple[NetworkName, ...], Field(min_length=1)]
    seed: Seed
    fit: Fit
    augment: Augment
    networks: Networks
