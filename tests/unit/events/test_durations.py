"""Durations of states: proper distributions, with SciPy's normal distribution as the reference."""

import numpy as np
import pytest
from scipy import special

from pageflip.events.durations import ASYMPTOTIC_BELOW, Durations, log_ndtr


def test_the_logarithm_of_the_normal_distribution_is_that_of_scipy():
    edges = [ASYMPTOTIC_BELOW, np.nextafter(ASYMPTOTIC_BELOW, 0), 0.0, -0.0, -1e4, 40.0]
    values = np.concatenate([np.linspace(-60, 12, 20_001), edges])
    found, expected = log_ndtr(values), special.log_ndtr(values)
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)
    near = values > -60
    assert np.abs(found - expected)[near].max() < 1e-10


def test_durations_are_a_distribution():
    durations = Durations(0.0, 0.5, 0.1, 1.2, 3.0)
    seconds = np.linspace(1e-4, 60, 600_001)
    density = np.exp(durations.log_density(seconds))
    assert density.sum() * 1e-4 == pytest.approx(1, abs=1e-3)
    left = np.exp(durations.log_survival(np.array([0.5, 2.9, 3.1, 10.0])))
    expected = [density[seconds > s].sum() * 1e-4 for s in (0.5, 2.9, 3.1, 10.0)]
    assert left == pytest.approx(expected, abs=1e-3)
