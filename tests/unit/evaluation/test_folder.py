"""Measuring a model on a labelled folder."""

import json

import numpy as np
import pytest
from PIL import Image

from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation.folder import evaluate_folder
from pageflip.frames.names import frame_path


class Brightness:
    """A model of its own: the brighter the frame, the likelier a flip."""

    width, height, threshold, name, version = 9, 16, 0.5, "brightness", None

    def predict(self, frames):
        assert frames.shape[1:] == (16, 9, 3)
        return (frames.mean(axis=(1, 2, 3)) / 255).astype(np.float32)


def put(folder, label, video, frame, grey, supplied="training"):
    path = folder / frame_path(supplied, label, video, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 18, 3), grey, np.uint8)).save(path, "JPEG")
    return path


def fill(folder, clips=2, frames=3):
    for clip in range(clips):
        for frame in range(frames):
            put(folder, "flip", f"{clip:04d}", frame, 200)
            put(folder, "notflip", f"{clip:04d}", frame, 40 if clip else 180)


def test_folder_is_measured_over_frames_and_clips(tmp_path):
    fill(tmp_path)
    result = evaluate_folder(tmp_path, Brightness())
    assert {"f1", "precision", "recall", "roc_auc", "threshold", "n", "model", "n_flip", "confusion"} <= set(result)
    assert result["confusion"] == {"tp": 6, "fp": 3, "fn": 0, "tn": 3}
    assert (result["n"], result["model"], result["undecodable"]) == (12, "brightness", [])
    assert [(row["clip"], row["correct"]) for row in result["clips"]] == [
        ("flip/0000", True),
        ("flip/0001", True),
        ("notflip/0000", False),
        ("notflip/0001", True),
    ]
    assert "books" not in result
    json.dumps(result, allow_nan=False)


def test_decoding_in_processes_changes_nothing(tmp_path):
    fill(tmp_path, clips=3, frames=12)
    assert evaluate_folder(tmp_path, Brightness(), workers=2) == evaluate_folder(tmp_path, Brightness(), workers=1)


def test_corrupt_frames_are_named_and_left_out(tmp_path):
    fill(tmp_path)
    bad = put(tmp_path, "flip", "0000", 1, 200)
    bad.write_bytes(bad.read_bytes()[:300])
    result = evaluate_folder(tmp_path, Brightness())
    assert [entry["path"] for entry in result["undecodable"]] == [frame_path("training", "flip", "0000", 1)]
    assert result["undecodable"][0]["error"]
    assert (result["n"], result["confusion"]["tp"]) == (11, 5)


def test_a_folder_without_a_single_whole_frame_is_refused(tmp_path):
    put(tmp_path, "flip", "0000", 1, 200).write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 frames"):
        evaluate_folder(tmp_path, Brightness())


def test_a_folder_with_one_label_has_no_roc_auc(tmp_path):
    put(tmp_path, "flip", "0000", 1, 200)
    result = evaluate_folder(tmp_path, Brightness())
    assert (result["roc_auc"], result["f1"]) == (None, 1.0)


@pytest.mark.parametrize("named", ["folder", "file"])
def test_books_give_results_per_book(tmp_path, named):
    fill(tmp_path)
    books = tmp_path / "books.csv"
    books.write_text("label,video_id,book\nflip,0000,a\nnotflip,0000,a\nflip,0001,b\n")
    result = evaluate_folder(tmp_path, Brightness(), books=tmp_path if named == "folder" else books)
    assert [(row["book"], row["n"], row["f1"]) for row in result["books"]] == [
        ("a", 6, pytest.approx(2 / 3)),
        ("b", 3, None),
    ]


def test_a_missing_books_file_is_refused(tmp_path):
    fill(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no .*books\.csv"):
        evaluate_folder(tmp_path, Brightness(), books=tmp_path)
