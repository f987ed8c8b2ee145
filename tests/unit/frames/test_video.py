"""Decoding of videos: times, orientation, and files that are cut short or no videos at all."""

import errno
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pageflip.base.errors import DataError, UnavailableError
from pageflip.frames.video import iter_video

WIDTH, HEIGHT = 27, 48


def write_video(path, frames, *, fps=30, rotation=0, options=None):
    """An H.264 video of uint8 frames [N, height, width, 3]; `rotation` in degrees, counter-clockwise."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ramp(count=12, height=96, width=54):
    """Even frames, each brighter than the one before."""
    greys = np.linspace(30, 220, count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, height, width, 3)).copy()


@pytest.mark.parametrize("name", ["book.mp4", "book.mkv"])
def test_a_video_gives_every_frame_in_order_with_its_time(tmp_path, name):
    frames = list(iter_video(write_video(tmp_path / name, ramp(), fps=25), WIDTH, HEIGHT))
    assert [index for index, _, _ in frames] == list(range(12))
    assert [time_s for _, time_s, _ in frames] == pytest.approx([number / 25 for number in range(12)], abs=2e-3)
    assert all(pixels.shape == (HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8 for _, _, pixels in frames)
    means = [pixels.mean() for _, _, pixels in frames]
    assert all(two > one + 5 for one, two in pairwise(means))


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_video_is_turned_upright_as_its_header_says(tmp_path, rotation):
    upright = np.full((96, 64, 3), 40, np.uint8)
    upright[:48, :32] = 220  # top left
    stored = np.ascontiguousarray(np.rot90(upright, k=-rotation // 90))
    path = write_video(tmp_path / "phone.mp4", np.stack([stored] * 3), rotation=rotation)
    pixels = [pixels for _, _, pixels in iter_video(path, 32, 48)]
    assert len(pixels) == 3
    for frame in pixels:
        assert frame[4:20, 4:12].mean() > 180
        assert frame[28:, :].mean() < 80
        assert frame[:, 20:].mean() < 80


def test_a_landscape_video_stands_between_black_bars(tmp_path):
    path = write_video(tmp_path / "wide.mp4", np.full((2, 54, 96, 3), 200, np.uint8))
    for _, _, pixels in iter_video(path, WIDTH, HEIGHT):
        assert (pixels[:10] == 0).all()
        assert (pixels[-10:] == 0).all()
        assert pixels[24].mean() > 180


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_truncated_video_is_refused(tmp_path, options, share):
    """With the index at the end nothing can be read, with the index at the front the first frames can."""
    noise = np.random.default_rng(0).integers(0, 255, (90, 96, 54, 3)).astype(np.uint8)
    path = write_video(tmp_path / "cut.mp4", noise, options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.mp4 (cannot be decoded|is cut short|holds no)"):
        list(iter_video(path, WIDTH, HEIGHT))


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0" * 4000])
def test_what_is_no_video_is_refused(tmp_path, content):
    (tmp_path / "text.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"text\.mp4 (cannot be decoded|holds no)"):
        list(iter_video(tmp_path / "text.mp4", WIDTH, HEIGHT))


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"sound\.mp4 holds no video stream"):
        list(iter_video(tmp_path / "sound.mp4", WIDTH, HEIGHT))


def test_a_fault_of_the_disk_is_none_of_the_video():
    with pytest.raises(UnavailableError, match=r"cannot be read: .*Input/output error"):
        list(iter_video(Path("/proc/self/mem"), WIDTH, HEIGHT))  # opens, and then answers EIO


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ESTALE, errno.ETIMEDOUT])
def test_a_want_of_the_machine_is_none_of_the_video(tmp_path, monkeypatch, code):
    def fail(*_, **__):
        raise av.error.FFmpegError(code, os.strerror(code))

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(UnavailableError, match="cannot be read"):
        list(iter_video(tmp_path / "book.mp4", WIDTH, HEIGHT))


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM])
def test_an_error_of_ffmpeg_where_disk_and_memory_are_fine_is_the_videos_fault(tmp_path, monkeypatch, code):
    (tmp_path / "book.mp4").write_bytes(b"whole")

    def fail(*_, **__):
        raise av.error.FFmpegError(code, os.strerror(code))

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(DataError, match=r"book\.mp4 cannot be decoded"):
        list(iter_video(tmp_path / "book.mp4", WIDTH, HEIGHT))


def test_a_title_that_is_no_utf8_does_not_stop_a_video(tmp_path):
    path = write_video(tmp_path / "book.mp4", ramp())
    content = path.read_bytes()
    assert b"VideoHandler" in content
    path.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert len(list(iter_video(path, WIDTH, HEIGHT))) == 12
