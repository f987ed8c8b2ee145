"""The protocols: what each keeps apart, in every fold, and what it says about what it does not."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import frames_factory
from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation import protocol_folds
from pageflip.evaluation.protocol_folds import Fold, check_fold, make_folds, parts_in_time, seen_in_training
from pageflip.params.protocols import PROTOCOLS, Protocols
from pageflip.params.sections import Shares

THIRDS = Shares(train=0.6, val=0.2, test=0.2)
BITS = 4
make_index = partial(frames_factory.make_index, clips=12, frames=6, testing_every=3)


def make_params(**changes):
    given = {"run": PROTOCOLS, "folds": 4, "seeds": (7,), "val_share": 0.2, "later_frames": THIRDS}
    return Protocols(**given | changes)


def sides(fold, column):
    used = fold.assignment[fold.assignment["part"] != "unused"]
    return used.groupby(column)["part"].agg(set)


def judged_frames(folds):
    return pd.concat([fold.assignment[fold.assignment["part"] == "test"] for fold in folds])


@pytest.mark.parametrize("seed", range(3))
def test_no_clip_stands_on_two_sides_of_a_clip_disjoint_fold_and_each_frame_is_tested_once(seed):
    index = make_index(seed=seed)
    folds = make_folds("clip-disjoint", index, make_params(seeds=(seed,)), BITS)
    assert len(folds) == 4
    for fold in folds:
        assert all(len(parts) == 1 for parts in sides(fold, "clip"))
        assert seen_in_training(fold, index, BITS)["clip"] == 0
        assert seen_in_training(fold, index, BITS)["near_duplicate"] == 0
    assert sorted(judged_frames(folds)["row"]) == list(range(len(index)))


def test_clips_that_share_a_near_duplicate_are_tested_together():
    index = make_index()
    index.loc[index["clip"] == "flip/0003", "phash"] = index.loc[index["clip"] == "notflip/0008", "phash"].to_numpy()
    for fold in make_folds("clip-disjoint", index, make_params(), BITS):
        parts = sides(fold, "clip")
        assert parts["flip/0003"] == parts["notflip/0008"]


@pytest.mark.parametrize("books", [3, 4, 9])
def test_every_book_is_left_out_once_and_no_book_stands_on_two_sides(books):
    index = make_index(books=books)
    folds = make_folds("leave-one-book-out", index, make_params(), BITS)
    assert [fold.name for fold in folds] == [f"book-{number}" for number in range(books)]
    for fold in folds:
        assert all(len(parts) == 1 for parts in sides(fold, "book"))
        assert set(fold.assignment.loc[fold.assignment["part"] == "test", "book"]) == {fold.name}
        assert seen_in_training(fold, index, BITS) == {"clip": 0, "book": 0, "near_duplicate": 0}
    assert sorted(judged_frames(folds)["row"]) == list(range(len(index)))
    assert set(judged_frames(folds)["group"]) == set(index["book"])


def test_clips_of_other_books_that_look_like_the_book_left_out_are_not_trained_on():
    index = make_index()
    one, two = (index.index[index["clip"] == clip][2] for clip in ("flip/0001", "flip/0002"))
    index.loc[two, "phash"] = index.loc[one, "phash"] ^ np.uint64(0b101)
    folds = {fold.name: fold for fold in make_folds("leave-one-book-out", index, make_params(), BITS)}
    for name, clip in (("book-1", "flip/0002"), ("book-2", "flip/0001")):
        parts = folds[name].assignment.set_index("clip")["part"]
        assert set(parts[clip]) == {"unused"}
        assert seen_in_training(folds[name], index, BITS)["near_duplicate"] == 0


def test_no_clip_of_validation_looks_like_one_of_training_and_alike_books_are_left_out_all_the_same():
    index = make_index(books=3)
    alike = index["clip"].isin(["flip/0000", "flip/0001", "flip/0002"])  # one clip of each book
    index.loc[alike, "phash"] = np.uint64(0)
    folds = make_folds("leave-one-book-out", index, make_params(), BITS)
    assert len(folds) == 3
    for fold in folds:
        parts = fold.assignment.loc[alike, "part"]
        assert set(parts) == {"test", "unused"}
    twins = index["clip"].isin(["flip/0003", "flip/0004"])
    index.loc[twins, "phash"] = np.uint64(2**64 - 1)
    left_out = {fold.name: fold for fold in make_folds("leave-one-book-out", index, make_params(), BITS)}["book-2"]
    parts = left_out.assignment.loc[twins, "part"]
    assert set(parts) == {"train", "unused"}


def test_a_clip_without_a_book_refuses_leave_one_book_out_and_names_the_file_to_write():
    index = make_index()
    index.loc[index["clip"] == "flip/0005", "book"] = None
    with pytest.raises(DataError, match=r"the book of 1 clips is unknown, the first: flip/0005\n.*books\.csv"):
        make_folds("leave-one-book-out", index, make_params(), BITS)


def test_two_books_are_too_few_to_leave_one_out():
    with pytest.raises(DataError, match="there are frames of 2 books"):
        make_folds("leave-one-book-out", make_index(books=2), make_params(), BITS)


def test_later_frames_tests_the_end_of_every_clip_and_trains_on_its_beginning():
    index = make_index(frames=10)
    (fold,) = make_folds(
        "later-frames", index.sample(frac=1, random_state=1).reset_index(drop=True), make_params(), BITS
    )
    for _, clip in fold.assignment.sort_values("frame").groupby("clip"):
        assert clip["part"].tolist() == ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    assert seen_in_training(fold, index, BITS)["clip"] == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, ["train"]), (2, ["train"] * 2), (3, ["train", "val", "test"]), (4, ["train", "train", "val", "test"])],
)
def test_short_clips_are_dealt_in_time_too(count, expected):
    assert parts_in_time(np.arange(count), np.full(count, count), THIRDS).tolist() == expected


def test_parts_in_time_never_go_back():
    order = {"train": 0, "val": 1, "test": 2}
    for count in range(3, 60):
        for test in (0.05, 0.4, 0.9):
            shares = Shares(train=(1 - test) / 2, val=(1 - test) / 2, test=test)
            places = [order[part] for part in parts_in_time(np.arange(count), np.full(count, count), shares)]
            assert places == sorted(places)
            assert set(places) == {0, 1, 2}


def test_the_supplied_folders_are_taken_as_they_are_and_called_leaky():
    index = make_index()
    (fold,) = make_folds("supplied", index, make_params(), BITS)
    test = fold.assignment["part"] == "test"
    assert (index["supplied"][test] == "testing").all()
    assert (index["supplied"][~test] == "training").all()
    assert seen_in_training(fold, index, BITS)["clip"] == 1
    assert protocol_folds.shown_name("supplied") == "supplied (leaky)"
    assert "not skill" in protocol_folds.MEANING["supplied"]


def test_frames_that_cannot_be_decoded_stand_in_no_part():
    index = make_index()
    bad = [3, 40, 100]
    index.loc[bad, "decodable"] = False
    index.loc[bad, "phash"] = 0
    for protocol in PROTOCOLS:
        for fold in make_folds(protocol, index, make_params(), BITS):
            assert (fold.assignment["part"][bad] == "unused").all()


def test_another_seed_is_another_round_of_folds():
    index = make_index()
    folds = make_folds("clip-disjoint", index, make_params(seeds=(1, 2)), BITS)
    assert [fold.seed for fold in folds] == [1] * 4 + [2] * 4
    assert any(
        (one.assignment["part"] != two.assignment["part"]).any() for one, two in zip(folds[:4], folds[4:], strict=True)
    )


def test_more_folds_than_clips_are_refused():
    with pytest.raises(DataError, match="5 folds of whole clips are asked for, and one label has only 4 groups"):
        make_folds("clip-disjoint", make_index(clips=4), make_params(folds=5), BITS)


def test_an_unknown_protocol_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"no protocol 'time'\n.*clip-disjoint"):
        make_folds("time", make_index(), make_params(), BITS)


@pytest.mark.parametrize("protocol", ["clip-disjoint", "leave-one-book-out"])
def test_a_fold_that_breaks_its_promise_is_refused(protocol):
    fold = make_folds(protocol, make_index(), make_params(), BITS)[0]
    table = fold.assignment.copy()
    table.loc[table.index[table["part"] == "test"][0], "part"] = "train"
    with pytest.raises(DataError, match="is in two parts"):
        check_fold(Fold(protocol, fold.name, fold.seed, table))


@pytest.mark.parametrize("label", ["flip", "notflip"])
def test_a_fold_without_a_label_in_training_is_refused(label):
    fold = make_folds("later-frames", make_index(), make_params(), BITS)[0]
    table = fold.assignment
    table = table[(table["part"] != "train") | (table["label"] != label)]
    with pytest.raises(DataError, match=f"the part train has no {label} frames"):
        check_fold(Fold("later-frames", fold.name, fold.seed, table))
