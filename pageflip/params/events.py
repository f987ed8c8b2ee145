"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share


class TemporalTraining(Section):
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


class EventClips(Section):
    """Drawn clips that the temporal network learns from beside the videos, and on which it is judged."""

    books: Annotated[int, Field(ge=4)]
    clips_per_book: Annotated[int, Field(ge=2)]
    frames_per_clip: Annotated[int, Field(ge=2)]


class Events(Section):
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
