"""Times and durations of frames."""

import numpy as np
import pytest

from pageflip.events.clock import SHORTEST_STEP_S, frame_step_s, frame_times


def test_a_frame_lasts_the_median_step_and_a_single_one_a_thirtieth():
    assert frame_step_s(np.array([0.0, 0.1, 0.2, 0.9])) == pytest.approx(0.1)
    assert frame_step_s(np.array([5.0])) == frame_step_s(np.array([])) == 1 / 30
    assert frame_step_s(np.zeros(4)) == SHORTEST_STEP_S


def test_frames_without_a_clock_count_thirty_a_second_from_where_they_stand():
    assert frame_times([None, None, None], first=30) == pytest.approx([1, 31 / 30, 32 / 30])
    assert frame_times([0.5, 0.7]) == pytest.approx([0.5, 0.7])
    assert frame_times([]).shape == (0,)
