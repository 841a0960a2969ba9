"""Recurrent layers opened into plain operators, so that their products can be reordered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from replicas.engine import OnnxRuntimeEngine
from replicas.graph_walk import nodes_at_any_depth
from replicas.ksplit.opened import open_operators
from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import KSplit, NumericProfile, Optimization

Array = NDArray[Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, HIDDEN = 7, 2, 24, 16


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 4


def layer(
    operator: str = "LSTM", *, opset: int = 17, width: int = WIDTH, hidden: int = HIDDEN, **attributes: Any
) -> Model:
    """A layer named "memory" and a MatMul behind it, so that there is always a product to split."""
    gates = GATES[operator]
    weights = {
        "w": normal(1, gates * hidden, width),
        "r": normal(1, gates * hidden, hidden, seed=8),
        "b": normal(1, 2 * gates * hidden, seed=9),
        "v": normal(hidden, 32, seed=10),
        "u": normal(32, 5, seed=11),
    }
    attributes = {"hidden_size": hidden, **attributes}
    nodes = [
        helper.make_node(operator, ["x", "w", "r", "b"], ["", "h"], name="memory", **attributes),
        helper.make_node("MatMul", ["h", "v"], ["m"], name="widen"),
        helper.make_node("MatMul", ["m", "u"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, BATCH, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, BATCH, 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return Model.from_bytes(proto.SerializeToString(), name="classifier")


def in_a_branch(model: Model) -> Model:
    """The same network as the one branch of an If; the other gives zeros."""
    proto = model.proto()
    inner = helper.make_graph(proto.graph.node, "network", [], proto.graph.output, proto.graph.initializer)
    zeros = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.zeros((1, BATCH, 5), np.float32)))
    other = helper.make_graph([zeros], "other", [], proto.graph.output)
    node = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=inner, else_branch=other)
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "branches", [*proto.graph.input, c], proto.graph.output)
    made = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=8)
    return Model.from_bytes(made.SerializeToString(), name="branches")


def answers(model: Model, slices: int, optimization: Optimization = "all", **inputs: Array) -> list[Array]:
    engine = OnnxRuntimeEngine(model, NumericProfile(summation=KSplit(slices=slices), optimization=optimization))
    assert engine.order_shape is not None
    rows, columns = engine.order_shape
    found = []
    for seed in (1, 2, 3, 1):
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
        found.append(np.asarray(engine.run({"x": normal(STEPS, BATCH, WIDTH, seed=1) * 4, **inputs}, order)["y"]))
    return found


def reasons(model: Model, slices: int = 8) -> dict[str, str]:
    return dict(prepare(model, NumericProfile(summation=KSplit(slices=slices))).report.products_left_as_built)


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
def test_each_order_gives_bits_of_its_own_and_one_order_the_same_bits(
    operator: str, optimization: Optimization
) -> None:
    exact = np.asarray(
        OnnxRuntimeEngine(layer(operator), NumericProfile()).run({"x": normal(STEPS, BATCH, WIDTH, seed=1) * 4})["y"]
    )
    found = answers(layer(operator), 8, optimization)
    assert all(np.allclose(each, exact, atol=1e-6) for each in found)
    assert len({each.tobytes() for each in found[:3]}) == 3
    assert found[0].tobytes() == found[3].tobytes()


@pytest.mark.parametrize("operator", GATES)
def test_two_slices_never_change_a_bit(operator: str) -> None:
    assert len({each.tobytes() for each in answers(layer(operator), 2)}) == 1


def test_a_layer_inside_a_branch_is_opened_there() -> None:
    plain = answers(layer(), 8)
    nested = answers(in_a_branch(layer()), 8, c=np.array(True))
    assert [each.tobytes() for each in nested] == [each.tobytes() for each in plain]
    report = prepare(in_a_branch(layer()), NumericProfile(summation=KSplit(slices=8))).report
    assert report.products_reordered[1] == (
        'If "choice", Scan "memory/forward/scan", MatMul "memory/forward/recurrence/MatMul"'
    )


def test_all_multiply_adds_of_a_layer_are_counted_and_reordered() -> None:
    report = prepare(layer("GRU"), NumericProfile(summation=KSplit(slices=8))).report
    assert report.multiply_adds == STEPS * BATCH * 3 * HIDDEN * (WIDTH + HIDDEN) + BATCH * 32 * (HIDDEN + 5)
    assert report.share_reordered == 1.0
    assert report.products_left_as_built == ()


def test_weights_given_as_they_are_read_leave_no_whole_copy_behind() -> None:
    prepared = prepare(layer(), NumericProfile(summation=KSplit(slices=8)))
    proto = ModelProto.FromString(prepared.content)
    assert {"w", "r"} & {tensor.name for tensor in proto.graph.initializer} == set()


def test_the_tensors_that_a_layer_makes_keep_their_names() -> None:
    opened = open_operators(layer().proto(), 2).proto
    assert "h" in {name for located in nodes_at_any_depth(opened) for name in located.node.output}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (layer(opset=9), "to open it needs operator set 11, and the model has 9"),
        (layer(layout=1), "its layout is 1, which the runtime does not run"),
        (layer("RNN", activations=["Affine"]), "its activation Affine is not opened"),
        (
            layer("RNN", activations=["Elu"]),
            "its activation Elu takes parameters, which the runtime reads in its own way",
        ),
        (layer("GRU", activations=["Tanh"]), "it names 1 activations; 2 are needed"),
        (layer(clip=0.0), "its clip is 0; above 0 is opened"),
        (layer(width=5, hidden=7), "K is 5 for its input and 7 for its state, and at least 8 is needed"),
    ],
    ids=["opset", "layout", "affine", "parameters", "count", "clip", "size"],
)  # fmt: skip
def test_a_layer_that_cannot_be_opened_stays_and_the_reason_is_reported(model: Model, reason: str) -> None:
    found = reasons(model)
    assert next(value for place, value in found.items() if "memory" in place) == reason


def test_a_layer_of_doubles_stays_as_built() -> None:
    proto = layer().proto()
    for tensor in proto.graph.initializer[:3]:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    left = open_operators(proto, 2).left
    assert left == (('LSTM "memory"', "its weights are not known to be float32"),)


def test_a_layer_with_one_side_long_enough_is_opened_for_that_side() -> None:
    model = layer(width=5, hidden=8)
    report = prepare(model, NumericProfile(summation=KSplit(slices=8))).report
    assert [each.split('"')[-2] for each in report.products_reordered[:1]] == ["memory/forward/recurrence/MatMul"]
    assert report.products_left_as_built == (
        ('MatMul "memory/forward/input/MatMul"', "K is 5, and at least 8 is needed"),
    )
