"""A recurrent layer that is opened gives what the runtime's kernel and the definition of the operator give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from support import recurrent

from replicas.ksplit.opened import open_operators
from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import KPermute, KSplit, NumericProfile, Summation

Array = NDArray[Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
PLAIN = ["Sigmoid", "Tanh", "Relu", "Softsign", "Softplus"]
PARAMETERS = {"LeakyRelu": ("alpha",), "Elu": ("alpha",), "HardSigmoid": ("alpha", "beta")}
# A step rounds a few dozen numbers of about 1; the runtime's Tanh and Sigmoid are polynomials good to some 1e-7.
# Gates that are not bounded let a state grow from step to step, and its errors with it.
TOLERANCE = 3e-6


@dataclass(frozen=True)
class Case:
    """A model of one layer, what goes in, and what must come out by name."""

    model: Model
    inputs: dict[str, Array]
    expected: dict[str, Array]
    tolerance: float


@st.composite
def layers(draw: st.DrawFn) -> Case:
    operator = draw(st.sampled_from(["LSTM", "GRU", "RNN"]))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions, gates = (2 if direction == "bidirectional" else 1), GATES[operator]
    steps, batch, width, hidden = (draw(st.integers(1, 5)) for _ in range(4))
    width, hidden = width + 3, hidden + 3
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def normal(*shape: int) -> Array:
        return (rng.standard_normal(shape) / 2).astype(np.float32)

    tensors: dict[str, Array] = {
        "X": normal(steps, batch, width),
        "W": normal(directions, gates * hidden, width),
        "R": normal(directions, gates * hidden, hidden) / 2,
    }
    optional = {
        "B": normal(directions, 2 * gates * hidden),
        "sequence_lens": rng.integers(int(operator == "RNN"), steps + 1, batch).astype(np.int32),
        "initial_h": normal(directions, batch, hidden),
    }
    if operator == "LSTM":
        optional |= {"initial_c": normal(directions, batch, hidden), "P": normal(directions, 3 * hidden)}
    tensors |= {key: value for key, value in optional.items() if draw(st.booleans())}
    options = draw(options_of(operator))
    functions, attributes = draw(activations_of(operator, directions))
    attributes |= options | {"direction": direction, "hidden_size": hidden}
    outputs = ["Y", "Y_h", "Y_c"][: 3 if operator == "LSTM" else 2]
    wanted = draw(st.lists(st.sampled_from(outputs), min_size=1, unique=True))
    node = helper.make_node(
        operator,
        [name if name in tensors else "" for name in INPUTS[: 8 if operator == "LSTM" else 6]],
        [name if name in wanted else "" for name in outputs],
        name=draw(st.sampled_from(["", "layer"])),
        **attributes,
    )
    fixed = draw(st.sampled_from([("W", "R", "B", "P"), ("R",), ()]))
    model = build(node, tensors, wanted, fixed, opset=draw(st.integers(11, 18)))
    doubles = {key: value if key == "sequence_lens" else value.astype(np.float64) for key, value in tensors.items()}
    expected = dict(zip(outputs, recurrent.layer(operator, doubles, functions, direction, options), strict=True))
    inputs = {key: value for key, value in tensors.items() if key not in fixed}
    largest = max(1.0, *(float(np.abs(each).max(initial=0)) for each in expected.values()))
    return Case(model, inputs, {name: expected[name] for name in wanted}, TOLERANCE * largest**2)


@st.composite
def options_of(draw: st.DrawFn, operator: str) -> dict[str, Any]:
    options: dict[str, Any] = {"clip": draw(st.sampled_from([0.25, 0.5]))} if draw(st.booleans()) else {}
    flag = {"LSTM": "input_forget", "GRU": "linear_before_reset"}.get(operator)
    return options | ({flag: draw(st.integers(0, 1))} if flag else {})


@st.composite
def activations_of(draw: st.DrawFn, operator: str, directions: int) -> tuple[list[recurrent.Function], dict[str, Any]]:
    """Functions, and the attributes that name them; none where they are the defaults."""
    if draw(st.booleans()):
        return [recurrent.ACTIVATIONS[name] for name in ACTIVATIONS[operator] * directions], {}
    allowed = PLAIN if operator == "RNN" else [*PLAIN, *PARAMETERS]
    count = len(ACTIVATIONS[operator]) * directions
    names = draw(st.lists(st.sampled_from(allowed), min_size=count, max_size=count))
    numbers = {"alpha": [], "beta": []}  # type: dict[str, list[float]]
    functions: list[recurrent.Function] = []
    for name in names:
        given_here = {
            key: float(np.float32(draw(st.sampled_from([0.1, 0.3, 0.7])))) for key in PARAMETERS.get(name, ())
        }
        for key, value in given_here.items():
            numbers[key].append(value)
        functions.append(partial(recurrent.ACTIVATIONS[name], **given_here))
    attributes = {f"activation_{key}": values for key, values in numbers.items() if values}
    return functions, {"activations": names, **attributes}


def build(
    node: onnx.NodeProto, tensors: dict[str, Array], wanted: list[str], fixed: tuple[str, ...], *, opset: int
) -> Model:
    """A model of a layer; `fixed` tensors are initializers, the others come with each run, their dimensions open."""
    initializers = [numpy_helper.from_array(value, key) for key, value in tensors.items() if key in fixed]
    # The runtime wants to know how many directions, gates and elements there are.
    told = {key: value.shape if key in ("W", "R", "B", "P") else [None] * value.ndim for key, value in tensors.items()}
    inputs = [
        helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(value.dtype), told[key])
        for key, value in tensors.items()
        if key not in fixed
    ]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted]
    graph = helper.make_graph([node], "layer", inputs, outputs, initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return Model.from_bytes(proto.SerializeToString(), name="layer")


def run(content: bytes, inputs: dict[str, Array], wanted: list[str]) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(wanted, inputs)
    return results


@settings(max_examples=150, deadline=None)
@given(case=layers())
def test_an_opened_layer_gives_what_the_kernel_and_the_definition_give(case: Case) -> None:
    opened = open_operators(case.model.proto(), 2)
    assert opened.left == ()
    assert {node.op_type for node in opened.proto.graph.node} & set(GATES) == set()
    wanted = list(case.expected)
    found = run(opened.proto.SerializeToString(), case.inputs, wanted)
    kernel = run(case.model.content, case.inputs, wanted)
    for name, here, there in zip(wanted, found, kernel, strict=True):
        assert here.dtype == np.float32
        assert here.shape == there.shape == case.expected[name].shape
        assert np.abs(here - case.expected[name]).max(initial=0) <= case.tolerance
        if np.isfinite(there).all():  # the kernel's Softplus is infinite from 89 on, where the definition is not
            assert np.abs(here - there).max(initial=0) <= case.tolerance


@settings(max_examples=40, deadline=None)
@given(case=layers(), summation=st.sampled_from([KSplit(slices=4), KPermute()]), seed=st.integers(0, 2**32))
def test_a_reordered_layer_gives_what_the_definition_gives_and_one_order_the_same_bits(
    case: Case, summation: Summation, seed: int
) -> None:
    prepared = prepare(case.model, NumericProfile(summation=summation))
    rows, columns = prepared.order_rows, prepared.order_columns
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
    wanted = list(case.expected)
    found = run(prepared.content, {**case.inputs, "lastbit.order": order}, wanted)
    again = run(prepared.content, {**case.inputs, "lastbit.order": order}, wanted)
    for name, here in zip(wanted, found, strict=True):
        assert np.abs(here - case.expected[name]).max(initial=0) <= case.tolerance
    assert [each.tobytes() for each in found] == [each.tobytes() for each in again]
