"""Timelines: every event has its band, at its place, in rows that stay short."""

import numpy as np
import pytest

from pageflip.evaluation.formatting import format_clock
from pageflip.events.timeline import Timeline
from pageflip.reports.timelines import MAX_TICKS, ROW_EVENTS, ROW_S, ROW_WIDTH, STEPS, draw_timeline


def make_timeline(seconds=10.0, true=(), found=(), probabilities=None):
    times = np.arange(round(30 * seconds)) / 30
    values = np.zeros(len(times)) if probabilities is None else probabilities
    return Timeline("a video", times, values, tuple(true), tuple(found))


def test_each_event_has_a_band_at_its_place_and_what_is_not_matched_is_told_apart():
    drawn = draw_timeline(make_timeline(true=[(1.0, 2.0), (5.0, 6.0)], found=[(1.1, 2.0), (8.0, 8.5)]))
    (row,) = drawn["rows"]
    assert [band["matched"] for band in row["true"]] == [True, False]
    assert [band["matched"] for band in row["found"]] == [True, False]
    assert float(row["true"][0]["x"]) == pytest.approx(100, abs=0.1)
    assert float(row["true"][0]["width"]) == pytest.approx(ROW_WIDTH * (1 + 1 / 30) / 10, abs=0.1)
    assert row["true"][1]["note"] == "true flip, 5.00 to 6.00 s: missed"
    assert row["found"][1]["note"] == "detected flip, 8.00 to 8.50 s: wrong"
    assert (drawn["n_true"], drawn["n_found"], drawn["n_matched"]) == (2, 2, 1)


def test_long_and_busy_videos_are_cut_into_rows_of_one_scale():
    assert len(draw_timeline(make_timeline(ROW_S))["rows"]) == 1
    assert len(draw_timeline(make_timeline(3 * ROW_S + 1))["rows"]) == 4
    busy = [(n / 2, n / 2 + 0.2) for n in range(2 * ROW_EVENTS)]
    assert len(draw_timeline(make_timeline(ROW_S - 1, busy))["rows"]) == 2


def test_an_event_over_the_end_of_a_row_goes_on_in_the_next():
    drawn = draw_timeline(make_timeline(2 * ROW_S, true=[(ROW_S - 1, ROW_S + 1)]))
    first, second = (row["true"] for row in drawn["rows"])
    assert float(first[0]["x"]) + float(first[0]["width"]) == pytest.approx(ROW_WIDTH)
    assert float(second[0]["x"]) == 0
    assert drawn["n_true"] == 1


def test_what_is_not_shown_of_a_very_long_video_is_told():
    assert draw_timeline(make_timeline(5 * ROW_S), max_rows=2)["shown_s"] == pytest.approx(2 * ROW_S)
    assert draw_timeline(make_timeline(5 * ROW_S))["shown_s"] == 0


def test_a_curve_keeps_its_peaks_and_few_points():
    values = np.zeros(30 * 20)
    values[123] = 1.0
    (row,) = draw_timeline(make_timeline(20, probabilities=values))["rows"]
    points = [tuple(map(float, point.split(","))) for point in row["points"].split()]
    assert len(points) <= 2 * STEPS
    assert (round(ROW_WIDTH * 123 / 600, 1), 0.0) in points
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_frames_that_cannot_be_read_are_left_out_of_the_curve():
    values = np.full(90, np.nan)
    assert draw_timeline(make_timeline(3, probabilities=values))["rows"][0]["points"] == ""
    values[40] = 0.25
    assert draw_timeline(make_timeline(3, probabilities=values))["rows"][0]["points"].endswith(",75.0")


@pytest.mark.parametrize("seconds", [1 / 30, 0.4, 5.3, 20, 119, 400])
def test_ticks_are_few_and_inside_their_row(seconds):
    for row in draw_timeline(make_timeline(seconds))["rows"]:
        assert 1 <= len(row["ticks"]) <= MAX_TICKS + 1
        assert all(0 <= tick["at"] < 1 for tick in row["ticks"])
        assert len({tick["text"] for tick in row["ticks"]}) == len(row["ticks"])


def test_times_read_as_minutes_and_seconds():
    assert [format_clock(seconds) for seconds in (0, 61.5, 600, 0.05)] == ["0:00", "1:01.5", "10:00", "0:00.05"]
