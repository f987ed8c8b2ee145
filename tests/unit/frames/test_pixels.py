"""From a picture file to pixels: upright, in RGB, to scale, or an error."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pageflip.base.errors import DataError, UnavailableError
from pageflip.frames.pixels import decode_frame, decode_image, perceptual_hash, resize_frame

WIDTH, HEIGHT = 27, 48
CORNERS = np.array([[[220, 30, 30], [30, 200, 30]], [[30, 30, 220], [230, 230, 230]]], np.uint8)


def encode(image, form="JPEG", **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def four_corners(width=270, height=480):
    """Red and green above, blue and white below."""
    return Image.fromarray(CORNERS).resize((width, height), Image.Resampling.NEAREST)


def corners_of(pixels):
    height, width = pixels.shape[:2]
    rows, columns = [height // 4, 3 * height // 4], [width // 4, 3 * width // 4]
    return pixels[np.ix_(rows, columns)].astype(int)


def smooth_noise(seed=0, width=540, height=960):
    noise = np.random.default_rng(seed).integers(0, 255, (24, 14, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_pictures_become_rgb_of_the_wanted_size(form, tmp_path):
    content = encode(four_corners(), form)
    pixels = decode_image(content, WIDTH, HEIGHT)
    assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert np.abs(corners_of(pixels) - CORNERS).max() < 12
    (tmp_path / "picture").write_bytes(content)
    assert (decode_image(tmp_path / "picture", WIDTH, HEIGHT) == pixels).all()


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_pictures_are_turned_upright_by_their_exif_orientation(orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = decode_frame(encode(four_corners().transpose(stored), exif=exif), WIDTH, HEIGHT)
    assert (frame.width, frame.height) == (270, 480)
    assert np.abs(corners_of(frame.pixels) - CORNERS).max() < 12


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_become_rgb(mode):
    pixels = decode_image(encode(four_corners().convert(mode), quality=95), WIDTH, HEIGHT)
    expected = np.asarray(Image.fromarray(CORNERS).convert(mode).convert("RGB")).astype(int)
    assert np.abs(corners_of(pixels) - expected).max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1"])
def test_pngs_of_any_mode_become_rgb(mode):
    assert decode_image(encode(four_corners().convert(mode), "PNG"), WIDTH, HEIGHT).shape == (HEIGHT, WIDTH, 3)


def test_a_landscape_picture_stands_between_black_bars():
    pixels = decode_image(encode(Image.new("RGB", (480, 270), (200, 200, 200))), WIDTH, HEIGHT)
    bright = (pixels > 150).all(axis=(1, 2))
    assert bright.sum() == round(270 * WIDTH / 480)
    assert abs(int(np.flatnonzero(bright)[0]) - (HEIGHT - 1 - int(np.flatnonzero(bright)[-1]))) <= 1
    assert (pixels[~bright] == 0).all()


def test_a_small_picture_is_scaled_up():
    assert np.abs(corners_of(decode_image(encode(four_corners(8, 16), "PNG"), WIDTH, HEIGHT)) - CORNERS).max() < 40


def test_decoding_at_a_reduced_scale_equals_the_full_decode():
    picture = smooth_noise()
    content = encode(picture, quality=92)
    full = resize_frame(np.asarray(Image.open(BytesIO(content)).convert("RGB")), 108, 192)
    difference = np.abs(decode_image(content, 108, 192).astype(int) - full)
    assert difference.mean() < 1.5
    assert difference.max() < 24


def test_video_frames_and_pictures_become_the_same_pixels():
    rgb = np.asarray(smooth_noise(width=64, height=100))
    content = encode(Image.fromarray(rgb), "PNG")
    assert (resize_frame(rgb, WIDTH, HEIGHT) == decode_image(content, WIDTH, HEIGHT)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_pictures_are_refused(form, share):
    content = encode(smooth_noise(width=120, height=200), form)
    with pytest.raises(DataError, match=r"the picture (cannot be decoded|is not a JPEG or PNG)"):
        decode_image(content[: int(share * len(content))], WIDTH, HEIGHT)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"GIF89a" + bytes(40), b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused_by_name(content, tmp_path):
    path = tmp_path / "frame.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"frame\.jpg (is not a JPEG or PNG picture|cannot be decoded)"):
        decode_image(path, WIDTH, HEIGHT)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.jpg"):
        decode_image(tmp_path / "nowhere.jpg", WIDTH, HEIGHT)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what it puts up with
def test_damaged_bytes_give_a_picture_or_a_data_error_and_nothing_else():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    content = encode(smooth_noise(width=32, height=48), exif=exif)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(800):
        damaged = bytearray(content)
        for position in rng.integers(0, min(len(content), 300), rng.integers(1, 7)):
            damaged[position] = rng.integers(256)
        try:
            assert decode_image(bytes(damaged), 16, 24).shape == (24, 16, 3)
        except DataError:
            refused += 1
    assert refused


def test_an_exif_block_that_pillow_cannot_write_again_is_a_data_error():
    """Turning a picture rewrites its EXIF block; a number that claims to be text fails there with struct.error."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0100] = 6, 1
    content = encode(four_corners(32, 48), exif=exif)
    number, text = (struct.pack(">HHI", 0x0100, kind, 1) for kind in (4, 2))
    assert number in content
    with pytest.raises(DataError, match="cannot be decoded: required argument"):
        decode_image(content.replace(number, text), 16, 24)


def test_measures_tell_brightness_contrast_and_sharpness():
    even = decode_frame(encode(Image.new("RGB", (64, 96), (100, 100, 100)), "PNG"), WIDTH, HEIGHT)
    assert (even.brightness_mean, even.brightness_std, even.sharpness) == pytest.approx((100, 0, 0), abs=1e-3)
    sharp = smooth_noise(width=64, height=96)
    blurred = sharp.filter(ImageFilter.GaussianBlur(4))
    sharp, blurred = (decode_frame(encode(picture, "PNG"), WIDTH, HEIGHT) for picture in (sharp, blurred))
    assert sharp.sharpness > 4 * blurred.sharpness
    assert (sharp.width, sharp.height) == (64, 96)


def test_the_hash_of_a_near_duplicate_is_near_and_of_another_picture_far():
    one = smooth_noise(1).convert("L")
    again = Image.open(BytesIO(encode(one, quality=60)))
    other = smooth_noise(2).convert("L")
    assert (perceptual_hash(one) ^ perceptual_hash(again)).bit_count() <= 4
    assert (perceptual_hash(one) ^ perceptual_hash(other)).bit_count() > 12
    assert 0 <= perceptual_hash(one) < 2**64


def test_a_fault_of_the_disk_is_none_of_the_picture():
    with pytest.raises(UnavailableError, match=r"cannot be read: .*Input/output error"):
        decode_image(Path("/proc/self/mem"), WIDTH, HEIGHT)  # opens, and then answers EIO
