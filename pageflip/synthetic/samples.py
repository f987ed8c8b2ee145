"""Sample data: labelled frames to train on, a contact sheet, a video, and uploads to score."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError
from pageflip.base.progress import show_progress
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.ranges import Synthesize
from pageflip.synthetic.sheet import contact_sheet
from pageflip.synthetic.stage.clips import Clip, plan_clips
from pageflip.synthetic.video import VideoPlan, write_video

UPLOADS_SEED = 1_000  # far from the seeds of training frames, so that no book is shared
FOLDER_FRAMES = 16


def make_frames(out: Path, plan: Synthesize) -> int:
    """Draw labelled clips into the folder `out` with a progress bar; return the number of frames.

    Raises:
        ConfigError: a number is out of its range.
        DataError: `out` is not empty.
    """
    clips = _plan_clips(plan)
    total = sum(clip.frames for clip in clips)
    with show_progress(total, "synthesize") as advance:
        write_archive(clips, out, ranges=plan.ranges, quality=plan.quality, advance=advance)
    return total


def make_sheet(path: Path, plan: Synthesize, beside: Path | None) -> None:
    """Draw a contact sheet of at most eight books into an image file, two frames of each label per book.

    Raises:
        ConfigError: a number is out of its range, or `path` is not the name of an image.
        DataError: `beside` holds no frames.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
        raise ConfigError(f"{path} is not the name of an image", "end it in .jpg, .png or .webp.")
    clips = _plan_clips(plan.model_copy(update={"books": min(plan.books, 8), "clips_per_book": 4}))
    with show_progress(len(clips), "sheet") as advance:
        sheet = contact_sheet(clips, ranges=plan.ranges, beside=beside, advance=advance)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)


def make_video(path: Path, plan: Synthesize, *, book: int, flips: int) -> dict[str, Any]:
    """Draw a video of a book that is leafed through, NAME.events.json and NAME.scene.json; return the events.

    Raises:
        ConfigError: a number is out of its range.
        DataError: `path` is not the name of an MP4 file.
    """
    video = VideoPlan(plan.seed, book, flips, plan.width, plan.height, ranges=plan.ranges)
    events, scene = path.with_suffix(".events.json"), path.with_suffix(".scene.json")
    return write_video(path, video, events_path=events, scene_path=scene)


def _plan_clips(plan: Synthesize) -> list[Clip]:
    return plan_clips(**plan.model_dump(exclude={"quality", "ranges"}))


def make_uploads(*, seed: int) -> Iterator[str]:
    """Write sample uploads (two videos, a folder of frames, a picture) that are missing at the upload address.

    Yields:
        The name of each sample once it is there.
    """
    makers = {
        "leafing-1.mp4": _make_video_upload,
        "leafing-2.mp4": _make_video_upload,
        "frames-1": _make_folder_upload,
        "picture-1.jpg": _make_picture_upload,
    }
    known = {entry.name for entry in storage.list_entries(settings.uploads_url())}
    for number, (name, make) in enumerate(makers.items()):
        if name not in known:
            with TemporaryDirectory(prefix="pageflip-sample-") as folder:
                make(Path(folder) / name, UPLOADS_SEED + seed + number)
                _upload(Path(folder), settings.uploads_url())
            yield name


def _make_video_upload(path: Path, seed: int) -> None:
    write_video(path, VideoPlan(seed, book=seed % 100, flips=3 + seed % 2))


def _make_folder_upload(folder: Path, seed: int) -> None:
    """Draw the frames of one flip clip."""
    clips = plan_clips(seed=seed, books=1, clips_per_book=2, frames_per_clip=FOLDER_FRAMES, width=540, height=960)
    with TemporaryDirectory(prefix="pageflip-sample-") as place:
        write_archive(clips, Path(place) / "clips", workers=1)
        folder.mkdir()
        for file in sorted((Path(place) / "clips").rglob("flip/*.jpg")):
            shutil.copy(file, folder)


def _make_picture_upload(path: Path, seed: int) -> None:
    with TemporaryDirectory(prefix="pageflip-sample-") as place:
        _make_folder_upload(Path(place) / "frames", seed)
        shutil.copy(sorted((Path(place) / "frames").iterdir())[0], path)


def _upload(folder: Path, url: str) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        storage.write_bytes(storage.join(url, file.relative_to(folder).as_posix()), file.read_bytes())
