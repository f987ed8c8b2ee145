"""Images of the worst mistakes, with activation maps laid over them, as data URIs of JPEGs."""

import base64
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pageflip.reports.page import AGAINST_FLIP, FOR_FLIP

MAX_OPACITY = 0.85  # of the strongest place
GREY_LOW, GREY_SPAN = 40, 0.72  # the frame below the colours is grey, so that only evidence has a colour
JPEG_QUALITY = 85
IMAGE_BYTES = 3_000_000  # of all images together, as text
LONGEST_SIDE = 384  # pixels of an image


def mistake_images(
    test: pd.DataFrame, images: Mapping[int, np.ndarray], maps: Mapping[int, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Yield what the page shows of each mistake, until the images take IMAGE_BYTES.

    Args:
        test: table of predictions (see `pageflip.evaluation.judging`).
        images: row -> uint8 [height, width, 3], in the order to show them.
        maps: row -> float [rows, columns], the activation map of the image, where there is one.

    Yields:
        uri, map_uri (empty without a map), width, height, label, clip, frame and probability.
    """
    rows = test.drop_duplicates("row").set_index("row")
    left = IMAGE_BYTES
    for row, pixels in images.items():
        image = shrink(pixels)
        uri, map_uri = _data_uri(image), _data_uri(overlay(image, maps[row])) if row in maps else ""
        left -= len(uri) + len(map_uri)
        if left < 0:
            return
        yield {
            "uri": uri,
            "map_uri": map_uri,
            "height": image.shape[0],
            "width": image.shape[1],
            **{name: rows.at[row, name] for name in ("label", "clip", "frame")},
            "probability": float(rows.at[row, "probability"]),
        }


def overlay(pixels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Lay an activation map over a frame in grey, with the colours FOR_FLIP and AGAINST_FLIP.

    The strongest place of the frame, for or against, is the most opaque; maps of two frames cannot be compared.

    Args:
        pixels: uint8 [height, width, 3].
        evidence: float [rows, columns], a map of `pageflip.evaluation.activation_maps`.

    Returns:
        uint8 [height, width, 3].
    """
    height, width, _ = pixels.shape
    small = Image.fromarray(evidence.astype(np.float32))
    fine = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    share = np.clip(fine / max(float(np.abs(fine).max()), 1e-12), -1, 1)[..., None]
    grey = GREY_LOW + GREY_SPAN * pixels.mean(axis=2, keepdims=True)
    colour = np.where(share > 0, np.array(FOR_FLIP, np.float32), np.array(AGAINST_FLIP, np.float32))
    opacity = MAX_OPACITY * np.abs(share)
    return np.clip(grey * (1 - opacity) + colour * opacity, 0, 255).astype(np.uint8)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Scale an image down to LONGEST_SIDE; a smaller one is returned as it is."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.asarray(image)


def _data_uri(pixels: np.ndarray) -> str:
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
