"""Names, keys and lists of frames."""

import pytest

from pageflip.base.errors import DataError
from pageflip.frames.names import FrameFile, frame_path, parse_path
from pageflip.frames.raw_folder import list_frames, read_books


def put(raw, *names):
    for name in names:
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_path_is_read_back_as_it_was_made():
    path = frame_path("testing", "notflip", "0042", 17)
    assert path == "images/testing/notflip/0042_000000017.jpg"
    frame = parse_path(path)
    assert frame == FrameFile("notflip", "0042", 17, "testing", path)
    assert (frame.key, frame.clip) == (("notflip", "0042", 17), "notflip/0042")


@pytest.mark.parametrize(
    "path",
    [
        "images/training/flip/1_000000001.jpg",
        "images/training/flip/0001_1.jpg",
        "images/training/flip/0001_000000001.JPG",
        "images/training/other/0001_000000001.jpg",
        "images/validation/flip/0001_000000001.jpg",
        "images/training/flip/deeper/0001_000000001.jpg",
        "training/flip/0001_000000001.jpg",
        "images/training/flip/0001_000000001.jpg.part",
    ],
)
def test_other_paths_are_no_frames(path):
    assert parse_path(path) is None


def test_the_same_file_name_under_both_labels_is_two_frames(tmp_path):
    put(tmp_path, frame_path("training", "flip", "0001", 3), frame_path("training", "notflip", "0001", 3))
    assert [frame.key for frame in list_frames(tmp_path)] == [("flip", "0001", 3), ("notflip", "0001", 3)]


def test_frames_are_sorted_by_key_across_the_supplied_folders(tmp_path):
    put(tmp_path, *(frame_path(part, "flip", "0001", n) for n, part in ((10, "testing"), (9, "training"))))
    put(tmp_path, frame_path("testing", "flip", "0000", 700))
    assert [(frame.video, frame.frame) for frame in list_frames(tmp_path)] == [("0000", 700), ("0001", 9), ("0001", 10)]


def test_gaps_in_frame_numbers_are_allowed(tmp_path):
    put(tmp_path, *(frame_path("training", "flip", "0001", number) for number in (1, 2, 40, 41)))
    assert [frame.frame for frame in list_frames(tmp_path)] == [1, 2, 40, 41]


def test_a_key_in_training_and_testing_is_refused(tmp_path):
    put(tmp_path, frame_path("training", "flip", "0001", 3), frame_path("testing", "flip", "0001", 3))
    with pytest.raises(DataError, match=r"frame flip/0001/3 stands twice: images/testing.* and images/training"):
        list_frames(tmp_path)


def test_foreign_files_are_counted_and_the_first_is_named(tmp_path):
    put(tmp_path, frame_path("training", "flip", "0001", 3), "books.csv", "images/z.txt", "images/.DS_Store")
    with pytest.raises(DataError, match=r"2 files .* not in the layout .* the first: images/\.DS_Store"):
        list_frames(tmp_path)


def test_a_missing_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no folder of raw frames at .*nowhere"):
        list_frames(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no frames"):
        list_frames(tmp_path)


def test_without_books_csv_no_book_is_known(tmp_path):
    assert read_books(tmp_path) == {}


def test_books_belong_to_label_and_video(tmp_path):
    (tmp_path / "books.csv").write_text("label,video_id,book\nflip,0001,a\nnotflip,0001,b\n")
    assert read_books(tmp_path) == {("flip", "0001"): "a", ("notflip", "0001"): "b"}


def test_books_saved_by_a_spreadsheet_with_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "books.csv").write_text("label,video_id,book\nflip,0001,a\n", encoding="utf-8-sig")
    assert read_books(tmp_path) == {("flip", "0001"): "a"}


def test_books_whose_zeros_a_spreadsheet_dropped_are_read(tmp_path):
    (tmp_path / "books.csv").write_text("label,video_id,book\nflip,1,a\nflip, 12 ,b\n")
    assert read_books(tmp_path) == {("flip", "0001"): "a", ("flip", "0012"): "b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label,video,book\nflip,0001,a\n", "has the columns"),
        (b"", "has the columns None"),
        (b"label,video_id,book\nflop,0001,a\n", r"books\.csv:2 has the label 'flop'"),
        (b"label,video_id,book\nflip,0001,\n", "names no book"),
        (b"label,video_id,book\nflip,0001,a\nflip,1.0e3,b\n", r"books\.csv:3 has the video_id '1\.0e3'"),
        (b"label,book,video_id\nflip,a\n", r"books\.csv:2 has the video_id None"),
        ("label,video_id,book\nflip,\u0661,a\n".encode(), r"books\.csv:2 has the video_id"),
        (b"label,video_id,book\nflip,0001,a\nflip,0001,b\n", "puts flip/0001 into b, and an earlier line into a"),
        (b"label,video_id,book\nflip,0001,\xff\xfe\n", "is not a CSV in UTF-8"),
    ],
)
def test_unusable_books_are_refused(tmp_path, content, message):
    (tmp_path / "books.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_books(tmp_path)
