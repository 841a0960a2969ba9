"""Distances of bfloat16 and of 8-bit floats, against tables of all of their values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from replicas.distance import Distance, distance
from replicas.float_types import FloatType
from replicas.outputs import Outputs

Array = np.ndarray[Any, Any]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
EIGHT_BITS = [
    np.dtype(each)
    for each in (
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e5m2fnuz,
    )
]


def between(one: Array, two: Array) -> Distance:
    return distance(Outputs.of({"y": one}), Outputs.of({"y": two}))


def bf16(*bits: int) -> Array:
    return np.array(bits, dtype=np.uint16).view(BFLOAT16)


@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_every_pair_of_eight_bit_floats_is_as_far_apart_as_the_values_say(dtype: np.dtype[Any]) -> None:
    every = np.arange(256, dtype=np.uint8).view(dtype)
    values = every.astype(np.float64)
    finite = every[np.isfinite(values)]
    places = {value: place for place, value in enumerate(sorted({float(each) for each in finite}))}
    for one in finite:
        for two in finite[::17]:
            found = between(np.array([one]), np.array([two]))
            assert found.ulp == abs(places[float(one)] - places[float(two)])
            assert found.absolute == abs(float(one) - float(two))
            assert found.unlike == 0


@pytest.mark.parametrize("dtype", [BFLOAT16, *EIGHT_BITS], ids=str)
def test_the_limits_read_off_the_values_are_those_that_ml_dtypes_states(dtype: np.dtype[Any]) -> None:
    found, info = FloatType.of(dtype), ml_dtypes.finfo(dtype)
    assert (found.fraction_bits, found.power_min) == (info.nmant, info.minexp)
    one, next_one = np.ones(1, dtype), np.nextafter(np.ones(1, dtype), np.full(1, 2, dtype))
    assert between(one, next_one) == Distance(
        elements=1, changed=1, absolute=float(info.eps), relative=float(info.eps), scaled_ulp=1.0, ulp=1
    )


def test_corners_of_bfloat16() -> None:
    zeros = between(bf16(0x0000, 0x8000), bf16(0x8000, 0x8000))
    assert (zeros.changed, zeros.signs_of_zero, zeros.ulp, zeros.absolute) == (1, 1, 0, 0.0)
    payloads = between(bf16(0x7FC0, 0x7FC1, 0xFFC0), bf16(0x7FC0, 0x7FC0, 0x7FC0))
    assert (payloads.changed, payloads.nan_payloads, payloads.ulp) == (2, 2, 0)
    infinities = between(bf16(0x7F80, 0x7F80, 0x7F80), bf16(0x7F80, 0xFF80, 0x7F7F))
    assert (infinities.changed, infinities.infinities, infinities.absolute) == (2, 2, 0.0)
    nan = between(bf16(0x7FC0, 0x3F80), bf16(0x3F80, 0x7FC0))
    assert (nan.nan_against_number, nan.ulp) == (2, 0)


def test_subnormals_of_bfloat16_are_steps_apart_across_zero() -> None:
    found = between(bf16(0x0001, 0x007F), bf16(0x8002, 0x0080))
    assert found.ulp == 3  # -2 to 1; the largest subnormal and the smallest normal are neighbours
    assert found.absolute == 3 * 2.0**-133
    assert found.scaled_ulp == 3.0


def test_the_greatest_distance_in_bfloat16_is_told() -> None:
    found = between(bf16(0xFF7F), bf16(0x7F7F))
    assert found.ulp == 2 * 0x7F7F
    assert found.absolute == 2 * float(ml_dtypes.finfo(BFLOAT16).max)  # no float32, and no infinity


@pytest.mark.parametrize("wide", [np.float16, np.float32, np.float64])
def test_another_type_is_compared_after_an_exact_widening(wide: type[Any]) -> None:
    equal = between(bf16(0x3F80, 0xC000), np.array([1.0, -2.0], dtype=wide))
    assert (equal.elements, equal.changed, equal.unlike) == (2, 0, 0)
    apart = between(bf16(0x3F80), np.array([1.0 + 2.0**-10], dtype=wide))
    assert apart.absolute == 2.0**-10
    assert apart.scaled_ulp == 2.0**-3  # of the reference's spacing, 2^-7
    assert apart.ulp == 2 ** ({np.float64: 52}.get(wide, 23) - 10)  # bfloat16 and float16 meet in float32


def test_two_short_types_meet_in_float32() -> None:
    one, two = (np.array([1.5, -0.0]).astype(dtype) for dtype in EIGHT_BITS[:3:2])
    assert between(one, two) == Distance(elements=2)
    assert between(bf16(0x7FC0), np.array([np.nan]).astype(EIGHT_BITS[0])).nan_against_number == 0
