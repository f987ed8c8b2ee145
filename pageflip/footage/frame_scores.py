"""The scores of an upload's frames: what the model says of each, and what it is in the light of its neighbours."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np

from pageflip.base.errors import DataError
from pageflip.events.flip import Flip
from pageflip.events.reader import PredictsFrames, SequenceReader
from pageflip.footage import media
from pageflip.footage.media import IMAGE, SEQUENCE, UNKNOWN, VIDEO, LocalFile
from pageflip.frames.pixels import decode_image
from pageflip.frames.video import iter_video
from pageflip.inference.predictor import BATCH


class Predicts(PredictsFrames, Protocol):
    """What scoring needs of a model; `pageflip.inference.predictor.Predictor` has it."""

    name: str
    version: str | None

    def to_review(self, probability: float) -> bool:
        """Whether a person should look at a frame of this probability."""


@dataclass
class FrameScores:
    """The scores of an upload's frames, in order; NaN where a frame could not be read.

    Attributes:
        names: of pictures; times_s: in a video, in seconds; errors: why a frame could not be read.
        in_sequence: probabilities in the light of the frames around, float32 [N]; NaN for a single picture.
        flips: what was found; none in a single picture, which shows a state and no event.
    """

    names: list[str | None] = field(default_factory=list)
    times_s: list[float | None] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    in_sequence: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    flips: list[Flip] = field(default_factory=list)


def score_files(kind: str, files: list[LocalFile], predictor: Predicts) -> FrameScores:
    """Decode and score an upload's frames in batches; frames of a sequence that cannot be read are noted.

    Raises:
        DataError: nothing of it can be scored; the message says why.
    """
    remedy = "upload a video, a picture, or a folder of pictures."
    if kind == UNKNOWN:
        suffix = PurePosixPath(files[0].name).suffix or "no suffix"
        raise DataError(f"{files[0].name} is neither a video nor a picture by its name ({suffix})", remedy)
    if kind != SEQUENCE and not files[0].path.stat().st_size:
        raise DataError(f"{files[0].name} is empty", remedy)
    if kind == VIDEO:
        frames = iter_video(files[0].path, predictor.width, predictor.height)
        return _read_sequence(((None, time_s, rgb) for _, time_s, rgb in frames), predictor)
    pictures = [file for file in files if kind == IMAGE or media.is_image(file.name)]
    if not pictures:
        raise DataError(f"the folder holds no pictures ({len(files)} other files)", remedy)
    decoded = _decoded(pictures, predictor)
    scores = _read_picture(*decoded, predictor) if kind == IMAGE else _read_sequence(decoded, predictor)
    if all(scores.errors):
        what = f"none of the {len(pictures)} pictures can be read: " if kind == SEQUENCE else ""
        raise DataError(f"{what}{scores.errors[0]}", remedy)
    return scores


def _decoded(files: list[LocalFile], predictor: Predicts) -> Iterator[tuple[str, None, np.ndarray | str]]:
    for file in files:
        try:
            yield file.name, None, decode_image(file.path, predictor.width, predictor.height)
        except DataError as error:
            yield file.name, None, media.printable(error.message.replace(str(file.path), file.name))


def _read_picture(picture: tuple[str, None, np.ndarray | str], predictor: Predicts) -> FrameScores:
    name, _, content = picture
    error = content if isinstance(content, str) else None
    probability = math.nan if error else float(predictor.predict(content[None])[0])
    return FrameScores([name], [None], [probability], [error], np.full(1, np.nan, np.float32))


def _read_sequence(
    frames: Iterable[tuple[str | None, float | None, np.ndarray | str]], predictor: Predicts
) -> FrameScores:
    """Score (name, time, pixels or error) triples; only one batch of pixels is held at a time."""
    scores, reader = FrameScores(), SequenceReader(predictor)
    frames = iter(frames)
    while batch := list(islice(frames, BATCH)):
        names, times, contents = (list(values) for values in zip(*batch, strict=True))
        errors = [content if isinstance(content, str) else None for content in contents]
        pixels = [None if error else content for content, error in zip(contents, errors, strict=True)]
        scores.probabilities += reader.push(pixels, times)
        scores.names += names
        scores.times_s += times
        scores.errors += errors
    scores.in_sequence = reader.in_sequence()
    scores.flips = reader.flips(scores.in_sequence)
    return scores
