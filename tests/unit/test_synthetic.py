"""The renderer of labelled clips: labels by construction, a valid archive, the same bytes for the same seed."""

import json
from dataclasses import replace
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from pageflip.errors import ConfigError, DataError
from pageflip.frames import list_frames, read_books
from pageflip.synthetic import plan_clips, render_clip, write_archive, write_video
from pageflip.synthetic.archive import testing_numbers as numbers_for_testing
from pageflip.synthetic.geometry import lift_of, sheet
from pageflip.synthetic.looks import book_look
from pageflip.synthetic.scene import Flip

SMALL = {"width": 108, "height": 192}


def plan(seed=3, books=2, clips_per_book=4, frames_per_clip=6, **size):
    return plan_clips(
        seed=seed, books=books, clips_per_book=clips_per_book, frames_per_clip=frames_per_clip, **(size or SMALL)
    )


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_plan_gives_each_book_as_many_clips_of_either_label_and_numbers_labels_separately():
    clips = plan(books=3, clips_per_book=4)
    for label in ("flip", "notflip"):
        mine = [clip for clip in clips if clip.label == label]
        assert [clip.video for clip in mine] == [f"{number:04d}" for number in range(1, 7)]
        assert [clip.book for clip in mine] == ["book-01"] * 2 + ["book-02"] * 2 + ["book-03"] * 2


def test_plan_leaves_a_gap_in_the_frame_numbers_of_one_clip_of_each_label():
    clips = plan(frames_per_clip=6)
    gaps = [clip for clip in clips if any(two - one > 1 for one, two in pairwise(clip.numbers))]
    assert [(clip.label, clip.video) for clip in gaps] == [("flip", "0002"), ("notflip", "0002")]
    assert all(len(clip.numbers) == 6 for clip in clips)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"books": 0}, "books is 0"),
        ({"clips_per_book": 1}, "clips_per_book is 1"),
        ({"frames_per_clip": 1.5}, "frames_per_clip is 1.5"),
        ({"books": 900, "clips_per_book": 40}, "18000 video numbers"),
        ({"width": 30, "height": 60}, "width is 30"),
        ({"width": 109, "height": 192}, "odd"),
        ({"width": 192, "height": 108}, "upright"),
    ],
)
def test_plan_refuses_numbers_that_cannot_be(wrong, message):
    with pytest.raises(ConfigError, match=message):
        plan(**wrong)


def test_every_flip_frame_has_its_page_in_the_air_and_no_other_frame_has():
    for clip in plan(seed=5, books=8, clips_per_book=4, frames_per_clip=3, width=64, height=112):
        frames = list(render_clip(clip))
        assert [frame.number for frame in frames] == list(clip.numbers)
        assert all((frame.lift > 0) == (clip.label == "flip") for frame in frames), clip
        assert all(frame.image.shape == (112, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)


def test_frames_depend_on_the_seed_and_on_nothing_else():
    one, again, other = (list(render_clip(plan(seed=seed)[0])) for seed in (3, 3, 4))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_a_large_picture_shows_the_same_scene_as_a_small_one():
    clip = plan(frames_per_clip=2)[0]
    large = next(render_clip(replace(clip, width=648, height=1152))).image
    small = next(render_clip(replace(clip, width=324, height=576))).image
    difference = cv2.resize(large, (27, 48), interpolation=cv2.INTER_AREA).astype(int) - cv2.resize(
        small, (27, 48), interpolation=cv2.INTER_AREA
    )
    assert np.abs(difference).mean() < 4


def test_books_look_different_and_both_labels_come_in_the_same_brightness():
    clips = plan(seed=9, books=8, clips_per_book=4, frames_per_clip=2, width=64, height=112)
    means = {label: [] for label in ("flip", "notflip")}
    for clip in clips:
        means[clip.label].append(next(render_clip(clip)).image.mean())
    assert np.std(means["flip"]) > 10
    assert np.std(means["notflip"]) > 10
    assert abs(np.mean(means["flip"]) - np.mean(means["notflip"])) < 20


@pytest.mark.parametrize("skew", [-0.28, 0.0, 0.28])
def test_a_sheet_keeps_its_length_and_lies_flat_at_both_ends_only(skew):
    look = book_look(17, 16 / 9)
    for progress in np.linspace(0, 1, 21):
        points, _ = sheet(look, float(progress), skew)
        length = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(axis=1)
        assert length == pytest.approx(look.page[0], rel=0.02)
        assert (lift_of(look, float(progress), skew) > 0) == (0.04 < progress < 0.96)


def test_a_flip_never_goes_back():
    flip = Flip(2.0, 10.0, 0.1, 0.9, power=1.3, ease=0.5, pause=(0.4, 0.3))
    way = [flip.progress(t) for t in np.linspace(0, 14, 50)]
    assert way == sorted(way)
    assert way[0] == pytest.approx(0.1)
    assert way[-1] == pytest.approx(0.9)


def test_archive_has_the_layout_that_the_frame_listing_reads(tmp_path):
    clips, done = plan(), []
    write_archive(clips, tmp_path / "raw", workers=1, advance=done.append)
    frames = list_frames(tmp_path / "raw")
    assert done == [6] * len(clips)
    assert len(frames) == sum(done)
    assert read_books(tmp_path / "raw") == {(clip.label, clip.video): clip.book for clip in clips}
    picture = cv2.imread(str(tmp_path / "raw" / frames[0].path))
    assert picture.shape == (192, 108, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["raw"]


def test_archive_puts_a_fifth_of_each_clip_into_testing(tmp_path):
    clips = plan(books=1, clips_per_book=2, frames_per_clip=10)
    write_archive(clips, tmp_path / "raw", workers=1)
    for clip in clips:
        mine = [frame for frame in list_frames(tmp_path / "raw") if frame.clip == f"{clip.label}/{clip.video}"]
        assert {frame.frame for frame in mine if frame.supplied == "testing"} == numbers_for_testing(clip)
        assert len(numbers_for_testing(clip)) == 2
        assert [frame.frame for frame in mine] == list(clip.numbers)


def test_the_same_file_name_stands_under_both_labels_for_different_pictures(tmp_path):
    write_archive(plan(books=1, clips_per_book=2), tmp_path / "raw", workers=1)
    by_label = {"flip": {}, "notflip": {}}
    for frame in list_frames(tmp_path / "raw"):
        by_label[frame.label][(tmp_path / frame.path).name] = (tmp_path / "raw" / frame.path).read_bytes()
    shared = by_label["flip"].keys() & by_label["notflip"].keys()
    assert len(shared) == 6
    assert all(by_label["flip"][name] != by_label["notflip"][name] for name in shared)


def test_worker_processes_write_the_same_bytes_as_one_process(tmp_path):
    clips = plan(books=1, clips_per_book=2, frames_per_clip=3)
    write_archive(clips, tmp_path / "alone", workers=1)
    write_archive(clips, tmp_path / "shared", workers=2)
    assert contents(tmp_path / "alone") == contents(tmp_path / "shared")


def test_archive_fills_an_empty_folder_and_refuses_one_that_holds_something(tmp_path):
    clips = plan(books=1, clips_per_book=2, frames_per_clip=2)
    (tmp_path / "raw").mkdir()
    write_archive(clips, tmp_path / "raw", workers=1)
    before = contents(tmp_path / "raw")
    with pytest.raises(DataError, match="raw exists already"):
        write_archive(clips, tmp_path / "raw", workers=1)
    assert contents(tmp_path / "raw") == before


def test_archive_leaves_nothing_behind_when_it_is_stopped(tmp_path):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archive(plan(frames_per_clip=2), tmp_path / "raw", workers=1, advance=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"quality": 0}, {"workers": 0}])
def test_archive_refuses_settings_that_cannot_be(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is 0"):
        write_archive(plan(), tmp_path / "raw", **wrong)


def test_archive_refuses_no_clips_and_a_clip_planned_twice(tmp_path):
    with pytest.raises(ConfigError, match="no clips"):
        write_archive([], tmp_path / "raw")
    with pytest.raises(ConfigError, match="flip/0001 is planned twice"):
        write_archive(plan()[:1] * 2, tmp_path / "raw")


def test_video_decodes_and_its_flips_lie_apart_within_its_frames(tmp_path):
    path, truth_path = tmp_path / "book.mp4", tmp_path / "book.events.json"
    truth = write_video(path, seed=4, book=0, flips=2, fps=10, events_path=truth_path, **SMALL)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(frames) == truth["frames"]
    assert frames[0].shape == (192, 108, 3)
    bounds = [number for event in truth["events"] for number in (event["start_frame"], event["end_frame"])]
    assert len(truth["events"]) == 2
    assert 0 < bounds[0] <= bounds[1] < bounds[2] - 1 < bounds[3] < truth["frames"] - 1
    assert json.loads(truth_path.read_text()) == truth
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.events.json", "book.mp4"]


def test_video_is_the_same_for_the_same_seed_and_without_flips_has_no_events(tmp_path):
    for name in ("one.mp4", "two.mp4"):
        truth = write_video(tmp_path / name, seed=4, book=1, flips=0, fps=10, **SMALL)
        assert truth["events"] == []
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "wrong", "error", "message"),
    [
        ("book.avi", {}, DataError, "not the name of an MP4 file"),
        ("book.mp4", {"flips": -1}, ConfigError, "flips is -1"),
        ("book.mp4", {"fps": 0}, ConfigError, "fps is 0"),
    ],
)
def test_video_refuses_what_cannot_be_written(tmp_path, name, wrong, error, message):
    with pytest.raises(error, match=message):
        write_video(tmp_path / name, **{"seed": 1, "book": 0, "flips": 1, **wrong})
