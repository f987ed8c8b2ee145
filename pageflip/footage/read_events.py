"""Flips and page stills of one video or folder of frames: the same for `pageflip predict` and for scoring."""

from dataclasses import dataclass
from pathlib import Path

from pageflip.events.page_stills import folder_stills, video_stills
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.stills import Still
from pageflip.footage import media
from pageflip.footage.frame_scores import FrameScores, NamedPredictor, score_files
from pageflip.footage.media import IMAGE, VIDEO, LocalFile
from pageflip.params.scoring import Stills


@dataclass(frozen=True)
class StillsOutput:
    """Choice of page stills, and the folder for them, which must be empty or missing."""

    plan: Stills
    folder: Path


def read_events(
    kind: str,
    files: list[LocalFile],
    predictor: NamedPredictor,
    model: SequenceModel,
    output: StillsOutput | None,
) -> tuple[FrameScores, list[Still]]:
    """Score frames, find their flips, and write page stills.

    Args:
        kind: of `pageflip.footage.media`; a single image has neither flips nor stills.
        files: see `pageflip.footage.frame_scores.score_files`.
        predictor: model of single frames.
        model: temporal network and decoder.
        output: None writes no stills.

    Raises:
        DataError: nothing can be scored.
        UnavailableError: the disk or the machine failed for now.
    """
    scores = score_files(kind, files, predictor, model)
    if output is None or kind == IMAGE:
        return scores, []
    output.folder.mkdir(parents=True, exist_ok=True)
    if kind == VIDEO:
        path = files[0].path
        stills = video_stills(path, scores.flips, scores.in_sequence, scores.times_s, output.plan, output.folder)
    else:
        paths = [file.path for file in files if media.is_image(file.name)]
        stills = folder_stills(paths, scores.flips, scores.in_sequence, output.plan, output.folder)
    return scores, stills
