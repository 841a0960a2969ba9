"""Shapes that are known without running a graph, and numbers that shapes are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.parser import parse_model
from support.networks import NETWORKS, input_of

from replicas.cost import node_costs
from replicas.runtime_types import plain_session
from replicas.shapes import infer_shapes, infer_shapes_at_any_depth

OPSETS = [11, 13, 17, 18]


@pytest.mark.parametrize("is_open", [False, True], ids=["told", "open"])
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_shape_contradicts_what_a_run_makes(name: str, opset: int, is_open: bool) -> None:
    model = NETWORKS[name](opset, is_open)
    facts = infer_shapes(model.proto())
    opened = model.proto()
    inner = [output for node in opened.graph.node for output in node.output if output != "y"]
    opened.graph.output.extend(onnx.ValueInfoProto(name=each) for each in inner)
    made: list[NDArray[Any]] = plain_session(opened.SerializeToString()).run(inner, input_of(model))
    for each, value in zip(inner, made, strict=True):
        shape = facts[each].shape
        assert shape is not None, each
        assert len(shape) == value.ndim, each
        assert all(known in (None, real) for known, real in zip(shape, value.shape, strict=True)), each
        assert is_open or shape == value.shape, each


@pytest.mark.parametrize("is_open", [False, True], ids=["told", "open"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_costs_the_same_multiply_adds_in_an_old_operator_set_and_a_new_one(name: str, is_open: bool) -> None:
    costs = [node_costs(NETWORKS[name](opset, is_open).proto()) for opset in OPSETS]
    assert len({sum(cost.multiply_adds for cost in each) for each in costs}) == 1


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("s = Shape(x)  y = Reshape(x, s)", (2, None, 6)),
        ("s = Shape(x)  e = Concat <axis = 0> (s, one)  y = Reshape(x, e)", (2, None, 6, 1)),
        ("s = Shape(x)  g = Gather(s, two)  u = Unsqueeze <axes = [0]> (g)  y = ConstantOfShape(u)", (6,)),
        ("s = Shape(x)  g = Gather(s, ends)  c = Cast <to = 6> (g)  d = Cast <to = 7> (c)  y = ConstantOfShape(d)",
         (6, 2)),
        ("s = Shape(x)  p = Slice(s, zero, one)  y = ConstantOfShape(p)", (2,)),
        ("s = Shape(x)  p = Slice(s, one, last, zero)  y = ConstantOfShape(p)", (None,)),
        ("s = Shape(x)  p = Slice(s, zero, one, zero)  y = ConstantOfShape(p)", (2,)),
        ("s = Shape(x)  p = Slice(s, zero, last, zero, one)  y = ConstantOfShape(p)", (2, None)),
        ("s = Shape(x)  g = Gather(s, ends)  m = Mul(g, g)  y = ConstantOfShape(m)", (36, 4)),
        ("s = Shape(x)  g = Gather(s, ends)  m = Div(g, four)  y = ConstantOfShape(m)", (1, 0)),
        ("s = Shape(x)  g = Gather(s, ends)  m = Sub(g, one)  n = Add(m, m)  y = ConstantOfShape(n)", (10, 2)),
        ("s = Shape(x)  g = Gather(s, zero)  q = Squeeze(g)  r = Unsqueeze <axes = [0]> (q)  y = ConstantOfShape(r)",
         (2,)),
        ("s = Shape(x)  a = Abs(s)  y = Reshape(x, a)", (None, None, None)),
        ("y = Reshape(x, keep)", (2, None, 3, 2)),
        ("z = Reshape(w, rest)  y = Neg(z)", (8, 3)),
        ("s = Shape(x)  e = Expand(one1, s)  y = Neg(e)", (2, None, 6)),
        ("e = Expand(x, batch)  y = Neg(e)", (2, None, 6)),
    ],
)  # fmt: skip
def test_numbers_that_a_graph_computes_shapes_from_are_followed(nodes: str, expected: tuple[int | None, ...]) -> None:
    constants = """
        <int64[1] one = {1}, int64[1] zero = {0}, int64[1] last = {-1}, int64 two = {2}, int64[2] ends = {2, 0},
         int64[1] four = {4}, int64[4] keep = {0, 0, 3, 2}, int64[2] rest = {-1, 3}, float[1] one1 = {1},
         int64[3] batch = {2, 1, 1}>"""
    text = f'<ir_version: 8, opset_import: ["" : 11]> g (float[2, b, 6] x, float[4, 6] w) => (float[r] y) {constants}'
    proto = parse_model(f"{text} {{ {nodes} }}")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    facts = infer_shapes(proto)
    assert facts["y"].shape == expected
    inputs = {"x": np.zeros((2, 5, 6), np.float32), "w": np.zeros((4, 6), np.float32)}
    real = plain_session(proto.SerializeToString()).run(["y"], inputs)[0].shape
    assert all(known in (None, length) for known, length in zip(expected, real, strict=True))


def test_a_dimension_of_less_than_nothing_is_one_that_the_file_leaves_open() -> None:
    proto = parse_model('<ir_version: 8, opset_import: ["" : 11]> g (float[2, 3] x) => (float[r] y) { y = Exp(x) }')
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert infer_shapes(proto)["y"].shape == (None, 3)
    assert infer_shapes(proto)["x"].shape == (None, 3)


def test_numbers_of_the_graph_around_tell_shapes_inside_a_branch() -> None:
    text = """<ir_version: 8, opset_import: ["" : 11]> g (bool c, float[2, 6] x) => (float[r] y)
        <int64[1] one = {1}> {
        s = Shape(x)  e = Concat <axis = 0> (one, s)
        y = If (c) <then_branch = t () => (float[r] p) { a = Reshape(x, e)  p = Neg(a) },
                    else_branch = f () => (float[r] q) { q = Neg(x) }>
    }"""
    proto = parse_model(text)
    branch = infer_shapes_at_any_depth(proto).inside(proto.graph.node[-1])[0]
    assert branch.tensors["a"].shape == (1, 2, 6)
