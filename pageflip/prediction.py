"""A model's word on whatever a user names: pictures, folders of pictures, videos."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pageflip.errors import ConfigError, DataError
from pageflip.frames import LABELS
from pageflip.inference import BATCH, Predictor, iter_video
from pageflip.pixels import decode_image
from pageflip.uploads import IMAGE_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class Prediction:
    """One frame's result; `time_s` and `frame` only for videos; `error` instead of a probability for a bad file.

    `review` marks a frame that the model is not sure of, and that a person should look at.
    """

    path: str
    frame: int | None
    time_s: float | None
    probability: float | None
    label: str | None
    review: bool | None = None
    error: str | None = None


def list_inputs(paths: list[Path]) -> list[Path]:
    """The pictures and videos that the paths name; folders are searched, in order of name.

    Raises:
        ConfigError: a path does not exist, is of an unknown kind, or is a folder with nothing to predict.
    """
    found: list[Path] = []
    known = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in known and file.is_file())
            if not inside:
                raise ConfigError(f"the folder {path} holds no pictures or videos", f"known are {', '.join(known)}.")
            found += inside
        elif not path.exists():
            raise ConfigError(f"there is no {path}", "check the path.")
        elif path.suffix.lower() not in known:
            raise ConfigError(f"{path} is neither a picture nor a video", f"known are {', '.join(known)}.")
        else:
            found.append(path)
    return found


def predict_files(predictor: Predictor, files: list[Path]) -> Iterator[Prediction]:
    """Predict pictures and videos in order, in batches; a file that cannot be read gives its error and no more."""
    pending: list[tuple[Path, int | None, float | None, np.ndarray]] = []
    for file in files:
        try:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                pending.append((file, None, None, decode_image(file, predictor.width, predictor.height)))
            else:
                yield from _flush(predictor, pending)
                yield from _video(predictor, file)
        except DataError as error:
            yield from _flush(predictor, pending)
            yield Prediction(str(file), None, None, None, None, error=error.message)
        if len(pending) >= BATCH:
            yield from _flush(predictor, pending)
    yield from _flush(predictor, pending)


def _video(predictor: Predictor, file: Path) -> Iterator[Prediction]:
    frames = iter_video(file, predictor.width, predictor.height)
    while batch := list(islice(frames, BATCH)):
        yield from _flush(predictor, [(file, index, time_s, pixels) for index, time_s, pixels in batch])


def _flush(predictor: Predictor, pending: list) -> Iterator[Prediction]:
    if not pending:
        return
    probabilities = predictor.predict(np.stack([entry[3] for entry in pending]))
    for (file, frame, time_s, _), probability in zip(pending, probabilities.tolist(), strict=True):
        label = LABELS[probability >= predictor.threshold]
        yield Prediction(str(file), frame, time_s, probability, label, predictor.to_review(probability))
    pending.clear()
