"""File names, keys and layout of raw frames; `pageflip.frames.raw_folder` reads them.

The layout is `images/{training,testing}/{flip,notflip}/VVVV_FFFFFFFFF.jpg`, with an optional `books.csv`
(label,video_id,book). The key of a frame is (label, video, frame): the archives use the same file name under both
labels for different images. A clip is (label, video).
"""

import re
from dataclasses import dataclass

LABELS = ("notflip", "flip")  # in order of the class number; `flip` is the positive class
SUPPLIED_PARTS = ("training", "testing")
BOOKS_FILE = "books.csv"
SCENES_FOLDER = "scenes"  # scene descriptions of synthetic clips
FRAME_NAME = re.compile(r"(?P<video>[0-9]{4})_(?P<frame>[0-9]{9})\.jpg")
FRAME_PATH = re.compile(r"images/(?P<supplied>training|testing)/(?P<label>flip|notflip)/" + FRAME_NAME.pattern)
LAYOUT = "images/{training,testing}/{flip,notflip}/VVVV_FFFFFFFFF.jpg"


@dataclass(frozen=True, order=True)
class FrameFile:
    """One frame file of a raw folder. `path` is relative to that folder, with forward slashes."""

    label: str
    video: str
    frame: int
    supplied: str
    path: str

    @property
    def key(self) -> tuple[str, str, int]:
        """The frame's key, (label, video, frame)."""
        return self.label, self.video, self.frame

    @property
    def clip(self) -> str:
        """The clip's name, `label/video`."""
        return f"{self.label}/{self.video}"


def frame_path(supplied: str, label: str, video: str, frame: int) -> str:
    """Return the relative path of a frame in the layout."""
    return f"images/{supplied}/{label}/{video}_{frame:09d}.jpg"


def parse_path(path: str) -> FrameFile | None:
    """Parse a relative path; return None when it is not in the layout."""
    match = FRAME_PATH.fullmatch(path)
    if match is None:
        return None
    return FrameFile(match["label"], match["video"], int(match["frame"]), match["supplied"], path)
