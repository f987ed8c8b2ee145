"""Flips and page stills of one video, folder or image."""

import pytest

from pageflip.base.errors import DataError
from pageflip.footage.media import IMAGE, SEQUENCE, VIDEO, LocalFile
from pageflip.footage.read_events import StillsOutput, read_events
from pageflip.params.scoring import Stills
from uploads_factory import BRIGHT, DARK, picture, video

GREYS = [DARK] * 30 + [BRIGHT] * 20 + [DARK] * 30


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    return [LocalFile("v.mp4", video(tmp_path_factory.mktemp("filmed") / "v.mp4", GREYS))]


def test_stills_of_a_video_are_written_into_a_folder_that_need_not_be_there(
    filmed, predictor, sequence_model, tmp_path
):
    output = StillsOutput(Stills(), tmp_path / "new" / "stills")
    scores, stills = read_events(VIDEO, filmed, predictor, sequence_model, output)
    assert len(scores.flips) == 1
    assert {still.file for still in stills} == {file.name for file in output.folder.iterdir()}
    assert stills


def test_without_an_output_nothing_is_written(filmed, predictor, sequence_model, tmp_path):
    scores, stills = read_events(VIDEO, filmed, predictor, sequence_model, None)
    assert len(scores.flips) == 1
    assert (stills, list(tmp_path.iterdir())) == ([], [])


def test_a_folder_of_the_same_frames_has_the_same_flips(filmed, predictor, sequence_model, tmp_path):
    files = [LocalFile(f"{number}.png", picture(tmp_path / f"{number}.png", grey)) for number, grey in enumerate(GREYS)]
    (flip,) = read_events(SEQUENCE, files, predictor, sequence_model, None)[0].flips
    (expected,) = read_events(VIDEO, filmed, predictor, sequence_model, None)[0].flips
    assert abs(flip.start_index - expected.start_index) <= 3
    assert abs(flip.end_index - expected.end_index) <= 3


def test_a_single_image_has_neither_flips_nor_stills(predictor, sequence_model, tmp_path):
    files = [LocalFile("one.png", picture(tmp_path / "one.png", BRIGHT))]
    output = StillsOutput(Stills(), tmp_path / "stills")
    scores, stills = read_events(IMAGE, files, predictor, sequence_model, output)
    assert (scores.flips, stills, output.folder.exists()) == ([], [], False)
    assert scores.probabilities[0] > 0.9


def test_a_folder_without_readable_images_is_refused(predictor, sequence_model, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of the 1 pictures can be read: bad\.png is not"):
        read_events(SEQUENCE, [LocalFile("bad.png", tmp_path / "bad.png")], predictor, sequence_model, None)
