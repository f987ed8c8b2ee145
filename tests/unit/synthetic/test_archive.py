"""Archives, scene files and contact sheets of drawn clips: a valid layout, the same bytes for the same seed."""

import json
import subprocess
import sys
from dataclasses import asdict

import cv2
import psutil
import pytest

from pageflip.base.errors import ConfigError, DataError
from pageflip.frames.raw_folder import list_frames, read_books
from pageflip.synthetic.archive import testing_numbers as numbers_for_testing
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.ranges import DEFAULT_RANGES
from pageflip.synthetic.sheet import contact_sheet
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.synthetic.stage.motion import state_at
from pageflip.synthetic.stage.scripts import clip_script

SMALL = {"width": 108, "height": 192}


def plan(seed=3, books=2, clips_per_book=4, frames_per_clip=6, **size):
    return plan_clips(
        seed=seed, books=books, clips_per_book=clips_per_book, frames_per_clip=frames_per_clip, **(size or SMALL)
    )


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_scene_file_holds_the_clip_its_script_and_what_each_frame_shows(tmp_path):
    clips = plan(books=1, clips_per_book=2, frames_per_clip=3)
    write_archive(clips, tmp_path / "raw", workers=1)
    for clip in clips:
        scene = json.loads((tmp_path / "raw" / "scenes" / clip.label / f"{clip.video}.json").read_text())
        script = clip_script(clip, DEFAULT_RANGES)
        assert scene["clip"] == json.loads(json.dumps(asdict(clip)))
        assert scene["script"] == json.loads(json.dumps(asdict(script)))
        states = [(number, state_at(script, (number - 1) * script.step)) for number in clip.numbers]
        assert scene["frames"] == [
            {"number": number, "lift": round(state.lift, 6), "pages": list(state.pages) if state.pages else None}
            for number, state in states
        ]
        assert all((frame["lift"] > 0) == (clip.label == "flip") for frame in scene["frames"])


def test_contact_sheet_shows_both_labels_and_the_real_frames_beside_them(tmp_path):
    clips = plan(books=1, clips_per_book=4, frames_per_clip=2)
    drawn = contact_sheet(clips, columns=2)
    write_archive(clips, tmp_path / "raw", workers=1)
    beside = contact_sheet(clips, columns=2, beside=tmp_path / "raw")
    assert beside.width == drawn.width
    assert beside.height > 1.9 * drawn.height - 20
    with pytest.raises(DataError, match="holds no frames of notflip"):
        contact_sheet(clips, beside=tmp_path / "raw" / "scenes")


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


DRAWING = """
from pathlib import Path
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.stage.clips import plan_clips

if __name__ == "__main__":
    clips = plan_clips(seed=1, books=50, clips_per_book=4, frames_per_clip=9, width=108, height=192)
    write_archive(clips, Path("raw"), workers=2, advance=lambda count: print(count, flush=True))
"""


def test_workers_end_when_the_process_they_draw_for_is_killed(tmp_path):
    (tmp_path / "drawing.py").write_text(DRAWING)
    with subprocess.Popen([sys.executable, "drawing.py"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # a clip is done: the workers are up
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=30)[1] == []
