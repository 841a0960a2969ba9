"""Products inside If, Loop and Scan, whose order of summation is given from the main graph."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.graph_walk import nodes_at_any_depth
from replicas.ksplit import ORDER_INPUT
from replicas.model import Model
from replicas.prepare import PreparationReport, prepare
from replicas.profile import KPermute, KSplit, NumericProfile, Optimization, Summation

Array = NDArray[Any]


def model_of(text: str, **weights: Array) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def engine_of(
    model: Model, summation: Summation | None = None, optimization: Optimization = "all"
) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(model, NumericProfile(summation=summation or KSplit(slices=4), optimization=optimization))


def report_of(model: Model, slices: int = 4) -> PreparationReport:
    return prepare(model, NumericProfile(summation=KSplit(slices=slices))).report


def run(engine: OnnxRuntimeEngine, seed: int = 0, **inputs: Array) -> Array:
    assert engine.order_shape is not None
    rows, columns = engine.order_shape
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
    result = engine.run(inputs, order)["y"]
    assert isinstance(result, np.ndarray)
    return result


BRANCHES = """g (bool c, float[b, 16] x) => (float[b, n] y) {
    y = If (c) <then_branch = t () => (float[b, 8] p) { m = Transpose(v)  p = MatMul(x, m) },
                else_branch = e () => (float[b, 8] q) { m = Neg(w)  q = MatMul(x, m) }>
}"""


@pytest.mark.parametrize("summation", [KSplit(slices=4), KPermute()], ids=["ksplit", "kpermute"])
def test_each_branch_multiplies_by_its_own_weight_even_where_both_call_it_alike(summation: Summation) -> None:
    v, w, x = normal(8, 16, seed=1), normal(16, 8, seed=2), normal(5, 16)
    engine = engine_of(model_of(BRANCHES, v=v, w=w), summation)
    assert engine.order_shape is not None
    assert engine.order_shape[0] == 2
    assert np.allclose(run(engine, c=np.array(True), x=x), np.float64(x) @ v.T, atol=1e-5)
    assert np.allclose(run(engine, c=np.array(False), x=x), np.float64(x) @ -w, atol=1e-5)


@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
def test_four_partial_products_inside_a_branch_have_exactly_twelve_results(optimization: Optimization) -> None:
    engine = engine_of(model_of(BRANCHES, v=normal(8, 16), w=normal(16, 8)), optimization=optimization)
    inputs = {"c": np.array(True), "x": normal(50, 16)}
    results = [engine.run(inputs, np.array([order, [0, 1, 2, 3]]))["y"] for order in permutations(range(4))]
    assert len({np.asarray(each).tobytes() for each in results}) == 12


def test_two_partial_products_inside_a_branch_agree_in_either_order() -> None:
    engine = engine_of(model_of(BRANCHES, v=normal(8, 16), w=normal(16, 8)), KSplit(slices=2))
    inputs = {"c": np.array(False), "x": normal(50, 16)}
    assert len({run(engine, seed, **inputs).tobytes() for seed in range(8)}) == 1


LOOP_IN_A_BRANCH = """g (bool c, int64 n, float[b, 16] x) => (float[b, 16] y) {
    yes = Constant <value = bool {1}> ()
    y = If (c) <
        then_branch = t () => (float[b, 16] p) {
            p = Loop (n, yes, x) <body = turn (int64 i, bool k, float[b, 16] v) => (bool k2, float[b, 16] v2) {
                k2 = Identity(k)  h = MatMul(v, w)  v2 = Tanh(h)
            }>
        },
        else_branch = e () => (float[b, 16] q) { q = Neg(x) }>
}"""


def test_a_product_in_a_loop_reads_one_row_in_all_its_iterations() -> None:
    w, x = normal(16, 16) / 4, normal(3, 16, seed=1)
    engine = engine_of(model_of(LOOP_IN_A_BRANCH, w=w))
    assert engine.order_shape == (1, 4)
    expected = np.float64(x)
    for _ in range(6):
        expected = np.tanh(expected @ w)
    inputs = {"c": np.array(True), "n": np.array(6), "x": x}
    found = [run(engine, seed, **inputs) for seed in (1, 2, 3, 1)]
    assert all(np.allclose(each, expected, atol=1e-5) for each in found)
    assert len({each.tobytes() for each in found}) == 3
    assert found[0].tobytes() == found[3].tobytes()


def test_a_nested_product_is_named_with_the_nodes_around_it() -> None:
    report = report_of(model_of(LOOP_IN_A_BRANCH, w=normal(16, 16)))
    assert report.products_reordered == ('If that makes "y", Loop that makes "p", MatMul that makes "h"',)
    assert report.products_left_as_built == ()


def test_a_nested_product_that_is_too_short_is_named_with_its_place_and_its_reason() -> None:
    text = BRANCHES.replace("float[b, 16] x", "float[b, 16] x, float[b, 3] z")
    text = text.replace("m = Neg(w)  q = MatMul(x, m)", "q = MatMul(z, w)")
    report = report_of(model_of(text, v=normal(8, 16), w=normal(3, 8)))
    place = 'If that makes "y", MatMul that makes "q"'
    assert report.products_left_as_built == ((place, "K is 3, and at least 4 is needed"),)


def test_a_product_in_a_scan_is_split_in_a_graph_that_reads_weights_from_around() -> None:
    text = """g (float[t, b, 16] x, float[b, 16] h0) => (float[b, 16] last, float[t, b, 16] y) {
        last, y = Scan (h0, x) <num_scan_inputs = 1, body = step (h, e) => (h2, o)
            { s = Add(e, h)  m = MatMul(s, w)  h2 = Tanh(m)  o = Identity(h2) }>
    }"""
    w, x, h = normal(16, 16) / 4, normal(5, 2, 16, seed=1), normal(2, 16, seed=2)
    expected, state = [], np.float64(h)
    for step in x:
        state = np.tanh((step + state) @ w)
        expected.append(state)
    engine = engine_of(model_of(text, w=w))
    assert np.allclose(run(engine, x=x, h0=h), expected, atol=1e-5)
    assert len({run(engine, seed, x=x, h0=h).tobytes() for seed in range(3)}) == 3


def test_an_input_of_a_body_hides_a_weight_of_the_same_name() -> None:
    text = """g (float[t, 16, 16] x, float[16, 16] h0) => (float[16, 16] last, float[t, 16, 16] y) {
        h1 = MatMul(h0, w)
        last, y = Scan (h1, x) <num_scan_inputs = 1, body = step (h, w) => (h2, o)
            { m = MatMul(h, w)  h2 = Tanh(m)  o = Identity(h2) }>
    }"""
    w, x, h = normal(16, 16) / 4, normal(1, 16, 16, seed=1), normal(16, 16, seed=2)
    engine = engine_of(model_of(text, w=w))
    assert engine.order_shape == (2, 4)
    assert np.allclose(run(engine, x=x, h0=h), np.tanh(np.float64(h) @ w @ x[0]), atol=1e-5)


def test_the_dearer_branch_of_an_if_tells_the_share_that_is_reordered() -> None:
    text = """g (bool c, float[1, 8] x) => (float[1, 8] y) {
        h = MatMul(x, w)
        y = If (c) <then_branch = t () => (float[1, 8] p) {
                        a = MatMul(h, w)  d = Gemm <transA = 1> (h, a)  s = ReduceSum(d)  p = Add(a, s) },
                    else_branch = e () => (float[1, 8] q) { q = MatMul(h, w) }>
    }"""
    report = report_of(model_of(text, w=normal(8, 8)))
    assert len(report.products_reordered) == 3
    assert report.multiply_adds == 64 + 64 + 64
    assert report.multiply_adds_reordered == 64 + 64
    assert report.products_left_as_built == (('If that makes "y", Gemm that makes "d"', "no side is constant"),)


def test_a_loop_counts_the_products_in_it_as_often_as_it_runs() -> None:
    text = LOOP_IN_A_BRANCH.replace("int64 n, ", "").replace("yes =", "n = Constant <value = int64 {6}> ()  yes =")
    report = report_of(model_of(text.replace("float[b, 16] x)", "float[1, 16] x)"), w=normal(16, 16)))
    assert report.multiply_adds == report.multiply_adds_reordered == 6 * 16 * 16


def test_weights_that_stood_in_a_branch_are_not_kept_beside_their_slices() -> None:
    text = """g (bool c, float[b, 16] x) => (float[b, n] y) {
        y = If (c) <then_branch = t () => (float[b, 1] p) <float[16, 1] u = VALUES> { p = MatMul(x, u) },
                    else_branch = e () => (float[b, 16] q) { q = Neg(x) }>
    }""".replace("VALUES", "{" + ",".join(map(str, range(16))) + "}")
    prepared = prepare(model_of(text), NumericProfile(summation=KSplit(slices=4)))
    proto = ModelProto.FromString(prepared.content)
    sizes = [tuple(tensor.dims) for tensor in proto.graph.initializer if len(tensor.dims) == 2]
    assert sizes == [(4, 1)] * 4
    assert all(not graph.g.initializer for node in proto.graph.node for graph in node.attribute)


def test_a_weight_that_two_branches_share_is_sliced_once() -> None:
    text = BRANCHES.replace("m = Transpose(v)  ", "").replace("m = Neg(w)  ", "").replace("(x, m)", "(x, w)")
    prepared = prepare(model_of(text, w=normal(16, 8)), NumericProfile(summation=KSplit(slices=4)))
    proto = ModelProto.FromString(prepared.content)
    assert sum(tuple(tensor.dims) == (4, 8) for tensor in proto.graph.initializer) == 4


def test_every_new_name_is_new_in_all_graphs() -> None:
    prepared = prepare(model_of(BRANCHES, v=normal(8, 16), w=normal(16, 8)), NumericProfile(summation=KSplit(slices=4)))
    proto = ModelProto.FromString(prepared.content)
    made = [name for located in nodes_at_any_depth(proto) for name in located.node.output]
    made += [each.name for each in (*proto.graph.initializer, *proto.graph.input)]
    new = [name for name in made if name.startswith("lastbit.")]
    assert ORDER_INPUT in new
    assert len(new) == len(set(new))
