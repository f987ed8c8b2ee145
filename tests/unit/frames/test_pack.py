"""The pack: what stands in row i of the index is what stands in row i of the array."""

import threading
import time

import numpy as np
import pytest

from frames_factory import make_raw
from pageflip.base.errors import DataError
from pageflip.frames.names import frame_path
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.frames.parallel import map_chunks
from pageflip.frames.pixels import decode_image

WIDTH, HEIGHT = 27, 48


def test_rows_of_pack_and_index_belong_together_with_several_workers(packed):
    raw, folder = packed
    frames, index = open_pack(folder)
    assert (frames.shape, frames.dtype) == ((60, HEIGHT, WIDTH, 3), np.uint8)
    assert index[["label", "video", "frame"]].apply(tuple, axis=1).is_monotonic_increasing
    for row, path in enumerate(index["path"]):
        assert (frames[row] == decode_image(raw / path, WIDTH, HEIGHT)).all(), path


def test_the_index_tells_of_each_frame(packed):
    _, index = open_pack(packed[1])
    first = index.iloc[0]
    assert (first["label"], first["clip"], first["book"]) == ("flip", "flip/0001", "book-2")
    assert (first["width"], first["height"], first["frame"]) == (54, 96, 1)
    assert index["phash"].dtype == np.uint64
    assert index["decodable"].all()
    assert index["error"].isna().all()
    assert index["sha256"].str.fullmatch("[0-9a-f]{64}").all()


def test_equal_frames_give_equal_bytes_whatever_the_workers(packed, tmp_path):
    raw, folder = packed
    build_pack(raw, tmp_path / "again", width=WIDTH, height=HEIGHT, workers=1)
    for name in ("pack.npy", "index.parquet", "pack.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_frame_key_under_both_labels_is_two_frames(tmp_path):
    raw = make_raw(tmp_path / "raw", clips=1, frames=1)
    build_pack(raw, tmp_path / "out", width=WIDTH, height=HEIGHT)
    frames, index = open_pack(tmp_path / "out")
    assert index[["label", "video", "frame"]].to_numpy().tolist() == [["flip", "0001", 1], ["notflip", "0001", 1]]
    assert index["sha256"].nunique() == 2
    assert (frames[0] != frames[1]).any()


def test_gaps_in_frame_numbers_leave_no_gap_in_the_pack(tmp_path):
    raw = make_raw(tmp_path / "raw", clips=1, frames=6)
    for number in (2, 3, 4):
        (raw / frame_path("training", "flip", "0001", number)).unlink()
    index = build_pack(raw, tmp_path / "out", width=WIDTH, height=HEIGHT)
    assert index.loc[index["label"] == "flip", "frame"].tolist() == [1, 5, 6]


@pytest.fixture
def damaged(tmp_path):
    """A pack whose frame 1 of flip/0001 is corrupt, and whose frame 2 is cut off."""
    raw = make_raw(tmp_path / "raw", clips=2, frames=3)
    (raw / frame_path("training", "flip", "0001", 1)).write_bytes(b"no picture at all")
    cut = raw / frame_path("training", "flip", "0001", 2)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    build_pack(raw, tmp_path / "out", width=WIDTH, height=HEIGHT, workers=2)
    return open_pack(tmp_path / "out")


def test_corrupt_and_truncated_frames_keep_their_row_and_say_why(damaged):
    frames, index = damaged
    assert index["decodable"].tolist() == [False, False] + [True] * 10
    assert index["error"][0] == "the picture is not a JPEG or PNG picture"
    assert index["error"][1].startswith("the picture cannot be decoded: ")
    assert index["error"][2:].isna().all()
    assert (frames[:2] == 0).all()
    assert index["width"].isna().tolist() == [True, True] + [False] * 10
    assert index["bytes"][0] == 17


def test_hashes_stay_exact_beside_frames_that_cannot_be_decoded(damaged, tmp_path):
    """A null would turn 64-bit hashes into floats and make strangers near-duplicates."""
    _, index = damaged
    whole = build_pack(make_raw(tmp_path / "w", clips=2, frames=3), tmp_path / "o", width=WIDTH, height=HEIGHT)
    assert index["phash"].dtype == np.uint64
    assert index["phash"][2:].tolist() == whole["phash"][2:].tolist()


def test_a_failing_pack_leaves_the_one_before(tmp_path):
    raw = make_raw(tmp_path / "raw", clips=1, frames=2)
    build_pack(raw, tmp_path / "out", width=WIDTH, height=HEIGHT)
    before = (tmp_path / "out" / "index.parquet").read_bytes()
    (raw / "images" / "stray.txt").write_text("")
    with pytest.raises(DataError, match="not in the layout"):
        build_pack(raw, tmp_path / "out", width=WIDTH, height=HEIGHT)
    assert (tmp_path / "out" / "index.parquet").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_a_missing_pack_and_one_that_disagrees_with_its_index_are_refused(tmp_path, packed):
    with pytest.raises(DataError, match=r"there is no .*pack\.npy"):
        open_pack(tmp_path)
    np.save(tmp_path / "pack.npy", np.zeros((3, HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(DataError, match=r"there is no .*index\.parquet"):
        open_pack(tmp_path)
    (tmp_path / "index.parquet").write_bytes((packed[1] / "index.parquet").read_bytes())
    with pytest.raises(DataError, match=r"the shape \(3, 48, 27, 3\), the index 60 rows"):
        open_pack(tmp_path)


def test_chunks_are_read_in_order_and_few_wait():
    """However slow the reader is, the number of chunks computed ahead of it stays bounded."""
    lock, computed, most = threading.Lock(), 0, 0

    def work(start, numbers):
        nonlocal computed
        with lock:
            computed += 1
        return start, numbers

    results = []
    for read, result in enumerate(map_chunks(work, range(79), workers=3, size=2)):
        results.append(result)
        time.sleep(0.001)
        with lock:
            most = max(most, computed - read)
    assert results == [(start, range(79)[start : start + 2]) for start in range(0, 79, 2)]
    assert most <= 6
