"""Results by clip and by book, and the worst mistakes."""

import pytest

from pageflip.evaluation import tables
from predictions_factory import table


def test_clip_table_calls_a_clip_by_at_least_half_of_its_frames():
    frame = table([1, 1, 1, 1, 0, 0, 0], [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1], ["0001"] * 7)
    rows = tables.clip_table(frame, 0.5)
    assert [(row["clip"], row["flip_share"], row["verdict"], row["correct"], row["errors"]) for row in rows] == [
        ("flip/0001", 0.5, "flip", True, 2),
        ("notflip/0001", pytest.approx(1 / 3), "notflip", True, 1),
    ]
    assert rows[0]["mean_probability"] == pytest.approx(0.5)
    verdicts = tables.clip_verdicts(rows)
    assert (verdicts["n"], verdicts["accuracy"], verdicts["f1"]) == (2, 1.0, 1.0)


def test_book_table_gives_no_f1_where_a_book_has_one_label_and_skips_frames_without_a_book():
    frame = table([1, 0, 1, 1, 0], [0.9, 0.9, 0.9, 0.1, 0.2], ["a", "b", "c", "c", "d"], ["x", "x", "y", "y", None])
    rows = tables.book_table(frame, 0.5)
    assert [(row["book"], row["n"], row["clips"]) for row in rows] == [("x", 2, 2), ("y", 2, 1)]
    assert rows[0]["f1"] == pytest.approx(2 / 3)
    assert (rows[1]["f1"], rows[1]["precision"], rows[1]["recall"], rows[1]["accuracy"]) == (None, None, None, 0.5)
    assert tables.book_table(frame.assign(book=None), 0.5) == []


def test_worst_mistakes_come_worst_first_and_from_more_than_one_clip():
    frame = table([0] * 6 + [1, 0], [0.99, 0.98, 0.97, 0.96, 0.95, 0.1, 0.4, 0.6], ["a"] * 6 + ["b", "c"])
    worst = tables.worst_mistakes(frame, 0.5, 10)
    assert worst["probability"].tolist() == [0.99, 0.98, 0.97, 0.4, 0.6]
    assert len(tables.worst_mistakes(frame, 0.5, 2)) == 2
    assert tables.worst_mistakes(frame, 0.5, 0).empty
