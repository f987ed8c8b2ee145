"""Frame probabilities and flips of one video, image, or folder of images."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from pageflip.base.batching import batched
from pageflip.base.errors import DataError
from pageflip.events.flip import Flip
from pageflip.events.reader import FramePredictor, SequenceReader
from pageflip.events.sequence_model import SequenceModel
from pageflip.footage import media
from pageflip.footage.media import IMAGE, SEQUENCE, UNKNOWN, VIDEO, LocalFile
from pageflip.frames.pixels import decode_image
from pageflip.frames.video import iter_video
from pageflip.inference.predictor import BATCH


class NamedPredictor(FramePredictor, Protocol):
    """A model of single frames with a name; `pageflip.inference.predictor.Predictor` is one."""

    @property
    def name(self) -> str:
        """Name of the registered model, or of the file."""

    @property
    def version(self) -> str | None:
        """Version of the registered model; None for a plain file."""

    def to_review(self, probability: float) -> bool:
        """Decide whether a person should review a frame of this probability."""


@dataclass(frozen=True)
class Frame:
    """Frame to score: its name (None in a video), its time in seconds (None for images), and pixels or an error."""

    name: str | None
    time_s: float | None
    pixels: np.ndarray | None
    error: str | None = None


@dataclass
class FrameScores:
    """Scores of frames in order; NaN where a frame could not be read.

    Attributes:
        names: of images; None in a video.
        times_s: in a video, in seconds; None for images.
        probabilities: by the model of single frames.
        errors: why a frame could not be read, or None.
        in_sequence: probabilities re-estimated from the neighbours, float32 [N]; NaN for a single image.
        flips: none in a single image, which shows a state and no event.
    """

    names: list[str | None] = field(default_factory=list)
    times_s: list[float | None] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    in_sequence: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    flips: list[Flip] = field(default_factory=list)


def score_files(kind: str, files: list[LocalFile], predictor: NamedPredictor, model: SequenceModel) -> FrameScores:
    """Decode and score frames in batches; note frames of a folder that cannot be read.

    Args:
        kind: of `pageflip.footage.media`.
        files: one video or image, or all files of a folder in their natural order.
        predictor: model of single frames.
        model: temporal network and decoder.

    Raises:
        DataError: nothing can be scored.
        UnavailableError: the disk or the machine failed for now.
    """
    remedy = "upload a video, a picture, or a folder of pictures."
    if kind == UNKNOWN:
        suffix = PurePosixPath(files[0].name).suffix or "no suffix"
        raise DataError(f"{files[0].name} is neither a video nor a picture by its name ({suffix})", remedy)
    if kind != SEQUENCE and not files[0].path.stat().st_size:
        raise DataError(f"{files[0].name} is empty", remedy)
    if kind == VIDEO:
        frames = iter_video(files[0].path, predictor.width, predictor.height)
        return score_frames((Frame(None, time_s, rgb) for _, time_s, rgb in frames), predictor, model)
    images = [file for file in files if kind == IMAGE or media.is_image(file.name)]
    if not images:
        raise DataError(f"the folder holds no pictures ({len(files)} other files)", remedy)
    decoded = _decode_images(images, predictor)
    scores = _score_image(next(decoded), predictor) if kind == IMAGE else score_frames(decoded, predictor, model)
    if all(scores.errors):
        what = f"none of the {len(images)} pictures can be read: " if kind == SEQUENCE else ""
        raise DataError(f"{what}{scores.errors[0]}", remedy)
    return scores


def _decode_images(files: list[LocalFile], predictor: NamedPredictor) -> Iterator[Frame]:
    for file in files:
        try:
            yield Frame(file.name, None, decode_image(file.path, predictor.width, predictor.height))
        except DataError as error:
            message = media.printable(error.message.replace(str(file.path), file.name))
            yield Frame(file.name, None, None, message)


def _score_image(frame: Frame, predictor: NamedPredictor) -> FrameScores:
    probability = math.nan if frame.pixels is None else float(predictor.predict(frame.pixels[None])[0])
    return FrameScores([frame.name], [None], [probability], [frame.error], np.full(1, np.nan, np.float32))


def score_frames(frames: Iterable[Frame], predictor: NamedPredictor, model: SequenceModel) -> FrameScores:
    """Score the frames of a recording; only one batch of pixels is in memory at a time."""
    scores, reader = FrameScores(), SequenceReader(predictor, model)
    for batch in batched(frames, BATCH):
        times = [frame.time_s for frame in batch]
        scores.probabilities += reader.push([frame.pixels for frame in batch], times)
        scores.names += [frame.name for frame in batch]
        scores.times_s += times
        scores.errors += [frame.error for frame in batch]
    scores.in_sequence = reader.in_sequence()
    scores.flips = reader.flips(scores.in_sequence)
    return scores
