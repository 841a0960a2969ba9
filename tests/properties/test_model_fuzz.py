"""Whatever is done to the bytes of a model file, it loads or is refused: no other exception ever leaves."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.cost import operations
from replicas.model import Model, ModelError
from replicas.prepare import prepare
from replicas.profile import KPermute, KSplit, NumericProfile, ProfileError

TEXT = """<ir_version: 8, opset_import: ["" : 17, "own" : 1], producer_name: "test">
    g (float[batch, 4] x, bool c) => (float[batch, 3] y) {
        h = MatMul(x, w)  d = Dropout(h)
        y = If (c) <then_branch = t () => (float[batch, 3] p) { p = own.Twice(d) },
                    else_branch = e () => (float[batch, 3] q) { q = Relu(d) }>
    }
    <domain: "own", opset_import: ["" : 17]> Twice (a) => (b) { b = Add(a, a) }"""


def small_model() -> bytes:
    proto = parse_model(TEXT)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
    return bytes(proto.SerializeToString())


CONTENT = small_model()
REWRITES = (
    NumericProfile(precision="fp16-weights"),
    NumericProfile(precision="fp64"),
    NumericProfile(precision="int8-u8"),
    NumericProfile(precision="integers"),
    NumericProfile(summation=KSplit(slices=4)),
    NumericProfile(summation=KSplit(slices=3, partials="fp64")),
    NumericProfile(summation=KPermute()),
)
flips = st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 255)), min_size=1, max_size=4)


def test_the_model_that_is_damaged_below_loads_when_whole() -> None:
    assert [each.name for each in Model.from_bytes(CONTENT, name="whole").inputs] == ["x", "c"]


def load_and_count(content: bytes) -> None:
    """A model that loads can be worked with: its cost is found, and each rewrite is made or refused."""
    try:
        model = Model.from_bytes(content, name="damaged")
    except ModelError:
        return
    assert operations(model, {}) >= 1
    for profile in REWRITES:
        with suppress(ProfileError):
            prepare(model, profile)


@settings(max_examples=400, deadline=None)
@given(flips=flips)
def test_a_model_with_flipped_bytes_loads_or_is_refused(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(CONTENT)
    for position, mask in flips:
        damaged[position] ^= mask
    load_and_count(bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(start=st.integers(0, len(CONTENT)), length=st.integers(0, 40), filling=st.binary(max_size=40))
def test_a_model_with_bytes_cut_out_or_put_in_loads_or_is_refused(start: int, length: int, filling: bytes) -> None:
    damaged = CONTENT[:start] + filling + CONTENT[start + length :]
    load_and_count(damaged)
