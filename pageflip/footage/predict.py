"""Predict images, image folders and videos given on the command line; detect flip events in the latter two."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pageflip.base.batching import batched
from pageflip.base.errors import ConfigError, DataError
from pageflip.events.flip import Flip
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.stills import Still
from pageflip.footage.media import IMAGE_SUFFIXES, SEQUENCE, VIDEO, VIDEO_SUFFIXES, LocalFile, natural_key
from pageflip.footage.read_events import StillsOutput, read_events
from pageflip.frames.names import LABELS
from pageflip.frames.pixels import decode_image
from pageflip.frames.video import iter_video
from pageflip.inference.predictor import BATCH, Predictor


@dataclass(frozen=True)
class Prediction:
    """Result of one frame.

    Attributes:
        path: of the image or video.
        frame, time_s: position and time in seconds in a video; None for an image.
        probability, label: of `flip`; None for a file that cannot be read.
        review: whether a person should review the frame, because the model is uncertain.
        error: why a file cannot be read.
    """

    path: str
    frame: int | None = None
    time_s: float | None = None
    probability: float | None = None
    label: str | None = None
    review: bool | None = None
    error: str | None = None


def list_inputs(paths: list[Path]) -> list[Path]:
    """List the images and videos at the paths; search folders, in order of names.

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


_Pending = tuple[Path, int | None, float | None, np.ndarray]  # file, position, time, pixels


def predict_files(predictor: Predictor, files: list[Path]) -> Iterator[Prediction]:
    """Predict images and videos in order, in batches; yield an error for a file that cannot be read."""
    pending: list[_Pending] = []
    for file in files:
        try:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                pending.append((file, None, None, decode_image(file, predictor.width, predictor.height)))
            else:
                yield from _flush(predictor, pending)
                yield from _predict_video(predictor, file)
        except DataError as error:
            yield from _flush(predictor, pending)
            yield Prediction(str(file), error=error.message)
        if len(pending) >= BATCH:
            yield from _flush(predictor, pending)
    yield from _flush(predictor, pending)


def _predict_video(predictor: Predictor, file: Path) -> Iterator[Prediction]:
    for batch in batched(iter_video(file, predictor.width, predictor.height), BATCH):
        yield from _flush(predictor, [(file, index, time_s, pixels) for index, time_s, pixels in batch])


def _flush(predictor: Predictor, pending: list[_Pending]) -> Iterator[Prediction]:
    if not pending:
        return
    probabilities = predictor.predict(np.stack([entry[3] for entry in pending]))
    for (file, frame, time_s, _), probability in zip(pending, probabilities.tolist(), strict=True):
        label = LABELS[probability >= predictor.threshold]
        yield Prediction(str(file), frame, time_s, probability, label, predictor.to_review(probability))
    pending.clear()


@dataclass(frozen=True)
class FootageEvents:
    """Flips and page stills of a video or a folder of frames.

    Attributes:
        path: of the video or folder.
        frames, broken: number of frames, and of those that cannot be read.
        flips, stills: what was found and written.
        probabilities, in_sequence, times_s: of each frame; see `pageflip.footage.frame_scores.FrameScores`.
    """

    path: str
    frames: int
    broken: int
    flips: list[Flip]
    stills: list[Still]
    probabilities: tuple[float, ...] = field(repr=False)
    in_sequence: tuple[float, ...] = field(repr=False)
    times_s: tuple[float | None, ...] = field(repr=False)

    @property
    def has_clock(self) -> bool:
        """True for a video; the times of a folder's frames are assumptions."""
        return Path(self.path).is_file()


def find_events(
    predictor: Predictor, model: SequenceModel, paths: list[Path], output: StillsOutput | None = None
) -> list[FootageEvents]:
    """Find the flips of videos and of folders of frames, and write their page stills.

    Args:
        predictor: model of single frames.
        model: temporal network and decoder.
        paths: videos and folders.
        output: page stills go into a folder NAME there for each of them; None writes none.

    Raises:
        ConfigError: a path is neither, or two have the same name.
        DataError: one cannot be read.
    """
    names = [path.resolve().name for path in paths]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if output is not None and repeated:
        raise ConfigError(f"two of the sequences are named {repeated}", "predict them one by one, or rename one.")
    if output is not None and output.folder.exists() and not output.folder.is_dir():
        raise ConfigError(f"{output.folder} is no folder", "name another with --stills.")
    found = []
    for path, name in zip(paths, names, strict=True):
        if not path.exists():
            raise ConfigError(f"there is no {path}", "check the path.")
        if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ConfigError(f"{path} is neither a video nor a folder of frames", "events need frames in order.")
        own = None if output is None else replace(output, folder=output.folder / name)
        if own is not None and own.folder.exists() and any(own.folder.iterdir()):
            raise ConfigError(f"{own.folder} is not empty", "name another folder with --stills, or empty it.")
        if own is not None:
            own.folder.mkdir(parents=True, exist_ok=True)  # before the video is read: it may be impossible
        found.append(_find_events(predictor, model, path, own))
    return found


def _find_events(predictor: Predictor, model: SequenceModel, path: Path, output: StillsOutput | None) -> FootageEvents:
    files = list_inputs([path])
    if path.is_dir():
        files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        files.sort(key=lambda file: natural_key(file.relative_to(path).as_posix()))
        if not files:
            raise ConfigError(f"the folder {path} holds no frames", f"known are {', '.join(IMAGE_SUFFIXES)}.")
    kind, local = SEQUENCE if path.is_dir() else VIDEO, [LocalFile(str(file), file) for file in files]
    scores, stills = read_events(kind, local, predictor, model, output)
    return FootageEvents(
        path=str(path),
        frames=len(scores.errors),
        broken=sum(error is not None for error in scores.errors),
        flips=scores.flips,
        stills=stills,
        probabilities=tuple(scores.probabilities),
        in_sequence=tuple(scores.in_sequence.tolist()),
        times_s=tuple(scores.times_s),
    )


def events_as_json(events: FootageEvents) -> dict[str, Any]:
    """Return flips and stills ready for JSON; flips of a folder have no times."""
    flips = [asdict(flip) | ({} if events.has_clock else {"start_s": None, "end_s": None}) for flip in events.flips]
    return {
        "path": events.path,
        "frames": events.frames,
        "broken": events.broken,
        "holds_flip": bool(events.flips),
        "flips": flips,
        "stills": [asdict(still) | {"reason": still.reason} for still in events.stills],
    }


def event_rows(events: FootageEvents) -> list[dict[str, Any]]:
    """Return flips and stills as rows in order of frames: path, what, first, last, start_s, end_s, about."""
    rows = []
    for flip in events.flips:
        row = _row(events, "flip", flip.start_index, flip.end_index, f"peak probability {flip.peak_probability:.3f}")
        rows.append(row | ({"start_s": flip.start_s, "end_s": flip.end_s} if events.has_clock else {}))
    for still in events.stills:
        row = _row(events, "still", still.index, still.index, f"{still.file}: {still.reason}")
        rows.append(row | {"start_s": still.time_s})
    return sorted(rows, key=lambda row: row["first"])


def _row(events: FootageEvents, what: str, first: int, last: int, about: str) -> dict[str, Any]:
    row = {"path": events.path, "what": what, "first": first, "last": last}
    return row | {"start_s": None, "end_s": None, "about": about}
