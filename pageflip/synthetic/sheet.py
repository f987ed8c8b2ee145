"""Contact sheet of drawn frames, with real frames below them for comparison."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pageflip.base.errors import DataError
from pageflip.frames.names import LABELS
from pageflip.frames.pixels import decode_image
from pageflip.synthetic.ranges import DEFAULT_RANGES, Ranges
from pageflip.synthetic.stage.clips import Clip
from pageflip.synthetic.stage.renderer import Renderer
from pageflip.synthetic.stage.scripts import clip_script

TILE = (216, 384)
_GAP, _HEAD = 6, 26


def contact_sheet(
    clips: Sequence[Clip],
    *,
    ranges: Ranges = DEFAULT_RANGES,
    columns: int = 8,
    beside: Path | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> Image.Image:
    """Return rows of one frame per clip for each label, followed by frames of the archive `beside`.

    Raises:
        DataError: `beside` holds no frames in the archive's layout, or one of them cannot be read.
    """
    rows: list[tuple[str, list[np.ndarray]]] = []
    for label in LABELS:
        tiles = []
        for clip in (clip for clip in clips if clip.label == label):
            tiles.append(_render_tile(clip, ranges))
            advance(1)
        rows += _split_rows(f"{label}, drawn", tiles, columns)
    if beside is not None:
        for label in LABELS:
            files = sorted(beside.glob(f"**/{label}/*.jpg"))
            if not files:
                raise DataError(f"{beside} holds no frames of {label}", f"give a folder with .../{label}/*.jpg.")
            chosen = files[:: max(len(files) // columns, 1)][:columns]
            rows += _split_rows(f"{label}, of {beside.name}", [decode_image(file, *TILE) for file in chosen], columns)
    return _paste(rows, columns)


def _render_tile(clip: Clip, ranges: Ranges) -> np.ndarray:
    """Return a frame of the clip, at a different position in each clip; uint8 [height, width, 3]."""
    script = clip_script(clip, ranges)
    number = clip.numbers[int(clip.video) * 3 % len(clip.numbers)]
    image, _ = Renderer(script, clip.width, clip.height).render((number - 1) * script.step)
    return np.asarray(Image.fromarray(image).resize(TILE, Image.Resampling.LANCZOS))


def _split_rows(title: str, tiles: list[np.ndarray], columns: int) -> list[tuple[str, list[np.ndarray]]]:
    return [(title if start == 0 else "", tiles[start : start + columns]) for start in range(0, len(tiles), columns)]


def _paste(rows: list[tuple[str, list[np.ndarray]]], columns: int) -> Image.Image:
    wide, tall = TILE
    height = sum(tall + _GAP + (_HEAD if title else 0) for title, _ in rows) + _GAP
    sheet = Image.new("RGB", (columns * (wide + _GAP) + _GAP, height), (246, 246, 244))
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(15), _GAP
    for title, tiles in rows:
        if title:
            draw.text((_GAP, y + 3), title, fill=(40, 40, 40), font=font)
            y += _HEAD
        for number, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (_GAP + number * (wide + _GAP), y))
        y += tall + _GAP
    return sheet
