"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pageflip.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy and scikit-learn refuse others


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
    """The training loop."""

    epochs: Count
    patience: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(ge=0)]
    accelerator: Literal["auto", "cpu", "cuda"]
    require_gpu: bool


class Augment(_Section):
    """Strengths of the training augmentation; 0 turns one off. Angles in degrees, shifts as shares of the frame."""

    brightness: Share
    contrast: Share
    colour: Share
    gamma: Share
    noise: Share
    shift: Share
    zoom: Share
    rotate: Annotated[float, Field(ge=0, le=45)]
    mirror: bool


class Cnn(_Section):
    """The compact convolutional network: one stride-2 stage per entry of `channels`."""

    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Networks(_Section):
    """The settings of each network, by its registry name."""

    cnn: Cnn


class Train(_Section):
    """Which models are trained, and how."""

    models: Annotated[tuple[Literal["cnn"], ...], Field(min_length=1)]
    seed: Seed
    fit: Fit
    augment: Augment
    networks: Networks


class Evaluate(_Section):
    """The evaluation's interval and report."""

    bootstrap_samples: Count
    seed: Seed
    worst_mistakes: Annotated[int, Field(ge=0)]


class Register(_Section):
    """The registered model's name and the limits of the export's parity check."""

    model_name: str
    parity_frames: Count
    max_parity_error: Annotated[float, Field(gt=0)]


class Promote(_Section):
    """The floor below which nothing is promoted."""

    min_f1: Share


class ScoreUploads(_Section):
    """How uploads are picked up."""

    settle_seconds: Annotated[float, Field(ge=0)]
    uploads_per_shard: Count


class Params(_Section):
    """The whole of `params.yaml`; one field per stage or job."""

    prepare: Prepare
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    train: Train
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    promote: Promote
    score_uploads: ScoreUploads


def load_params(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: the file is missing, is not YAML, or has an unknown, missing or impossible value.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "run the command in the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", "mend it, or restore it with `git checkout`.") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [_describe(entry) for entry in error.errors()]
        raise ConfigError(
            f"{path}: " + "; ".join(lines), "the keys and their ranges stand in pageflip/params.py."
        ) from None


def _describe(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), _known_keys(error["loc"][:-1]), n=1)
        return f"unknown key {key}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"missing key {key}"
    return f"{key or 'the content'} = {error['input']!r}: {error['msg']}"


def _known_keys(parents: tuple) -> list[str]:
    model: type[BaseModel] = Params
    for part in parents:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        model = fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
