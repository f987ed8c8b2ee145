"""The split: whole groups, both labels, shares nearly met, and no leak that goes unseen."""

import shutil
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from frames_factory import make_index
from pageflip.base.errors import DataError
from pageflip.frames import splitting
from pageflip.frames.assignment import PARTS, part_rows, read_assignment
from pageflip.frames.names import frame_path
from pageflip.frames.pack_building import build_pack
from pageflip.frames.splitting import assign_parts, describe_split, find_groups, refuse_leaks, report_leaks
from pageflip.params.sections import Shares
from tasks import split as split_stage

SHARES = Shares(train=0.6, val=0.2, test=0.2)


def deal(index, **changes):
    options = {"unit": "clip", "protocol": "grouped", "shares": SHARES, "near_duplicate_bits": 4, "seed": 7}
    return assign_parts(index, **options | changes)


def sides(assignment, column):
    return assignment[assignment["part"] != "unused"].groupby(column)["part"].nunique()


def test_groups_stand_whole_on_one_side_and_nothing_leaks():
    index = make_index()
    assignment = deal(index)
    assert (sides(assignment, "group") == 1).all()
    assert (sides(assignment, "clip") == 1).all()
    assert assignment["row"].tolist() == list(range(len(index)))
    for part in PARTS:
        assert set(assignment.loc[assignment["part"] == part, "label"]) == {"flip", "notflip"}
    report = report_leaks(index, assignment, 4)
    assert (report["leaks"], report["groups_on_two_sides"], report["near_duplicates_across"]) == (False, [], 0)
    assert report["nearest_distance"]["test"]["min"] > 4


def test_the_seed_fixes_the_split_and_another_one_changes_it():
    index = make_index()
    pd.testing.assert_frame_equal(deal(index), deal(index))
    assert any((deal(index, seed=seed)["part"] != deal(index)["part"]).any() for seed in (1, 2, 3))


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.7, 0.15, 0.15), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33)])
def test_shares_are_met_roughly(shares):
    wanted = Shares(**dict(zip(PARTS, shares, strict=True)))
    found = deal(make_index(clips=40), shares=wanted)["part"].value_counts(normalize=True)
    for part, share in zip(PARTS, shares, strict=True):
        assert found[part] == pytest.approx(share, abs=0.06)


def test_the_unit_book_keeps_books_whole():
    assignment = deal(make_index(clips=24, books=8), unit="book")
    assert (sides(assignment, "book") == 1).all()
    assert assignment["group"].nunique() == 8


def test_the_unit_book_wants_every_book():
    index = make_index()
    index.loc[index["clip"] == "notflip/0003", "book"] = None
    with pytest.raises(DataError, match=r"split\.unit is book, and the book of clip notflip/0003 is unknown"):
        deal(index, unit="book")
    deal(index)


def test_clips_with_a_near_duplicate_frame_share_a_group():
    index = make_index()
    one, two = (index.index[index["clip"] == clip][2] for clip in ("flip/0002", "notflip/0007"))
    index.loc[two, "phash"] = index.loc[one, "phash"] ^ np.uint64(0b1111)
    groups = pd.Series(find_groups(index, unit="clip", near_duplicate_bits=4), index=index["clip"])
    assert set(groups["notflip/0007"]) == set(groups["flip/0002"]) == {"flip/0002"}
    assert groups.nunique() == 19
    assert len(set(find_groups(index, unit="clip", near_duplicate_bits=3))) == 20
    for seed in range(5):
        assert (sides(deal(index, seed=seed), "group") == 1).all()


def test_frames_that_cannot_be_decoded_are_unused_and_join_nothing():
    index = make_index()
    bad = [index.index[index["clip"] == clip][0] for clip in ("flip/0000", "flip/0001", "notflip/0004")]
    index.loc[bad, "decodable"] = False
    index.loc[bad, "phash"] = 0
    assignment = deal(index)
    assert assignment["group"].nunique() == 20
    assert assignment.index[assignment["part"] == "unused"].tolist() == sorted(bad)


@pytest.mark.parametrize("bits", [0, 3, 10])
@pytest.mark.parametrize("unit", ["clip", "book"])
@pytest.mark.parametrize("block", [1, 2**23])
def test_groups_are_those_of_a_brute_force_search(bits, unit, block, monkeypatch):
    monkeypatch.setattr(splitting, "PAIRS_PER_STEP", block)
    rng = np.random.default_rng(bits)
    index = make_index(clips=12, frames=2, books=9, seed=bits)
    few = rng.integers(0, 2**64, 20, dtype="u8")  # hashes a few bits off some of a few
    flips = np.array([np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, 5, dtype="u8")) for _ in index.index])
    index["phash"] = few[rng.integers(0, 20, len(index))] ^ flips
    index["decodable"] = rng.random(len(index)) > 0.1

    clips = sorted(set(index["clip"]))
    group = {clip: clip for clip in clips}
    rows = list(index.itertuples())
    for one, two in combinations(rows, 2):
        near = one.decodable and two.decodable and (int(one.phash) ^ int(two.phash)).bit_count() <= bits
        if near or (unit == "book" and one.book == two.book):
            old, new = sorted((group[one.clip], group[two.clip]))[::-1]
            group = {clip: new if name == old else name for clip, name in group.items()}
    expected = [group[clip] for clip in index["clip"]]
    assert find_groups(index, unit=unit, near_duplicate_bits=bits).tolist() == expected


def test_an_empty_class_is_refused():
    index = make_index()
    with pytest.raises(DataError, match=r"10 groups \(10 flip\) are too few to draw 20%"):
        deal(index[index["label"] == "flip"].reset_index(drop=True))


def test_too_few_groups_are_refused():
    with pytest.raises(DataError, match=r"4 groups \(2 flip, 2 notflip\) are too few to draw 20% .* part test"):
        deal(make_index(clips=2))
    index = make_index()
    index["phash"] = np.uint64(0)
    with pytest.raises(DataError, match=r"1 groups .* are too few"):
        deal(index)


def test_a_class_that_cannot_be_decoded_is_refused():
    index = make_index()
    index.loc[index["label"] == "flip", "decodable"] = False
    with pytest.raises(DataError, match=r"10 groups \(10 notflip\) are too few"):
        deal(index)


def test_a_clip_on_two_sides_is_a_leak_and_refused(tmp_path):
    index = make_index()
    assignment = deal(index)
    clip = assignment.loc[assignment["part"] == "train", "clip"].iloc[0]
    assignment.loc[assignment.index[assignment["clip"] == clip][0], "part"] = "test"
    report = report_leaks(index, assignment, 4)
    assert (report["leaks"], report["groups_on_two_sides"], report["clips_on_two_sides"]) == (True, [clip], 1)
    with pytest.raises(DataError, match="the split leaks: 1 groups stand on two sides, and 0 frames"):
        refuse_leaks(report | {"protocol": "grouped"}, tmp_path)


def test_a_clip_on_two_sides_is_a_leak_even_where_its_frames_claim_different_groups():
    index = make_index()
    assignment = deal(index)
    row = assignment.index[assignment["part"] == "train"][0]
    assignment.loc[row, ["part", "group"]] = ["test", "a group of its own"]
    assert report_leaks(index, assignment, 4)["leaks"] is True


def test_a_near_duplicate_across_is_a_leak_and_refused(tmp_path):
    index = make_index()
    assignment = deal(index)
    train, test = (assignment.index[assignment["part"] == part][0] for part in ("train", "test"))
    index.loc[test, "phash"] = index.loc[train, "phash"] ^ np.uint64(0b101)
    report = report_leaks(index, assignment, 4)
    assert (report["leaks"], report["near_duplicates_across"], report["groups_on_two_sides"]) == (True, 1, [])
    assert report["nearest_distance"]["test"]["min"] == 2
    assert report["nearest_distance"]["test"]["histogram"]["2"] == 1
    with pytest.raises(DataError, match="0 groups stand on two sides, and 1 frames"):
        refuse_leaks(report | {"protocol": "grouped"}, tmp_path)
    assert report_leaks(index, assignment, 1)["leaks"] is False


def test_the_supplied_split_leaks_and_only_says_so(tmp_path):
    index = make_index()
    assignment = deal(index, protocol="supplied")
    test = assignment["part"] == "test"
    assert (index["supplied"][test] == "testing").all()
    assert (index["supplied"][~test] == "training").all()
    assert (assignment["part"] == "val").sum() == round(80 * 0.2 / 0.8)
    report = report_leaks(index, assignment, 4)
    assert report["leaks"] is True
    report["protocol"] = "supplied"
    refuse_leaks(report, tmp_path)
    assert describe_split(assignment, report)[-1].startswith("supplied (leaky): 20 groups stand on two sides")


def test_a_part_without_one_label_is_refused():
    index = make_index()
    index["supplied"] = np.where(index["label"] == "flip", "testing", "training")
    with pytest.raises(DataError, match=r"the part \w+ holds only \d+ (notflip|flip)\n"):
        deal(index, protocol="supplied")


def test_rows_of_a_part_come_with_targets():
    index = make_index()
    assignment = deal(index)
    rows, target = part_rows(assignment, "val")
    assert (rows.dtype, target.dtype) == (np.int64, np.uint8)
    assert (index["label"].iloc[rows] == "flip").to_numpy().tolist() == (target == 1).tolist()


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*assignment\.parquet"):
        read_assignment(tmp_path)


def run_stage(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["split", *map(str, arguments)])
    split_stage.main()


def test_the_stage_splits_packed_frames_for_good(packed, params_file, tmp_path, monkeypatch, capsys):
    out = tmp_path / "split"
    run_stage(monkeypatch, "--frames", packed[1], "--out", out, "--params", params_file)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {"assignment.parquet", "leaks.json"}
    assert len(read_assignment(out)) == 60
    assert "split: test: " in capsys.readouterr().out
    run_stage(monkeypatch, "--frames", packed[1], "--out", out, "--params", params_file)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_a_corrupt_frame_is_unused_in_the_split_of_its_pack(packed, tmp_path):
    raw = shutil.copytree(packed[0], tmp_path / "raw")
    (raw / frame_path("training", "flip", "0001", 1)).write_bytes(b"")
    index = build_pack(raw, tmp_path / "frames", width=27, height=48)
    assignment = deal(index)
    assert assignment.loc[assignment["part"] == "unused", ["label", "video", "frame"]].values.tolist() == [
        ["flip", "0001", 1]
    ]


def test_a_clip_saved_again_under_another_name_stays_on_the_side_of_its_twin(packed, tmp_path):
    raw = shutil.copytree(packed[0], tmp_path / "raw")
    for number in range(1, 5):
        with Image.open(raw / frame_path("training", "flip", "0003", number)) as picture:
            picture.save(raw / frame_path("training", "flip", "0099", number), quality=70)
    index = build_pack(raw, tmp_path / "frames", width=27, height=48)
    groups = pd.Series(find_groups(index, unit="clip", near_duplicate_bits=4), index=index["clip"])
    assert groups["flip/0099"].iloc[0] == groups["flip/0003"].iloc[0] == "flip/0003"
    assert report_leaks(index, deal(index), 4)["leaks"] is False


@pytest.mark.parametrize(("flips", "others"), [(3, 3), (3, 30)])
def test_fewer_frames_of_a_label_than_folds_are_refused(flips, others):
    index = make_index(clips=30, frames=1)
    video = index["video"].astype(int)
    index = index[video < np.where(index["label"] == "flip", flips, others)].reset_index(drop=True)
    with pytest.raises(DataError, match=rf"{flips + others} groups \({flips} flip, {others} notflip\) are too few"):
        deal(index)
