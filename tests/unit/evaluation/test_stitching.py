"""Streams stitched from test clips: what stands in them, what is true of them, and how flips in them are judged."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pageflip.evaluation.metrics import flat_numbers
from pageflip.evaluation.stitching import (
    DECODER,
    DIFFERENCE,
    LEARNT,
    MIXED,
    SHOWN,
    frame_changes,
    judge_stitched,
    learn_from_clips,
    order_clips,
    stitch_streams,
)
from pageflip.events.reader import SEQUENCE_FPS
from pageflip.params.all import load_params


def make_clips(rests=4, flips=4, frames=30, book="a", part="test", sure=0.999):
    """Clips of a book, with frames in no order, and the probabilities of a perfect model."""
    rows = []
    for target, count in ((0, rests), (1, flips)):
        label = ("notflip", "flip")[target]
        for clip in range(count):
            length = frames + clip % 3
            for frame in np.random.default_rng(clip).permutation(length).tolist():
                name = f"{part}-{book}-{clip}"
                rows.append((label, name, frame, f"{label}/{name}", book, part, target, sure if target else 1 - sure))
    columns = ["label", "video", "frame", "clip", "book", "part", "target", "probability"]
    return pd.DataFrame(rows, columns=columns).assign(row=range(len(rows)))


@pytest.mark.parametrize("books", [("a", "b", "c"), (None,), ("a", None)])
def test_every_test_clip_stands_in_exactly_one_stream(books):
    test = pd.concat([make_clips(3 + n, 2 + 3 * n, book=book) for n, book in enumerate(books)], ignore_index=True)
    test["row"] = range(len(test))
    streams = stitch_streams(test, seed=7)
    assert sorted(clip for stream in streams for clip in stream.clips) == sorted(test["clip"].unique())
    assert sorted(row for stream in streams for row in stream.rows) == sorted(test["row"])


def test_clips_of_a_book_stay_together_and_their_frames_in_order():
    test = pd.concat([make_clips(book="a"), make_clips(book="b")], ignore_index=True).assign(row=lambda t: t.index)
    streams = stitch_streams(test, seed=7)
    assert [stream.name for stream in streams] == ["a", "b"]
    for stream in streams:
        rows = test.set_index("row").loc[stream.rows]
        assert set(rows["book"]) == {stream.name}
        assert list(dict.fromkeys(rows["clip"])) == list(stream.clips)
        assert (rows.groupby("clip")["frame"].diff().dropna() == 1).all()
        assert (stream.probabilities == rows["probability"]).all()


def test_the_true_events_are_the_extents_of_the_flip_clips():
    test = make_clips(3, 3)
    (stream,) = stitch_streams(test, seed=7)
    is_flip = test.set_index("row").loc[stream.rows, "target"].to_numpy()
    inside = np.zeros(len(stream.rows), int)
    for onset, offset in stream.events:
        inside[(stream.times_s >= onset - 1e-9) & (stream.times_s <= offset + 1e-9)] = 1
    assert len(stream.events) == 3
    assert (inside == is_flip).all()
    assert stream.times_s[1] == pytest.approx(1 / SEQUENCE_FPS)


@pytest.mark.parametrize(("rests", "flips"), [(4, 4), (9, 2), (3, 4), (1, 5), (0, 3), (3, 0), (2, 7)])
def test_flips_are_never_neighbours_and_streams_are_as_few_as_can_be(rests, flips):
    orders = order_clips([f"rest{n}" for n in range(rests)], [f"flip{n}" for n in range(flips)])
    assert len(orders) == max(1, flips - rests)
    assert len([clip for order in orders for clip in order]) == rests + flips
    for order in orders:
        assert not any(one.startswith("flip") and two.startswith("flip") for one, two in pairwise(order))


def test_the_seed_draws_the_order():
    test = make_clips(8, 8)
    first, again, other = (stitch_streams(test, seed)[0].clips for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_of_a_perfect_model_every_event_is_found_and_every_clip_judged_right(params_file):
    table = pd.concat([make_clips(5, 5, book="a"), make_clips(5, 5, book="b")], ignore_index=True)
    table = pd.concat([table, make_clips(20, 20, part="val")], ignore_index=True).assign(row=lambda t: t.index)
    section, lines = judge_stitched(table, 0.5, 7, plan=load_params(params_file).events)
    assert list(section["finders"]) == [DECODER, LEARNT, "threshold", "median"]
    assert (section["n_streams"], section["n_clips"], section["n_frames"]) == (2, 20, (table["part"] == "test").sum())
    for name in section["finders"]:
        assert section["finders"][name]["f1"] == section["finders"][name]["counted_right"] == 1, name
        assert section["clips"][name]["f1"] == 1, name
    assert section["lengths_s"]["flip"] == pytest.approx(31 / 30)
    assert [line.wrong for line in lines] == [0, 0]


def test_the_section_is_plain_numbers_and_the_worst_streams_are_shown_first():
    test = pd.concat([make_clips(2, 2, book=f"book {n}") for n in range(SHOWN + 2)], ignore_index=True)
    blind = test["book"] == "book 5"
    test = test.assign(row=range(len(test)), probability=np.where(blind, 0.01, test["probability"]))
    section, lines = judge_stitched(test, 0.5, 7)
    json.dumps(section, allow_nan=False)
    assert flat_numbers(section)["finders.decoder.n_true"] == 2 * (SHOWN + 2)
    assert len(lines) == SHOWN
    assert (lines[0].name, lines[0].wrong, lines[1].wrong) == ("book 5", 2, 0)


def test_a_test_part_of_one_label_gives_a_reason_and_no_figures():
    for test, label in ((make_clips(0, 3), "notflip"), (make_clips(3, 0), "flip")):
        section, lines = judge_stitched(test, 0.5, 7)
        assert f"no {label} clip" in section["reason"]
        assert (set(section), lines) == ({"reason"}, [])


def test_too_few_validation_clips_teach_the_decoder_nothing(params_file):
    plan = load_params(params_file).events
    assert learn_from_clips(make_clips(15, 16, part="val"), 0.5, 7, plan) is None
    table = pd.concat([make_clips(), make_clips(15, 16, part="val")], ignore_index=True).assign(row=lambda t: t.index)
    assert LEARNT not in judge_stitched(table, 0.5, 7, plan=plan)[0]["finders"]


def test_the_difference_of_frames_is_measured_in_the_order_of_the_stream():
    pack = np.stack([np.full((4, 3, 3), grey, np.uint8) for grey in (10, 40, 200)])
    assert frame_changes(pack, np.array([2, 0, 1])).tolist() == [0, 190, 30]
    test = make_clips(3, 3)
    section, _ = judge_stitched(test, 0.5, 7, pack=np.zeros((len(test), 4, 3, 3), np.uint8))
    assert section["finders"][DIFFERENCE]["n_true"] == 3
    assert DIFFERENCE not in section["clips"]


def test_flips_that_would_touch_in_their_book_meet_the_rests_that_others_can_spare():
    parts = [make_clips(1, 5, book="a"), make_clips(5, 1, book="b"), make_clips(0, 1, book="c")]
    streams = stitch_streams(pd.concat(parts, ignore_index=True).assign(row=lambda t: t.index), seed=7)
    assert {one.name: (len(one.clips), len(one.events)) for one in streams} == {
        "a": (3, 2),
        "b": (3, 1),
        MIXED: (7, 4),
    }
