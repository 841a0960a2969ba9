"""Latency models fill arrays of whole nanoseconds, and refuse what is no latency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from simcore.latency import DELAY_NS_MAX, Constant, Latency, LogNormal, Matrix, Uniform
from simcore.streams import Streams

MODELS: list[Latency] = [Constant(7), Uniform(3, 9), LogNormal(1000, 0.5), Matrix(((0, 1), (2, 0)))]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_round_is_one_array_of_int64_and_says_whether_it_drew(model: Latency) -> None:
    rng, untouched = Streams(1).generator("a"), Streams(1).generator("a")
    delays_ns = model.matrix(rng, 3, 2)
    assert delays_ns.shape == (3, 2, 2)
    assert delays_ns.dtype == np.int64
    assert (rng.random() != untouched.random()) == model.draws


def test_uniform_reaches_both_bounds_and_nothing_beyond() -> None:
    delays_ns = Uniform(3, 5).matrix(Streams(1).generator("a"), 10, 10)
    assert np.unique(delays_ns).tolist() == [3, 4, 5]


def test_half_of_the_lognormal_delays_are_above_the_median_and_their_logarithm_spreads_by_sigma() -> None:
    delays_ns = LogNormal(10**7, 0.5).matrix(Streams(1).generator("a"), 100, 100)
    assert abs(np.mean(delays_ns > 10**7) - 0.5) < 0.003  # six deviations of a million fair coins
    assert abs(np.std(np.log(delays_ns)) - 0.5) < 0.003


def test_lognormal_is_cut_at_one_day() -> None:
    assert LogNormal(DELAY_NS_MAX, 10.0).matrix(Streams(1).generator("a"), 1, 9).max() == DELAY_NS_MAX


def test_a_matrix_says_the_delay_from_row_to_column() -> None:
    table = Matrix(((0, 1), (2, 0)))
    assert table.matrix(Streams(1).generator("a"), 2, 2)[:, 1, 0].tolist() == [2, 2]
    with pytest.raises(ValueError, match="2 rows, and there are 3 replicas"):
        table.check(3)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Constant(-1), "delay_ns -1 is outside"),
        (lambda: Constant(DELAY_NS_MAX + 1), "is outside 0"),
        (lambda: Uniform(5, 4), "high_ns 4 is below low_ns 5"),
        (lambda: Uniform(-5, 4), "low_ns -5"),
        (lambda: LogNormal(0, 1.0), "median_ns 0 has no logarithm"),
        (lambda: LogNormal(5, -0.1), "sigma -0.1 is outside"),
        (lambda: LogNormal(5, float("nan")), "sigma nan is outside"),
        (lambda: Matrix(((0, 1), (2,))), "row 1 has 1 delays"),
        (lambda: Matrix(((0, -1), (2, 0))), "row 0, column 1 -1"),
    ],
)
def test_what_is_no_latency_is_refused(make: Callable[[], Latency], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
