from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from replicas.cost import compute_ns, node_costs, operations, part_costs
from replicas.model import Model
from replicas.tree_costs import comparisons_per_row

Array = NDArray[Any]
HEADER = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "ai.onnx.ml" : 3]>'


def model_of(text: str, **weights: tuple[int, ...]) -> Model:
    proto = parse_model(f"{HEADER} {text}")
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()
    )
    return Model.from_bytes(proto.SerializeToString(), name="model")


def multiply_adds(text: str, **weights: tuple[int, ...]) -> int:
    return sum(cost.multiply_adds for cost in node_costs(model_of(text, **weights).proto()))


@pytest.mark.parametrize(
    ("text", "weights", "expected"),
    [
        ("g (float[5, 8] x) => (float[5, 3] y) { y = MatMul(x, w) }", {"w": (8, 3)}, 5 * 8 * 3),
        ("g (float[2, 5, 8] x) => (float[2, 5, 3] y) { y = MatMul(x, w) }", {"w": (8, 3)}, 2 * 5 * 8 * 3),
        ("g (float[5, 8] x) => (float[2, 5, 3] y) { y = MatMul(x, w) }", {"w": (2, 8, 3)}, 2 * 5 * 8 * 3),
        ("g (float[8, 5] x) => (float[5, 3] y) { y = Gemm <transA = 1, transB = 1> (x, w) }", {"w": (3, 8)}, 5 * 8 * 3),
        ("g (float[1, 4, 9, 9] x) => (float[1, 6, 7, 7] y) { y = Conv <group = 2> (x, w) }",
         {"w": (6, 2, 3, 3)}, 6 * 7 * 7 * 2 * 9),
        ("g (float[1, 4, 5, 5] x) => (float[1, 6, 7, 7] y) { y = ConvTranspose (x, w) }",
         {"w": (4, 6, 3, 3)}, 4 * 25 * 6 * 9),
        ("g (float[7, 2, 3] x) => (float[7, 1, 2, 5] y) { y = LSTM <hidden_size = 5> (x, w, r) }",
         {"w": (1, 20, 3), "r": (1, 20, 5)}, 7 * 2 * 20 * 8),
        ("g (float[7, 2, 3] x) => (float[7, 1, 2, 5] y) { y = GRU <hidden_size = 5> (x, w, r) }",
         {"w": (1, 15, 3), "r": (1, 15, 5)}, 7 * 2 * 15 * 8),
        ('g (float[2, 5, 8] x) => (float[2, 5, 3] y) { y = Einsum <equation = "bik,kj->bij"> (x, w) }',
         {"w": (8, 3)}, 2 * 5 * 8 * 3),
        ("g (float[5, 8] x) => (float[5, 3] y) { y = com.microsoft.FusedMatMul <transB = 1> (x, w) }",
         {"w": (3, 8)}, 5 * 8 * 3),
        ("g (float[5, 8] x) => (float[5, 8] y) { y = Relu(x) }", {}, 0),
    ],
)  # fmt: skip
def test_products_are_counted_by_their_shapes(text: str, weights: dict[str, tuple[int, ...]], expected: int) -> None:
    assert multiply_adds(text, **weights) == expected


def test_a_multiply_add_is_two_operations_and_any_other_node_one_for_each_element_it_makes() -> None:
    model = model_of("g (float[b, 8] x) => (float[b, 3] y) { h = MatMul(x, w)  y = Relu(h) }", w=(8, 3))
    assert operations(model, {"x": (10, 8)}) == 2 * 10 * 8 * 3 + 10 * 3


def test_shapes_that_a_run_supplies_stand_above_those_of_the_file() -> None:
    model = model_of("g (float[1, 8] x) => (float[1, 8] y) { h = Exp(x)  y = Relu(h) }")
    assert operations(model, {"x": (10, 8)}) == 160
    assert operations(model, {}) == 16


def test_unknown_dimensions_count_as_one_and_nothing_costs_nothing() -> None:
    model = model_of("g (float[b, 8] x) => (float[b, 8] y) { y = Relu(x) }")
    assert operations(model, {}) == 8
    assert operations(model_of("g (float[0] x) => (float[0] y) { y = Relu(x) }"), {}) == 1


def test_an_operator_that_inference_does_not_know_makes_as_much_as_it_takes() -> None:
    proto = model_of("g (float[4, 8] x) => (float[m, n] y) { h = com.microsoft.Unheard(x)  y = Relu(h) }").proto()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert [cost.operations for cost in node_costs(proto)] == [32, 32]


def test_trees_count_their_depth_for_each_row() -> None:
    # Tree 0: a root with two leaves. Tree 1: a root, one inner node, three leaves.
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0, 1, 1, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2, 3, 4],
        nodes_featureids=[0] * 8, nodes_values=[0.5] * 8,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0, 1, 3, 0, 0, 0], nodes_falsenodeids=[2, 0, 0, 2, 4, 0, 0, 0],
        target_treeids=[0, 0, 1, 1, 1], target_nodeids=[1, 2, 2, 3, 4], target_ids=[0] * 5, target_weights=[1.0] * 5,
    )  # fmt: skip
    proto = parse_model(f"{HEADER} g (float[b, 2] x) => (float[b, 1] y) {{ unused = Relu(x) }}")
    del proto.graph.node[:]
    proto.graph.node.append(node)
    model = Model.from_bytes(proto.SerializeToString(), name="trees")
    assert operations(model, {"x": (1, 2)}) == 1 + 2
    assert operations(model, {"x": (10, 2)}) == 10 * (1 + 2)


def test_trees_in_the_new_form_count_the_same() -> None:
    # Tree 0: a branch with two leaves. Tree 1: a branch, below it another and one leaf, below that two leaves.
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", tree_roots=[0, 1],
        nodes_truenodeids=[0, 2, 3], nodes_trueleafs=[1, 0, 1],
        nodes_falsenodeids=[1, 2, 4], nodes_falseleafs=[1, 1, 1],
    )  # fmt: skip
    assert comparisons_per_row(node) == 1 + 2


def test_many_trees_are_walked_without_a_copy_of_all_branches_for_each() -> None:
    trees = 2_000
    each, leaves = list(range(trees)), [1] * trees
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", tree_roots=each,
        nodes_truenodeids=each, nodes_trueleafs=leaves, nodes_falsenodeids=each, nodes_falseleafs=leaves,
    )  # fmt: skip
    tracemalloc.start()
    try:
        assert comparisons_per_row(node) == trees
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_the_dearer_branch_of_an_if_counts_and_a_loop_as_often_as_it_says() -> None:
    branches = """g (bool c, float[1, 8] x) => (float[1, 8] y) {
        y = If (c) <then_branch = t () => (float[1, 8] p) { p = MatMul(x, w) },
                    else_branch = e () => (float[1, 8] q) { q = Relu(x) }> }"""
    assert multiply_adds(branches, w=(8, 8)) == 64
    loop = """g (bool c, float[1, 8] x) => (float[1, 8] y) {
        n = Constant <value = int64 {5}> ()
        y = Loop (n, c, x) <body = b (int64 i, bool k, float[1, 8] v) => (bool k2, float[1, 8] v2) {
            k2 = Identity(k)  v2 = MatMul(v, w) }> }"""
    assert multiply_adds(loop, w=(8, 8)) == 5 * 64


def test_a_scan_over_a_sequence_of_unknown_shape_counts_once() -> None:
    text = """g (float[4, 8] x) => (float[m, n] y) {
        h = com.microsoft.Unheard(x)
        y = Scan <num_scan_inputs = 1, body = b (float[1, 8] v) => (float[1, 8] u) { u = MatMul(v, w) }> (h)
    }"""
    assert multiply_adds(text, w=(8, 8)) == 64


def test_the_parts_of_a_model_count_together_what_its_nodes_do() -> None:
    text = """g (bool c, float[1, 8] x) => (float[1, 8] y) {
        n = Constant <value = int64 {5}> ()  h = MatMul(x, w)
        y = If (c) <then_branch = t () => (float[1, 8] p) { p = Loop (n, c, h) <
                        body = b (int64 i, bool k, float[1, 8] v) => (bool k2, float[1, 8] v2) {
                            k2 = Identity(k)  v2 = MatMul(v, w) }> },
                    else_branch = e () => (float[1, 8] q) { q = MatMul(h, w) }>
    }"""
    costs = node_costs(model_of(text, w=(8, 8)).proto())
    counted = [(part.position, part.multiply_adds, part.counted) for part in part_costs(costs) if part.multiply_adds]
    assert counted == [((1,), 64, 64), ((2, 0, 0, 0, 1), 64, 5 * 64), ((2, 1, 0), 64, 0)]
    assert sum(cost.multiply_adds for cost in costs) == 6 * 64


def test_a_function_of_the_model_counts_what_is_in_it() -> None:
    proto = parse_model("""<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[5, 8] x, float[8, 3] w) => (float[5, 3] y) { y = own.Dense(x, w) }
        <domain: "own", opset_import: ["" : 17]> Dense (a, b) => (c) { c = MatMul(a, b) }""")
    assert sum(cost.multiply_adds for cost in node_costs(proto)) == 5 * 8 * 3


def test_compute_time_is_whole_nanoseconds_and_never_none() -> None:
    assert compute_ns(3_000, operations_per_second=1_000_000_000) == 3_000
    assert compute_ns(0, operations_per_second=1) == 1
    assert compute_ns(1, operations_per_second=1e12) == 1
    assert isinstance(compute_ns(7, operations_per_second=3e8), int)
    with pytest.raises(ValueError, match="operations_per_second"):
        compute_ns(1, operations_per_second=0)
    with pytest.raises(ValueError, match="operations:"):
        compute_ns(-1, operations_per_second=1)
