"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pageflip.base.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Model = TypeVar("Model", bound=BaseModel)
NetworkName = Literal["cnn", "efficientnet_lite0", "mobilenet_v2", "resnet18"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy and scikit-learn refuse others
PROTOCOLS = ("clip-disjoint", "leave-one-book-out", "later-frames", "supplied")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prepare(_Section):
    """Size in pixels at which frames are packed, and so seen by the model."""

    width: Annotated[int, Field(ge=16, le=2048)]
    height: Annotated[int, Field(ge=16, le=2048)]


class Validate(_Section):
    """Limits of the data checks: `min_*` and shares stop the pipeline, `warn_*` do not."""

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
    def _brightness_ascends(self) -> "Validate":
        if self.brightness[0] > self.brightness[1]:
            raise ValueError(f"brightness is {list(self.brightness)}, and must be [lowest, highest]")
        return self


class Shares(_Section):
    """Shares of the frames for each part; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_is_one(self) -> "Shares":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test is {total:g}, and must be 1")
        return self


class Split(_Section):
    """How frames are dealt to train, val and test."""

    unit: Literal["clip", "book"]
    protocol: Literal["grouped", "supplied"]
    shares: Shares
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    seed: Seed


class Fit(_Section):
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


class FitChanges(_Section):
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


class Augment(_Section):
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


class Cnn(_Section):
    """The compact convolutional network: the first of `channels` at a quarter of the frame, each further at half of it.

    `initial` names the weights that training starts from: none, day-zero (of the channels that it was made with), or
    the path or s3:// address of a file.
    """

    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    initial: Annotated[str, Field(min_length=1)] = "none"


class EfficientNetLite0(_Section):
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


class _Torchvision(_Section):
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


class Networks(_Section):
    """The settings of each network, by its registry name."""

    cnn: TrainedCnn
    efficientnet_lite0: TrainedEfficientNetLite0
    mobilenet_v2: TrainedMobileNetV2
    resnet18: TrainedResNet18


class Train(_Section):
    """Which models are trained, and how."""

    models: Annotated[tuple[NetworkName, ...], Field(min_length=1)]
    seed: Seed
    fit: Fit
    augment: Augment
    networks: Networks


class Temperature(_Section):
    """Bounds of the calibrating temperature; below `min_groups` groups of either label on validation it stays 1."""

    lowest: Annotated[float, Field(gt=0, le=1)]
    highest: Annotated[float, Field(ge=1, le=100)]
    min_groups: Annotated[int, Field(ge=2)]


class Threshold(_Section):
    """What the threshold is chosen for, on validation: the best F1, or a precision or recall that is to be reached."""

    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    recall: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_one_of_three(cls, value: Any) -> Any:
        if value == "f1" or isinstance(value, cls):
            return {} if value == "f1" else value
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError("must be f1, {precision: SHARE} or {recall: SHARE}")
        return value


class Change(_Section):
    """A change of a frame that leaves its label as it is; the strengths of what is left out are 0."""

    brightness: Annotated[float, Field(ge=-0.9, le=2)] = 0  # share added to every value
    warmth: Annotated[float, Field(ge=-0.9, le=0.9)] = 0  # share added to red and taken from blue
    saturation: Annotated[float, Field(ge=-1, le=2)] = 0  # share added to the distance from grey: -1 is grey
    mirror: bool = False
    blur: Annotated[float, Field(ge=0, le=0.1)] = 0  # standard deviation in frame widths


class Shortcuts(_Section):
    """Changes that must not cost F1 on the test part: a loss of more than `max_loss` points is flagged."""

    max_loss: Annotated[float, Field(ge=0, le=100)]
    changes: dict[Annotated[str, Field(min_length=1)], Change]


class Evaluate(_Section):
    """The evaluation: interval, calibration, threshold, review band, shortcut test, report."""

    bootstrap_samples: Count
    seed: Seed
    worst_mistakes: Annotated[int, Field(ge=0)]
    temperature: Temperature
    threshold: Threshold
    review_error_rate: Share  # wanted at most, on either side of the review band
    shortcuts: Shortcuts


class Int8(_Section):
    """The int8 file: frames of the train part that set its ranges, and the F1 it may lose on validation, in points."""

    calibration_frames: Count
    max_f1_loss: Annotated[float, Field(ge=0, le=100)]


class Register(_Section):
    """The registered model's name, the limits of the export's checks, and runs that its latency is the median of."""

    model_name: str
    parity_frames: Count
    max_parity_error: Annotated[float, Field(gt=0)]
    latency_runs: Count
    int8: Int8


class Override(_Section):
    """One version that is promoted though the gate says no; the reason goes into the journal of alias moves."""

    version: Count
    reason: Annotated[str, Field(min_length=1)]


class Promote(_Section):
    """What a candidate must show on the test split before the alias `champion` moves to it; 0 turns a limit off.

    `min_book_f1` holds for each book with frames of both labels, where books are known. `max_latency_ms` is the median
    of single frames on one core of the machine that promotes. The candidate takes the champion's place when a paired
    bootstrap over groups gives at least `min_probability` that its F1 is at most `f1_margin` lower.

    `approval` is `automatic`, or `manual`: a person must approve before the champion changes, in Airflow's task
    approve_promotion, or outside Airflow by PAGEFLIP_APPROVED_BY. Either way the gate decides too. It changes no
    comparison, so the stage does not depend on it.
    """

    min_f1: Share
    approval: Literal["automatic", "manual"]
    min_book_f1: Share
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    f1_margin: Share
    min_probability: Share
    bootstrap_samples: Count
    seed: Seed
    override: Override | None = None


class TemporalTraining(_Section):
    """How the temporal network is trained (`make events`); `width` is that of its convolutions over time.

    Each of `steps` takes `windows` stretches of `window` frames, or, for a `short_share` of the steps, more of them and
    shorter, down to `shortest` frames: clips are recordings too. The changes: speed by up to exp(`speed`); mirrored and
    backwards by halves; `light` (brightness, contrast, saturation) as a share; half of them moved, by `shift` and
    `zoom` as shares and `rotate` in degrees; the log-odds stretched by exp of a normal number of deviation
    `odds_stretch`, and shifted by `odds_shift`; for an `other_share` of the stretches they are those of the compact
    network.
    """

    steps: Count
    width: Count
    windows: Count
    window: Annotated[int, Field(ge=8)]
    short_share: Share
    shortest: Count
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    speed: Share
    light: Share
    shift: Share
    zoom: Share
    rotate: Annotated[float, Field(ge=0, le=45)]
    odds_stretch: Annotated[float, Field(ge=0)]
    odds_shift: Annotated[float, Field(ge=0)]
    other_share: Share

    @model_validator(mode="after")
    def _short_is_shorter(self) -> "TemporalTraining":
        if self.shortest > self.window:
            raise ValueError(f"shortest is {self.shortest}, and must be at most window, {self.window}")
        return self


class EventClips(_Section):
    """Drawn clips that the temporal network learns from beside the videos, and on which it is judged."""

    books: Annotated[int, Field(ge=4)]
    clips_per_book: Annotated[int, Field(ge=2)]
    frames_per_clip: Annotated[int, Field(ge=2)]


class Events(_Section):
    """What events are learnt from, and how (`make events`): drawn videos, of books that nothing else is drawn from.

    The last `brisk` of the videos rest only `brisk_rest` frames between flips; the others as `synthesize.ranges` says.
    Log-odds are read up to `context_s` on either side of a frame, and the recording's resting level as the
    `level_quantile` of what lies within `level_s`. `broad_share` of the durations is taken as far broader than in drawn
    videos, by `broad_log_sd`, since people differ; beyond `tail_s` a state may go on for ever. `evidence_per_s` are
    tried by cross-validation over videos in `folds` parts.
    """

    seed: Seed
    videos: Annotated[int, Field(ge=8)]
    flips: Annotated[int, Field(ge=2)]
    brisk: Annotated[int, Field(ge=0)]
    brisk_rest: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
    clips: EventClips
    width: Annotated[int, Field(ge=64)]
    height: Annotated[int, Field(ge=64)]
    context_s: Annotated[float, Field(ge=0, le=2)]
    level_s: Annotated[float, Field(ge=0.5)]
    level_quantile: Share
    regularisation: Annotated[float, Field(gt=0)]
    broad_share: Annotated[float, Field(ge=0, lt=1)]
    broad_log_sd: Annotated[float, Field(gt=0)]
    tail_s: Annotated[float, Field(gt=0)]
    evidence_per_s: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    temporal: TemporalTraining

    @model_validator(mode="after")
    def _brisk_videos_can_be(self) -> "Events":
        if self.brisk > self.videos:
            raise ValueError(f"brisk is {self.brisk}, and must be at most videos, {self.videos}")
        if self.brisk_rest[0] > self.brisk_rest[1]:
            raise ValueError(f"brisk_rest is {list(self.brisk_rest)}, and must be [lowest, highest]")
        return self


class Stills(_Section):
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


class ScoreUploads(_Section):
    """How uploads are picked up."""

    settle_seconds: Annotated[float, Field(ge=0)]
    uploads_per_shard: Count


class Protocols(_Section):
    """What `pageflip benchmark-protocols` measures: networks as in `train`, the bootstrap as in `evaluate`.

    Near-duplicates are told as in `split`; the threshold is always that of the best F1 on validation.

    `folds` is for clip-disjoint; each of `seeds` is one more round of all folds. `val_share` of the frames
    that are not tested choose epoch and threshold. `later_frames` are shares of each clip's frames, in order of time.
    """

    run: Annotated[tuple[Literal[PROTOCOLS], ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2, le=50)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    val_share: Annotated[float, Field(ge=0.05, le=0.5)]
    later_frames: Shares


class Imitation(_Section):
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


class Compact(_Section):
    """The weights of `cnn` that stand beside day-zero, learnt from it on the same drawn frames.

    First it imitates day-zero's features; then it is trained with `day_zero.augment`, on labels that are to a share
    `teacher_share` day-zero's probabilities.
    """

    network: Cnn
    imitation: Imitation
    teacher_share: Share
    fit: Fit


class DayZero(_Section):
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
    ranges: dict[str, Any] = {}  # checked by pageflip.synthetic.ranges when something is drawn
    shares: Shares
    prepare: Prepare
    threshold_tolerance: Share
    network: EfficientNetLite0
    fit: Fit
    augment: Augment
    compact: Compact | None = None


class Params(_Section):
    """The whole of `params.yaml`; one field per stage or job."""

    synthesize: dict[str, Any]  # checked by pageflip.synthetic.ranges when something is drawn
    prepare: Prepare
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    train: Train
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    promote: Promote
    score_uploads: ScoreUploads
    protocols: Protocols
    day_zero: DayZero
    events: Events
    stills: Stills


def load_params(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: the file is missing, is not YAML, or has an unknown, missing or impossible value.
    """
    return parse(Params, read_yaml(path), path, "the keys and their ranges stand in pageflip/params/load.py.")


def read_yaml(path: Path) -> Any:
    """The content of a params file, unchecked.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "run the command in the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", "mend it, or restore it with `git checkout`.") from None


def parse(model: type[Model], content: Any, path: Path, remedy: str) -> Model:
    """Check the content of a params file, or of a section of it.

    Raises:
        ConfigError: names every unknown, missing or impossible value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_describe(entry, model) for entry in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(lines), remedy) from None


def _describe(error: dict, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), _known_keys(error["loc"][:-1], model), n=1)
        return f"unknown key {key}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"missing key {key}"
    return f"{key or 'the content'} = {error['input']!r}: {error['msg']}"


def _known_keys(parents: tuple, model: type[BaseModel]) -> list[str]:
    for part in parents:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if part not in fields or not isinstance(fields[part].annotation, type):
            return []  # in a dict of sections
        model = fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
