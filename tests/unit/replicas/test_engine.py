"""The ONNX Runtime engine: settings that take effect, outputs of every kind, and one clear line when it refuses."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from replicas.engine import ORDER_INPUT, EngineError, EnginePool, OnnxRuntimeEngine
from replicas.model import Model
from replicas.outputs import Outputs, outputs_digest
from replicas.prepare import PreparedModel
from replicas.profile import KSplit, NumericProfile

PLAIN = NumericProfile()


def model(nodes, inputs, outputs, weights=(), name="mine") -> Model:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*each) for each in inputs], outputs, initializer=list(weights)
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(proto.SerializeToString(), name=name)


def tensor(name: str, dtype: int, shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


@pytest.fixture
def dense() -> Model:
    """Two layers that the runtime can fuse and prepack."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (64, 32)), ("b", (32,)), ("v", (32, 10)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    return model(nodes, [("x", T.FLOAT, ["N", 64])], [tensor("y", T.FLOAT, ["N", 10])], weights)


@pytest.fixture
def x() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((1, 64)).astype(np.float32)}


@pytest.fixture
def with_order() -> OnnxRuntimeEngine:
    """An engine of a graph that hands its order back, as if its products had been split along K."""
    plain = model([helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, [1])], [tensor("y", T.FLOAT, [1])])
    proto = plain.proto()
    proto.graph.input.append(tensor(ORDER_INPUT, T.INT64, [2, 4]))
    proto.graph.node[0].CopyFrom(helper.make_node("Cast", [ORDER_INPUT], ["y"], to=T.FLOAT))
    proto.graph.output[0].CopyFrom(tensor("y", T.FLOAT, [2, 4]))
    prepared = PreparedModel(content=proto.SerializeToString(), order_rows=2, order_columns=4)
    return OnnxRuntimeEngine(plain, NumericProfile(summation=KSplit(slices=4)), prepared=prepared)


def test_the_same_engine_gives_the_same_bits_again(dense, x):
    engine = OnnxRuntimeEngine(dense, PLAIN)
    assert len({outputs_digest(engine.run(x)) for _ in range(20)}) == 1


def test_outputs_come_in_graph_order_and_are_read_only(dense, x):
    outputs = OnnxRuntimeEngine(dense, PLAIN).run(MappingProxyType(x))
    assert outputs.names == ("y",)
    assert isinstance(outputs, Outputs)
    value = outputs["y"]
    assert isinstance(value, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 0


def test_strings_scalars_sequences_and_empty_optionals_pass_through():
    nodes = [
        helper.make_node("Identity", ["text"], ["same"]),
        helper.make_node("Neg", ["number"], ["negative"]),
        helper.make_node("SequenceConstruct", ["number", "negative"], ["both"]),
        helper.make_node("Optional", [], ["nothing"], type=helper.make_tensor_type_proto(T.FLOAT, [1])),
    ]
    optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(T.FLOAT, [1]))
    outputs = [
        tensor("same", T.STRING, ["N"]),
        tensor("negative", T.FLOAT, []),
        helper.make_tensor_sequence_value_info("both", T.FLOAT, []),
        helper.make_value_info("nothing", optional),
    ]
    engine = OnnxRuntimeEngine(model(nodes, [("text", T.STRING, ["N"]), ("number", T.FLOAT, [])], outputs), PLAIN)
    found = engine.run({"text": np.array(["é", ""], dtype=object), "number": np.array(2, np.float32)})
    assert found["same"].tolist() == ["é", ""]  # type: ignore[union-attr]
    assert found["negative"] == np.float32(-2)
    assert found["both"] == [2, -2]
    assert found["nothing"] is None
    assert len(outputs_digest(found)) == 32


def test_a_model_that_the_runtime_cannot_run_is_refused_in_one_line_with_its_profile():
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=T.BFLOAT16), helper.make_node("Relu", ["h"], ["y"])]
    refused = model(nodes, [("x", T.FLOAT, [2])], [tensor("y", T.BFLOAT16, [2])])
    with pytest.raises(EngineError) as caught:
        OnnxRuntimeEngine(refused, NumericProfile(intra_op_threads=2))
    message = str(caught.value)
    assert message.startswith("mine under the profile intra_op_threads=2: the runtime makes no session: ")
    assert "ONNXRuntimeError" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": np.ones((1, 63), np.float32)}, "Got: 63 Expected: 64"),
        ({"x": np.ones((1, 64))}, "expected: (tensor(float))"),
        ({"z": np.ones((1, 64), np.float32)}, "['x']"),
        ({"x": np.ones((1, 64), np.float32), "z": np.ones(1)}, "z"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(dense, inputs, words):
    with pytest.raises(EngineError, match=r"^mine under the default profile: inputs refused: [^\n]+$") as caught:
        OnnxRuntimeEngine(dense, PLAIN).run(inputs)
    assert words in str(caught.value)


def test_every_setting_is_read_back_from_the_session_and_what_cannot_be_shown_says_so(dense):
    profile = NumericProfile(
        intra_op_threads=3, inter_op_threads=2, execution_mode="parallel", optimization="extended", prepacking=False
    )
    shown = {each.name: each for each in OnnxRuntimeEngine(dense, profile).report.settings}
    assert {name: each.value for name, each in shown.items()} == {
        "intra_op_threads": "3",
        "inter_op_threads": "2",
        "execution_mode": "parallel",
        "optimization": "extended",
        "prepacking": "false",
        "gelu_approximation": "false",
    }
    assert "cannot be shown" in shown.pop("prepacking").evidence
    assert "0 new FastGelu" in shown.pop("gelu_approximation").evidence
    assert all("read back" in each.evidence for each in shown.values())


@pytest.mark.parametrize(
    ("optimization", "seen"), [("off", "of 4 nodes 4 remain, 0 are new"), ("basic", "of 4 nodes 2 remain, 1 are new")]
)
def test_the_optimisation_level_is_seen_in_the_graph_that_the_runtime_saves(dense, optimization, seen):
    report = OnnxRuntimeEngine(dense, NumericProfile(optimization=optimization)).report
    assert seen in next(each.evidence for each in report.settings if each.name == "optimization")


@pytest.fixture
def gelu() -> Model:
    """A GELU put together of plain operators, as exporters write it."""
    nodes = [
        helper.make_node("Div", ["x", "root"], ["d"]),
        helper.make_node("Erf", ["d"], ["e"]),
        helper.make_node("Add", ["e", "one"], ["f"]),
        helper.make_node("Mul", ["x", "f"], ["g"]),
        helper.make_node("Mul", ["g", "half"], ["y"]),
    ]
    numbers = {"root": np.sqrt(np.float32(2)), "one": np.float32(1), "half": np.float32(0.5)}
    weights = [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
    return model(nodes, [("x", T.FLOAT, ["N", 64])], [tensor("y", T.FLOAT, ["N", 64])], weights)


def gelu_shown(model: Model, **settings) -> str:
    report = OnnxRuntimeEngine(model, NumericProfile(gelu_approximation=True, **settings)).report
    return next(each.evidence for each in report.settings if each.name == "gelu_approximation")


def test_an_approximated_gelu_has_other_bits_and_is_seen_in_the_graph_that_the_runtime_saves(gelu, x):
    exact = OnnxRuntimeEngine(gelu, PLAIN).run(x)["y"]
    approximated = OnnxRuntimeEngine(gelu, NumericProfile(gelu_approximation=True)).run(x)["y"]
    assert isinstance(exact, np.ndarray)
    assert isinstance(approximated, np.ndarray)
    assert 1e-5 < np.abs(exact - approximated).max() < 1e-2
    assert gelu_shown(gelu) == "seen in the graph that the runtime saves: 1 new FastGelu"


def test_an_approximation_that_replaced_nothing_cannot_be_shown(gelu, dense):
    assert gelu_shown(dense).startswith("cannot be shown")
    assert gelu_shown(gelu, optimization="basic").startswith("cannot be shown")


def test_the_order_goes_to_the_graph_as_an_input_of_its_own(with_order):
    order = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    assert with_order.order_shape == (2, 4)
    found = with_order.run({"x": np.ones(1, np.float32)}, order)["y"]
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, order)


def test_a_model_split_along_k_gives_the_same_bits_for_the_same_order_and_others_for_another(dense, x):
    engine = OnnxRuntimeEngine(dense, NumericProfile(summation=KSplit(slices=8, partials="bf16")))
    assert engine.order_shape == (2, 8)
    orders = np.random.default_rng(2).permuted(np.tile(np.arange(8), (20, 2, 1)), axis=-1)
    first, again = ([outputs_digest(engine.run(x, order)) for order in orders] for _ in range(2))
    assert first == again
    assert len(set(first)) > 1


@pytest.mark.parametrize("order", [None, np.zeros((4, 2), np.int64), np.zeros((2, 4), np.int32)])
def test_an_order_that_is_missing_or_does_not_fit_is_refused(with_order, order):
    with pytest.raises(EngineError, match=r"needs an order of summation, int64 of shape \(2, 4\); was given"):
        with_order.run({"x": np.ones(1, np.float32)}, order)


def test_an_order_for_a_graph_that_takes_none_is_refused(dense, x):
    with pytest.raises(EngineError, match="takes no order of summation"):
        OnnxRuntimeEngine(dense, PLAIN).run(x, np.zeros((1, 4), np.int64))


def test_memory_is_planned_as_the_runtime_ships_it_and_not_at_all_for_a_reordered_graph(dense, x, monkeypatch):
    given = []
    made = onnxruntime.InferenceSession

    def session(content, options, **rest):
        given.append(options.enable_mem_reuse)
        return made(content, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    OnnxRuntimeEngine(dense, PLAIN)
    split = OnnxRuntimeEngine(dense, NumericProfile(summation=KSplit(slices=4)))
    order = np.zeros(split.order_shape, np.int64) + np.arange(4)

    assert given == [True, False]
    planned = made(split.prepared.content, providers=["CPUExecutionProvider"])
    assert planned.run(None, {**x, ORDER_INPUT: order})[0].tobytes() == split.run(x, order)["y"].tobytes()


def test_equal_profiles_share_an_engine_and_unequal_settings_do_not(dense):
    pool = EnginePool()
    first = pool.engine(dense, NumericProfile())
    assert pool.engine(dense, NumericProfile()) is first
    for other in (NumericProfile(intra_op_threads=2), NumericProfile(optimization="off")):
        assert pool.engine(dense, other) is not first
        assert pool.engine(dense, other).identity != first.identity
    assert len(pool) == 3


def test_profiles_that_lead_to_the_same_graph_and_session_share_an_engine(dense):
    pool = EnginePool()
    fixed = pool.engine(dense, NumericProfile(summation=KSplit(slices=4, order="fixed")))
    drawn = pool.engine(dense, NumericProfile(summation=KSplit(slices=4, order="drawn")))
    assert drawn is fixed
    assert len(pool) == 1


def test_two_models_do_not_share_an_engine(dense):
    other = model([helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, [1])], [tensor("y", T.FLOAT, [1])])
    pool = EnginePool()
    assert pool.engine(dense, PLAIN) is not pool.engine(other, PLAIN)
