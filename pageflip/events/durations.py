"""Log-normal durations of states, without SciPy: the base install has none."""

import functools
import math
from dataclasses import dataclass

import numpy as np

ASYMPTOTIC_BELOW = -20.0  # math.erfc underflows some way below
SHORTEST_S = 1e-6  # keeps logarithms finite


def log_ndtr(values: np.ndarray) -> np.ndarray:
    """Return the logarithm of the standard normal distribution function, float64 of the same shape.

    The relative error is below 1e-12, far into the lower tail too (asymptotic series: Abramowitz and Stegun, 26.2.12).
    """
    return _log_ndtr(values).astype(np.float64)


def _scalar_log_ndtr(value: float) -> float:
    if value > 0:
        return math.log1p(-math.erfc(value / math.sqrt(2)) / 2)
    if value > ASYMPTOTIC_BELOW:
        return math.log(math.erfc(-value / math.sqrt(2)) / 2)
    series, term = 1.0, 1.0
    for odd in range(1, 17, 2):
        term *= -odd / value**2
        series += term
    return -(value**2) / 2 - math.log(-value) - math.log(2 * math.pi) / 2 + math.log(series)


_log_ndtr = np.frompyfunc(_scalar_log_ndtr, 1, 1)


@dataclass(frozen=True)
class Durations:
    """Distribution of a state's duration: a mixture of two log-normals of one median, with an exponential tail.

    The broad component stands for people who leaf at another pace. Beyond `tail_s` the hazard rate stays constant, so
    that a state may last for any time.

    Attributes:
        log_mean, log_sd: mean and standard deviation of the logarithm of the seconds.
        broad_share, broad_log_sd: weight of the broad component, and its standard deviation.
        tail_s: where the exponential tail begins, in seconds.
    """

    log_mean: float
    log_sd: float
    broad_share: float
    broad_log_sd: float
    tail_s: float

    @property
    def mean_s(self) -> float:
        """Mean of the narrow component in seconds."""
        return math.exp(self.log_mean + self.log_sd**2 / 2)

    @functools.cached_property
    def end_rate(self) -> float:
        """Hazard rate in the tail, per second."""
        tail = np.array([self.tail_s])
        return float(np.exp(self._body_log_density(tail) - self._body_log_survival(tail))[0])

    @functools.cached_property
    def tail_log_survival(self) -> float:
        """Log-probability of reaching the tail."""
        return float(self._body_log_survival(np.array([self.tail_s]))[0])

    def log_density(self, seconds: np.ndarray) -> np.ndarray:
        """Return the log-density at durations above 0, float64 [N]."""
        tail = math.log(self.end_rate) + self.tail_log_survival - self.end_rate * (seconds - self.tail_s)
        return np.where(seconds <= self.tail_s, self._body_log_density(seconds), tail)

    def log_survival(self, seconds: np.ndarray) -> np.ndarray:
        """Return the log-probability of longer durations, float64 [N]."""
        tail = self.tail_log_survival - self.end_rate * (seconds - self.tail_s)
        return np.where(seconds <= self.tail_s, self._body_log_survival(seconds), tail)

    def _components(self, seconds: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
        """Log-weight, standard deviation and standardised logarithms of each component."""
        logs = np.log(np.maximum(seconds, SHORTEST_S))
        shares = ((1 - self.broad_share, self.log_sd), (self.broad_share, self.broad_log_sd))
        return [(math.log(share), sd, (logs - self.log_mean) / sd) for share, sd in shares if share > 0]

    def _body_log_density(self, seconds: np.ndarray) -> np.ndarray:
        parts = [share - z**2 / 2 - math.log(sd * math.sqrt(2 * math.pi)) for share, sd, z in self._components(seconds)]
        return np.logaddexp.reduce(parts) - np.log(np.maximum(seconds, SHORTEST_S))

    def _body_log_survival(self, seconds: np.ndarray) -> np.ndarray:
        return np.logaddexp.reduce([share + log_ndtr(-z) for share, _, z in self._components(seconds)])
