"""Pictures, folders and videos that a user names, and what the model says of them."""

from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from pageflip.base.errors import ConfigError
from pageflip.footage.predict import events_as_json, find_events, list_inputs, predict_files
from pageflip.inference.predictor import BATCH, Predictor


@pytest.fixture(scope="module")
def predictor(write_model, tmp_path_factory):
    return Predictor.load(write_model(tmp_path_factory.mktemp("model") / "m.onnx"))


def picture(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (27, 48), (grey, grey, grey)).save(path)
    return path


def video(path, greys):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 54, 96, "yuv420p"
        for grey in greys:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 54, 3), grey, np.uint8), "rgb24")))
        container.mux(stream.encode())
    return path


def test_folders_are_searched_in_order_of_name_and_other_files_left_alone(tmp_path):
    names = ["in/b.JPG", "in/a.png", "in/deeper/c.jpeg"]
    for name in names:
        picture(tmp_path / name, 9)
    (tmp_path / "in" / "books.csv").write_text("")
    one = picture(tmp_path / "one.jpg", 9)
    found = [path.relative_to(tmp_path).as_posix() for path in list_inputs([one, tmp_path / "in"])]
    assert found == ["one.jpg", "in/a.png", "in/b.JPG", "in/deeper/c.jpeg"]


def test_paths_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no .*nowhere\.jpg"):
        list_inputs([tmp_path / "nowhere.jpg"])
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ConfigError, match=r"notes\.txt is neither a picture nor a video"):
        list_inputs([tmp_path / "notes.txt"])
    with pytest.raises(ConfigError, match="holds no pictures or videos"):
        list_inputs([tmp_path])


def test_each_picture_gets_its_probability_and_label(predictor, tmp_path):
    files = [picture(tmp_path / f"{grey}.png", grey) for grey in (200, 128, 50)]
    rows = list(predict_files(predictor, files))
    assert [row.label for row in rows] == ["flip", "flip", "notflip"]
    assert [row.path for row in rows] == [str(file) for file in files]
    assert rows[1].probability == pytest.approx(0.5)
    assert all((row.frame, row.time_s, row.error) == (None, None, None) for row in rows)


def test_more_pictures_than_a_batch_stay_in_order(predictor, tmp_path):
    bright, dark = picture(tmp_path / "bright.png", 250), picture(tmp_path / "dark.png", 5)
    files = [bright, dark, dark] * BATCH
    assert [row.label for row in predict_files(predictor, files)] == ["flip", "notflip", "notflip"] * BATCH


def test_a_bad_file_gives_its_error_in_its_place_and_the_others_go_on(predictor, tmp_path):
    bad, cut = tmp_path / "bad.jpg", tmp_path / "cut.mp4"
    bad.write_text("no picture")
    cut.write_text("no video")
    good = picture(tmp_path / "good.png", 200)
    rows = list(predict_files(predictor, [good, bad, good, cut, good]))
    assert [row.path for row in rows] == [str(path) for path in (good, bad, good, cut, good)]
    assert [row.label for row in rows] == ["flip", None, "flip", None, "flip"]
    assert "bad.jpg is not a JPEG or PNG picture" in rows[1].error
    assert "cut.mp4 cannot be decoded" in rows[3].error


def test_videos_give_a_row_for_each_frame_between_pictures(predictor, tmp_path):
    before, after = picture(tmp_path / "a.png", 5), picture(tmp_path / "z.png", 5)
    film = video(tmp_path / "book.mp4", [5] * 40 + [250] * 40)
    rows = list(predict_files(predictor, [before, film, after]))
    assert [row.path for row in rows] == [str(before)] + [str(film)] * 80 + [str(after)]
    assert [row.frame for row in rows[1:-1]] == list(range(80))
    assert [row.time_s for row in rows[1:-1]] == pytest.approx([number / 10 for number in range(80)], abs=1e-3)
    assert [row.label for row in rows[1:-1]] == ["notflip"] * 40 + ["flip"] * 40


def test_frames_in_the_review_band_are_marked(predictor, tmp_path):
    unsure = replace(predictor, band=(0.4, 0.6))
    rows = list(predict_files(unsure, [picture(tmp_path / f"{grey}.png", grey) for grey in (200, 128, 50)]))
    assert [row.review for row in rows] == [False, True, False]
    assert [row.review for row in predict_files(predictor, [tmp_path / "128.png"])] == [False]


def test_a_sequence_keeps_the_scores_of_its_frames_and_does_not_print_them(predictor, sequence_model, tmp_path):
    (found,) = find_events(predictor, sequence_model, [video(tmp_path / "v.mp4", [40] * 5 + [220] * 8 + [40] * 5)])
    assert len(found.probabilities) == len(found.times_s) == found.frames == 18
    assert (np.array(found.probabilities) >= 0.5).tolist() == [False] * 5 + [True] * 8 + [False] * 5
    assert found.times_s[10] == pytest.approx(1.0)
    assert not {"probabilities", "times_s"} & set(events_as_json(found))
