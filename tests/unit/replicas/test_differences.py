from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from replicas.differences import Difference, first_difference
from replicas.outputs import Outputs


def outputs(**values: Any) -> Outputs:
    return Outputs.of(values)


def floats(*values: float, dtype: type = np.float32) -> Any:
    return np.array(values, dtype=dtype)


def test_equal_answers_differ_nowhere() -> None:
    assert first_difference([outputs(y=floats(1, 2)), outputs(y=floats(1, 2))]) is None


def test_the_first_output_and_element_that_differ_are_named() -> None:
    one = outputs(a=floats(1), b=floats(1, 2, 3))
    two = outputs(a=floats(1), b=floats(1, 2.5, 9))

    found = first_difference([one, two])

    assert found is not None
    assert (found.output, found.element, found.values) == ("b", 1, ("0x1p+1", "0x1.4p+1"))


def test_the_first_element_counts_in_which_any_of_several_answers_differs() -> None:
    found = first_difference([outputs(y=floats(1, 2, 3)), outputs(y=floats(1, 2, 4)), outputs(y=floats(1, 5, 3))])

    assert found is not None
    assert (found.element, found.values) == (1, ("0x1p+1", "0x1p+1", "0x1.4p+2"))


@pytest.mark.parametrize(("dtype", "steps"), [(np.float16, 1), (np.float32, 1), (np.float64, 1)])
def test_steps_are_counted_in_the_type_of_the_output(dtype: type, steps: int) -> None:
    one = floats(1.5, dtype=dtype)
    found = first_difference([outputs(y=one), outputs(y=np.nextafter(one, dtype(2)))])

    assert found is not None
    assert found.steps == steps


def test_steps_are_counted_across_zero() -> None:
    tiny = np.nextafter(np.float32(0), np.float32(1))
    found = first_difference([outputs(y=floats(-tiny)), outputs(y=floats(tiny))])

    assert found is not None
    assert found.steps == 2


def test_zeros_of_either_sign_are_different_bits_and_no_step_apart() -> None:
    found = first_difference([outputs(y=floats(0.0)), outputs(y=floats(-0.0))])

    assert found == Difference(output="y", element=0, values=("0x0p+0", "-0x0p+0"), steps=0)


def test_what_is_no_number_is_no_steps_from_anything() -> None:
    found = first_difference([outputs(y=floats(np.nan)), outputs(y=floats(1))])

    assert found == Difference(output="y", element=0, values=("nan", "0x1p+0"), steps=None)


def test_integers_and_truth_values_are_told_as_they_are() -> None:
    ints = first_difference([outputs(y=np.int64([7])), outputs(y=np.int64([8]))])
    truths = first_difference([outputs(y=np.array([True])), outputs(y=np.array([False]))])

    assert ints == Difference(output="y", element=0, values=("7", "8"), steps=None)
    assert truths == Difference(output="y", element=0, values=("True", "False"), steps=None)


def test_strings_are_compared_one_by_one_and_shortened() -> None:
    one, two = (np.array(["same", text], dtype=object) for text in ("x" * 100, "y"))
    found = first_difference([outputs(y=one), outputs(y=two)])

    assert found == Difference(output="y", element=1, values=("x" * 80, "y"), steps=None)


def test_shapes_and_types_that_differ_are_the_difference() -> None:
    found = first_difference([outputs(y=floats(1)), outputs(y=floats(1, 2))])

    assert found == Difference(output="y", element=0, values=("float32[1]", "float32[2]"), steps=None)


def test_maps_are_told_whole() -> None:
    found = first_difference([outputs(y=[{0: 0.5}]), outputs(y=[{0: 0.25}])])

    assert found == Difference(output="y", element=0, values=("[{0: 0.5}]", "[{0: 0.25}]"), steps=None)


def test_a_scalar_and_a_view_that_is_not_contiguous_are_compared_by_their_elements() -> None:
    scalar = first_difference([outputs(y=np.float32(1).reshape(())), outputs(y=np.float32(2).reshape(()))])
    square = np.arange(4, dtype=np.float32).reshape(2, 2)
    turned = first_difference([outputs(y=square.T), outputs(y=square)])

    assert scalar is not None
    assert scalar.element == 0
    assert turned is not None
    assert (turned.element, turned.values) == (1, ("0x1p+1", "0x1p+0"))
