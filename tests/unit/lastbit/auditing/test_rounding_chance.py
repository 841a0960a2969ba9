"""How often another order shows in sums that are rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from lastbit.auditing.rounding_chance import chance_of

Array = NDArray[Any]
SLICES = 8


def sums(a: Array, w: Array, order: list[int]) -> Array:
    """Products of floats, cut in eight along K, added in an order."""
    cut = np.array_split(np.arange(w.shape[0]), SLICES)
    total = a[:, cut[order[0]]] @ w[cut[order[0]]]
    for each in order[1:]:
        total = total + a[:, cut[each]] @ w[cut[each]]
    return total


@pytest.mark.parametrize("k", [64, 512])
def test_the_chance_estimated_from_few_answers_is_that_of_many_others(k: int) -> None:
    """In single precision, rounded to half: there it happens often enough to be counted."""
    rng = np.random.default_rng(k)
    a, w = rng.standard_normal((8_200, k)).astype(np.float32), rng.standard_normal((k, 50)).astype(np.float32)
    one, other = sums(a, w, [0, 1, 2, 3, 4, 5, 6, 7]), sums(a, w, [5, 2, 7, 0, 3, 6, 1, 4])

    estimate = chance_of(zip(one[:200].astype(float), other[:200].astype(float), strict=True), np.float16)

    rounded = one[200:].astype(np.float16), other[200:].astype(np.float16)
    observed = int((rounded[0] != rounded[1]).any(axis=1).sum())
    assert estimate is not None
    assert binom.ppf(1e-4, 8_000, estimate.low) <= observed <= binom.ppf(1 - 1e-4, 8_000, estimate.high)
    assert estimate.high < 3 * estimate.low


def test_a_chance_is_told_where_none_of_the_sample_rounded_otherwise() -> None:
    one = 1 + np.random.default_rng(1).random((10, 1_000))
    estimate = chance_of((row, row + 4.4e-16 * np.sign(row - 1.5)) for row in one)
    assert estimate is not None
    assert estimate.rounded_otherwise == 0
    assert 0 < estimate.low <= estimate.per_answer <= estimate.high < 1e-4


def test_orders_that_give_equal_sums_never_round_otherwise() -> None:
    one = 1 + np.random.default_rng(1).random((10, 1_000))
    estimate = chance_of((row, row) for row in one)
    assert estimate is not None
    assert (estimate.per_answer, estimate.high) == (0, 0)


def test_sums_of_which_some_crowd_next_to_a_middle_are_likelier_to_round_otherwise_than_evenly_spread_ones() -> None:
    rng, spacing = np.random.default_rng(2), 2.0**-23
    whole = rng.integers(0, 2**22, (10, 1_000)) * spacing
    even = 1 + whole + spacing * (rng.random((10, 1_000)) - 0.5)
    crowded = even.copy()
    crowded[:, ::10] = 1 + whole[:, ::10] + spacing * (0.5 + 0.001 * (rng.random((10, 100)) - 0.5))
    chances = [chance_of((row, row + 1e-13) for row in each) for each in (even, crowded)]
    assert chances[0] is not None
    assert chances[1] is not None
    assert 10 * chances[0].per_answer < chances[1].per_answer


def test_nothing_is_estimated_from_nothing() -> None:
    assert chance_of([]) is None
    assert chance_of([(np.array([]), np.array([]))]) is None


def test_the_interval_holds_what_happens_for_nearly_all_small_samples() -> None:
    """Twenty answers each, as small a sample as an audit takes, and an order of its own for each: 100 times."""
    k, inputs, samples = 256, 20, 100
    rng = np.random.default_rng(11)
    w = rng.standard_normal((k, 50)).astype(np.float32)

    def answer() -> tuple[Array, Array]:
        a = rng.standard_normal((1, k)).astype(np.float32)
        one, other = (sums(a, w, list(rng.permutation(SLICES)))[0] for _ in range(2))
        return one.astype(float), other.astype(float)

    found = [[answer() for _ in range(inputs)] for _ in range(samples)]
    happens = np.mean([(a.astype(np.float16) != b.astype(np.float16)).any() for each in found for a, b in each])
    held = 0
    for each in found:
        estimate = chance_of(each, np.float16)
        assert estimate is not None
        held += estimate.low <= happens <= estimate.high
    assert held >= 90
