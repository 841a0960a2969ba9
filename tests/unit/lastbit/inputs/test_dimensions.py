"""Open dimensions are settled once, alike wherever their name stands."""

from __future__ import annotations

import pytest

from lastbit.inputs.dimensions import settle_shapes
from lastbit.inputs.input_set import InputsError
from replicas.model import TensorSpec

IDS = TensorSpec("ids", "int64", ("batch", "length"))
MASK = TensorSpec("mask", "int64", ("batch", "length"))
PAST = TensorSpec("past", "float32", ("batch", 4, "past_length", 16))
LONG_MASK = TensorSpec("mask", "int64", ("batch", "past_length + length"))
NAMELESS = TensorSpec("x", "float32", (None, 3, None, -1))


def test_a_batch_is_one_and_other_open_axes_are_eight() -> None:
    assert settle_shapes([IDS, NAMELESS], {}).shapes == {"ids": (1, 8), "x": (1, 3, 32, 32)}


def test_height_and_width_of_an_image_are_large_enough_to_be_pooled() -> None:
    image = TensorSpec("image", "float32", ("n", 3, "height", None))
    assert settle_shapes([image], {}).shapes == {"image": (1, 3, 32, 32)}


def test_a_dimension_that_leads_one_input_is_a_batch_in_the_others_too() -> None:
    specs = [TensorSpec("rows", "float32", ("n", 2)), TensorSpec("turned", "float32", (2, 1, 1, "n"))]
    assert settle_shapes(specs, {}).shapes == {"rows": (1, 2), "turned": (2, 1, 1, 1)}


def test_a_named_dimension_has_one_size_everywhere() -> None:
    assert settle_shapes([IDS, MASK], {"length": 5}).shapes == {"ids": (1, 5), "mask": (1, 5)}


def test_input_and_axis_name_an_axis_without_a_name() -> None:
    assert settle_shapes([NAMELESS], {"x.2": 7}).shapes == {"x": (1, 3, 7, 32)}


def test_input_and_axis_of_a_named_dimension_mean_that_dimension() -> None:
    assert settle_shapes([IDS, MASK], {"mask.1": 6}).shapes == {"ids": (1, 6), "mask": (1, 6)}


def test_a_dimension_that_is_a_sum_follows_its_terms() -> None:
    settled = settle_shapes([IDS, PAST, LONG_MASK], {"past_length": 3, "length": 2})
    assert settled.shapes == {"ids": (1, 2), "past": (1, 4, 3, 16), "mask": (1, 5)}


def test_fixed_axes_and_scalars_are_left_alone() -> None:
    scalar, fixed = TensorSpec("t", "float32", ()), TensorSpec("x", "float32", (2, 0))
    settled = settle_shapes([scalar, fixed], {})
    assert settled.shapes == {"t": (), "x": (2, 0)}
    assert settled.open_axes == {"t": {}, "x": {}}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lenght", 'did you mean "length"'),
        ("ids.2", 'did you mean "ids.'),
        ("x.1", 'did you mean "x.'),
        ("q", "known:"),
    ],
)
def test_a_name_of_no_open_dimension_is_refused(name: str, told: str) -> None:
    with pytest.raises(InputsError, match=f"no open dimension is called.*{told}"):
        settle_shapes([IDS, NAMELESS], {name: 4})


def test_one_dimension_with_two_sizes_is_refused() -> None:
    with pytest.raises(InputsError, match='"length" was set to 4 as well'):
        settle_shapes([IDS, MASK], {"length": 4, "ids.1": 5})
