"""The canonical form is equal exactly where values are equal bit for bit."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replicas.outputs import Outputs, canonical, outputs_digest

DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint32", "bool"]
tensors = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
numbers = st.floats() | st.integers() | st.booleans() | st.text(max_size=3) | st.none()
values = st.recursive(
    tensors | numbers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(0, 3), inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)
named = st.dictionaries(st.text(max_size=3), values, max_size=3)


def reference(value: object) -> object:
    """A hashable twin of a value, made another way: equal exactly where the canonical forms must be."""
    match value:
        case np.ndarray():
            return ("tensor", value.dtype.str, value.shape, value.tobytes())
        case bool():
            return ("bool", value)
        case float():
            return ("float", struct.pack("<d", value))
        case list():
            return ("sequence", tuple(reference(each) for each in value))
        case dict():
            return ("map", frozenset((reference(key), reference(item)) for key, item in value.items()))
        case _:
            return (type(value).__name__, value)


@given(values, values)
def test_canonical_forms_are_equal_exactly_where_values_are(a, b):
    assert (canonical(a) == canonical(b)) == (reference(a) == reference(b))


@given(
    st.dictionaries(st.text(max_size=3), values, max_size=3), st.dictionaries(st.text(max_size=3), values, max_size=3)
)
def test_digests_of_outputs_are_equal_exactly_where_names_and_values_are(a, b):
    twins = [[(name, reference(value)) for name, value in each.items()] for each in (a, b)]
    assert (outputs_digest(Outputs.of(a)) == outputs_digest(Outputs.of(b))) == (twins[0] == twins[1])


@given(values)
def test_a_copy_has_the_same_canonical_form(value):
    copied = value.copy() if isinstance(value, np.ndarray | list | dict) else value
    assert canonical(copied) == canonical(value)


@given(tensors.filter(lambda array: array.ndim > 0 and array.size > 0))
def test_a_strided_big_endian_twin_has_the_same_canonical_form(array):
    twin = np.repeat(array, 2, axis=0)[::2].astype(array.dtype.newbyteorder(">"))
    assert canonical(twin) == canonical(array)
