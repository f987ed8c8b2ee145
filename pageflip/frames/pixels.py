"""Decoding of image files to the model's input pixels, the same for training, scoring and serving.

JPEGs are decoded at the smallest DCT scale (1/2, 1/4, 1/8) that still covers the target size (Pillow's `draft`), which
skips most of the inverse transform and leaves entropy decoding. This module imports only NumPy and Pillow, since a copy
of it is part of every served model.
"""

import errno
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pageflip.base.errors import DataError, UnavailableError

# caused by the disk, the network or the load of the machine, not by the image
PASSING_FAULTS = {
    getattr(errno, name) for name in ("EIO", "ESTALE", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "ETIMEDOUT")
}
HASH_SIDE = 8
HASH_INPUT_SIDE = 32


@dataclass(frozen=True)
class DecodedFrame:
    """A decoded image and measurements of it.

    Attributes:
        pixels: uint8 [height, width, 3], RGB, at the model's input size.
        width, height: size of the file's image in pixels, upright.
        phash: 64-bit perceptual hash.
        brightness_mean, brightness_std: mean and standard deviation of the grey levels, 0..255.
        sharpness: variance of the Laplacian of the grey levels at the reduced decoding size.
    """

    pixels: np.ndarray
    width: int
    height: int
    phash: int
    brightness_mean: float
    brightness_std: float
    sharpness: float


def decode_image(source: bytes | Path, width: int, height: int) -> np.ndarray:
    """Decode a JPEG or PNG into uint8 [height, width, 3] RGB.

    The image is rotated by its EXIF orientation and scaled to fit with its aspect ratio kept; the border is black.

    Raises:
        DataError: the file is corrupt, truncated, or no JPEG or PNG.
        UnavailableError: the disk or the machine failed temporarily.
    """
    return _fit(_open(source, width, height)[0], width, height)


def decode_frame(source: bytes | Path, width: int, height: int) -> DecodedFrame:
    """Decode an image as `decode_image` does, and measure it.

    Raises:
        DataError: the file is corrupt, truncated, or no JPEG or PNG.
        UnavailableError: the disk or the machine failed temporarily.
    """
    image, size = _open(source, width, height)
    grey_image = image.convert("L")
    grey = np.asarray(grey_image, dtype=np.float32)
    return DecodedFrame(
        pixels=_fit(image, width, height),
        width=size[0],
        height=size[1],
        phash=perceptual_hash(grey_image),
        brightness_mean=float(grey.mean()),
        brightness_std=float(grey.std()),
        sharpness=_sharpness(grey),
    )


def resize_frame(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a video frame, uint8 [h, w, 3] RGB, to uint8 [height, width, 3] as `decode_image` does."""
    return _fit(Image.fromarray(rgb), width, height)


def perceptual_hash(grey: Image.Image) -> int:
    """Return the 64-bit DCT hash of a grey image; those of near-duplicates differ in few bits.

    The lowest 8x8 frequencies of the image at 32x32, each compared with their median (Zauner, "Implementation and
    Benchmarking of Perceptual Image Hash Functions", 2010).
    """
    small = np.asarray(grey.resize((HASH_INPUT_SIDE, HASH_INPUT_SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    low = _DCT @ small @ _DCT.T
    bits = low.ravel() > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _dct_rows(count: int, side: int) -> np.ndarray:
    frequency, position = np.arange(count)[:, None], np.arange(side)[None, :]
    return np.cos(np.pi * (2 * position + 1) * frequency / (2 * side))


_DCT = _dct_rows(HASH_SIDE, HASH_INPUT_SIDE)


def _open(source: bytes | Path, width: int, height: int) -> tuple[Image.Image, tuple[int, int]]:
    """Decode at the smallest sufficient scale; return the upright RGB image and the upright size of the original."""
    name = "the picture" if isinstance(source, bytes) else str(source)
    remedy = "replace the file by a complete JPEG or PNG, or remove it."
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=("JPEG", "PNG")) as picture:
            size = picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5
            picture.draft("RGB", (height, width) if turned else (width, height))
            image = ImageOps.exif_transpose(picture).convert("RGB")
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a JPEG or PNG picture", remedy) from None
    except FileNotFoundError:
        raise DataError(f"there is no file {name}", "check the path.") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) in PASSING_FAULTS:
            raise UnavailableError(f"{name} cannot be read: {error}", "check the disk, then run it again.") from error
        raise DataError(f"{name} cannot be decoded: {error}", remedy) from None
    return image, (size[::-1] if turned else size)


def _fit(image: Image.Image, width: int, height: int) -> np.ndarray:
    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if image.size != inner:
        image = image.resize(inner, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if inner == (width, height):
        return np.asarray(image)
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    frame[top : top + inner[1], left : left + inner[0]] = np.asarray(image)
    return frame


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(laplacian.var())
