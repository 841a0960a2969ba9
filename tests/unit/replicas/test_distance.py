from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicas.distance import Distance, distance
from replicas.outputs import Outputs


def between(one: Any, two: Any) -> Distance:
    return distance(Outputs.of({"y": one}), Outputs.of({"y": two}))


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)


def place(value: float) -> int:
    """The place of a float32 among all, by the textbook."""
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


FLOATS = st.floats(-(2.0**127), 2.0**127, width=32)  # np.spacing overflows at the very top


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=8))
def test_distances_are_those_found_number_by_number(pairs: list[tuple[float, float]]) -> None:
    reference, other = (f32(*values) for values in zip(*pairs, strict=True))

    found = between(reference, other)

    gaps = [abs(one - two) for one, two in pairs]  # exact in Python's doubles or rounded once
    assert found.absolute == pytest.approx(max(gaps), rel=1e-12)
    assert found.ulp == max(abs(place(one) - place(two)) for one, two in pairs)
    assert found.relative == pytest.approx(
        max((gap / abs(one) for gap, (one, _) in zip(gaps, pairs, strict=True) if one), default=0), rel=1e-12
    )
    spacing = float(np.spacing(np.abs(reference).max()))
    assert found.scaled_ulp == pytest.approx(max(gaps) / spacing, rel=1e-12)
    assert found.changed == sum(struct.pack("<f", one) != struct.pack("<f", two) for one, two in pairs)


def test_the_greatest_distance_of_doubles_is_told_though_no_signed_word_holds_it() -> None:
    most = np.finfo(np.float64).max
    found = between(np.array([-most]), np.array([most]))
    assert found.ulp == 2 * 0x7FEFFFFFFFFFFFFF


def test_zeros_of_opposite_sign_are_no_distance_apart_and_yet_not_the_same() -> None:
    found = between(f32(0.0, 1.0), f32(-0.0, 1.0))
    assert (found.changed, found.ulp, found.absolute, found.scaled_ulp, found.signs_of_zero) == (1, 0, 0.0, 0.0, 1)


def test_what_no_number_tells_is_counted_apart() -> None:
    other_nan = np.array([0x7FC00001], dtype=np.uint32).view(np.float32)[0]
    found = between(f32(np.nan, 1.0, np.nan, np.inf, np.inf, 3.0), f32(1.0, np.nan, other_nan, -np.inf, 2.0, 3.0))
    assert (found.nan_against_number, found.nan_payloads, found.infinities) == (2, 1, 2)
    assert (found.changed, found.absolute, found.ulp) == (5, 0.0, 0)


def test_the_same_nan_and_the_same_infinity_are_equal() -> None:
    assert between(f32(np.nan, np.inf), f32(np.nan, np.inf)) == Distance(elements=2)


def test_integers_differ_plainly_and_other_dtypes_after_an_exact_widening() -> None:
    integers = between(np.array([2**63, 5], dtype=np.uint64), np.array([-1, 5], dtype=np.int64))
    floats = between(np.array([0.1], dtype=np.float16), np.array([0.1], dtype=np.float16).astype(np.float64))
    assert (integers.ulp, integers.changed) == (2**63 + 1, 1)
    assert (floats.changed, floats.absolute) == (0, 0.0)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (f32(1.0), f32(1.0, 2.0)),
        (np.array(["a"], dtype=object), np.array(["b"], dtype=object)),
        (np.array([1], dtype=np.int64), f32(1.0)),
        (None, f32(1.0)),
        ([{"a": 1.0}], [{"b": 1.0}]),
    ],
    ids=["shapes", "texts", "kinds", "nothing", "keys"],
)
def test_values_without_a_distance_are_unlike(one: Any, two: Any) -> None:
    found = between(one, two)
    assert (found.changed, found.unlike) == (1, 1)


def test_the_scores_of_a_map_are_compared_by_key() -> None:
    found = between([{"a": 1.0, "b": 2.0}], [{"b": 2.5, "a": 1.0}])
    assert (found.elements, found.changed, found.absolute) == (2, 1, 0.5)


def test_the_worst_of_two_and_their_counts_together() -> None:
    one, two = between(f32(1.0, 2.0), f32(1.0, 2.5)), between(f32(0.0), f32(-0.0))
    both = one + two
    assert (both.elements, both.changed, both.absolute, both.signs_of_zero) == (3, 2, 0.5, 1)
    assert Distance() + one == one
