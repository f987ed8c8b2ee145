"""Section of the flip events: the event decoder and the temporal network."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from pageflip.params.sections import Count, Section, Seed, Share


class TemporalTraining(Section):
    """Training of the temporal network (`make events`).

    Attributes:
        steps: optimizer steps.
        width: channels of its convolutions over time.
        windows: sequences in a batch.
        window: frames of a sequence.
        short_share: share of the batches with more and shorter sequences, since clips are short.
        shortest: frames of the shortest sequence.
        speed: augmentation of the frame rate, by up to exp(`speed`).
        light: augmentation of brightness, contrast and saturation, as a share.
        shift: augmentation of half the sequences, as a share of the frame.
        zoom: augmentation of half the sequences, as a share of the scale.
        rotate: augmentation of half the sequences, in degrees.
        odds_stretch: standard deviation of the logarithm of a factor of the frame model's log-odds.
        odds_shift: standard deviation of a summand of the frame model's log-odds.
        compact_network_share: share of the sequences whose log-odds come from the compact network instead of day-zero,
            so that the temporal network serves weaker models too.
    """

    RENAMED: ClassVar[dict[str, str]] = {"other_share": "compact_network_share"}

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
    compact_network_share: Share

    @model_validator(mode="after")
    def _shortest_fits_the_window(self) -> "TemporalTraining":
        if self.shortest > self.window:
            raise ValueError(f"shortest is {self.shortest}, and must be at most window, {self.window}")
        return self


class EventClips(Section):
    """Drawn clips on which the temporal network is trained and evaluated, in addition to the videos."""

    books: Annotated[int, Field(ge=4)]
    clips_per_book: Annotated[int, Field(ge=2)]
    frames_per_clip: Annotated[int, Field(ge=2)]


class Events(Section):
    """Drawn videos and fitting of the event decoder (`make events`).

    Attributes:
        seed: of the first video; must leave a distance to the seeds of all other drawn sets.
        videos: number of drawn videos.
        flips: in each video.
        brisk: number of videos, the last ones, with hardly a rest between flips.
        brisk_rest: range of the rest between flips in these, in frames of 1/30 s; `synthesize.ranges` has the others'.
        width: of the videos, in pixels.
        height: of the videos, in pixels.
        context_s: seconds before and after a frame whose log-odds are its evidence.
        level_s: seconds before and after a frame that give the log-odds' resting level.
        level_quantile: quantile of the log-odds that is the resting level.
        regularisation: C of the logistic regression; lower is smoother.
        broad_share: weight of a broad component in the distributions of durations, since people differ.
        broad_log_sd: standard deviation of the logarithm of the durations in the broad component.
        tail_s: seconds after which the distributions of durations have a constant hazard.
        evidence_per_s: independent frames in a second of evidence; candidates of a cross-validation.
        folds: of the cross-validation, over videos.
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
    def _brisk_videos_are_possible(self) -> "Events":
        if self.brisk > self.videos:
            raise ValueError(f"brisk is {self.brisk}, and must be at most videos, {self.videos}")
        if self.brisk_rest[0] > self.brisk_rest[1]:
            raise ValueError(f"brisk_rest is {list(self.brisk_rest)}, and must be [lowest, highest]")
        return self
