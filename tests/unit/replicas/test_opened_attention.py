"""Attention and Einsum, opened into the matrix products that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper, numpy_helper

from replicas.engine import OnnxRuntimeEngine
from replicas.ksplit.opened import open_operators
from replicas.model import Model
from replicas.prepare import PreparationReport, prepare
from replicas.profile import KPermute, KSplit, NumericProfile, Summation

Array = NDArray[Any]
Shapes = Mapping[str, Sequence[int | str]]
LENGTHS = {"b": 2, "s": 5, "t": 7}


def one_node(
    operator: str,
    inputs: Shapes,
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 17,
    domain: str = "",
    weights: Mapping[str, Array] | None = None,
    **attributes: Any,
) -> Model:
    """A graph of one node named "it"; an input of a name in `weights` is an initializer."""
    weights = weights or {}
    node = helper.make_node(operator, list(inputs), list(outputs), name="it", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [_value(name, shape) for name, shape in inputs.items() if name not in weights],
        [_value(name, None) for name in outputs if name],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return Model.from_bytes(proto.SerializeToString(), name="one")


def _value(name: str, shape: Sequence[int | str] | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def tensors(inputs: Shapes) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    lengths = {name: [LENGTHS[each] if isinstance(each, str) else each for each in inputs[name]] for name in inputs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in lengths.items()}


def answers(model: Model, feeds: Mapping[str, Array], summation: Summation) -> list[dict[str, Array]]:
    engine = OnnxRuntimeEngine(model, NumericProfile(summation=summation))
    assert engine.order_shape is not None
    rows, columns = engine.order_shape
    found = []
    for seed in (1, 2, 3, 1):
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
        found.append({name: np.asarray(value) for name, value in engine.run(feeds, order).items()})
    return found


def report_of(model: Model, slices: int = 4) -> PreparationReport:
    return prepare(model, NumericProfile(summation=KSplit(slices=slices))).report


HEADS: Shapes = {"q": ("b", 4, "s", 16), "k": ("b", 4, "t", 16), "v": ("b", 4, "t", 16)}
GROUPED: Shapes = {"q": ("b", "s", 64), "k": ("b", "t", 32), "v": ("b", "t", 32)}
MASKED: Shapes = {**HEADS, "mask": ("s", "t")}
WITH_PAST: Shapes = {**HEADS, "mask": (5, 10), "past_k": ("b", 4, 3, 16), "past_v": ("b", 4, 3, 16)}
ATTENTION = {
    "plain": (HEADS, ("y",), {}),
    "causal": (HEADS, ("y",), {"is_causal": 1}),
    "masked": (MASKED, ("y",), {"scale": 0.5}),
    "capped": (HEADS, ("y",), {"softcap": 3.0}),
    "grouped": (GROUPED, ("y",), {"q_num_heads": 4, "kv_num_heads": 2}),
    "with-past": (WITH_PAST, ("y", "present_k", "present_v"), {}),
}


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize(("inputs", "outputs", "attributes"), ATTENTION.values(), ids=ATTENTION)
def test_attention_is_opened_and_each_order_gives_bits_of_its_own(
    inputs: Shapes, outputs: Sequence[str], attributes: dict[str, Any], opset: int
) -> None:
    model, feeds = one_node("Attention", inputs, outputs, opset=opset, **attributes), tensors(inputs)
    exact = OnnxRuntimeEngine(model, NumericProfile()).run(feeds)
    found = answers(model, feeds, KSplit(slices=4))
    for name in outputs:
        assert all(np.allclose(each[name], np.asarray(exact[name]), atol=3e-6) for each in found)
    assert len({each["y"].tobytes() for each in found[:3]}) == 3
    assert found[0]["y"].tobytes() == found[3]["y"].tobytes()
    assert len(report_of(model).products_reordered) == 2
    assert report_of(model).share_reordered == 1.0


def test_attention_gives_what_its_definition_says_in_float64() -> None:
    feeds = tensors(HEADS)
    q, k, v = (feeds[name].astype(np.float64) for name in ("q", "k", "v"))
    scores = q @ np.swapaxes(k, -1, -2) / 4
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    found = answers(one_node("Attention", HEADS, opset=23), feeds, KSplit(slices=8))
    assert all(np.allclose(each["y"], weights @ v, atol=2e-6) for each in found)


def test_attention_inside_a_branch_is_opened_there() -> None:
    inner = one_node("Attention", HEADS, opset=23).proto()
    other = GraphProto(name="other", node=[helper.make_node("Neg", ["q"], ["y"])], output=inner.graph.output)
    then = GraphProto(name="then", node=inner.graph.node, output=inner.graph.output)
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "branches", [*inner.graph.input, condition], inner.graph.output)
    proto = helper.make_model(graph, opset_imports=inner.opset_import, ir_version=10)
    model, feeds = Model.from_bytes(proto.SerializeToString(), name="branches"), tensors(HEADS)
    nested = answers(model, {**feeds, "c": np.array(True)}, KSplit(slices=4))
    plain = answers(one_node("Attention", HEADS, opset=23), feeds, KSplit(slices=4))
    assert [each["y"].tobytes() for each in nested] == [each["y"].tobytes() for each in plain]


def test_the_attention_of_the_runtimes_own_domain_stays_closed_and_is_reported() -> None:
    inputs: Shapes = {"q": (2, 5, 64), "k": (2, 7, 64), "v": (2, 7, 64)}
    proto = one_node("MultiHeadAttention", inputs, ("h",), domain="com.microsoft", num_heads=4).proto()
    proto.graph.node.append(helper.make_node("MatMul", ["h", "w"], ["y"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((64, 8), np.float32), "w"))
    proto.graph.output[0].name = "y"
    report = report_of(Model.from_bytes(proto.SerializeToString(), name="own"))
    assert report.products_left_as_built == (('MultiHeadAttention "it"', "its operator is not rewritten"),)


OPENED: dict[str, Shapes] = {
    "bik,kj->bij": {"x": ("b", "s", 8), "w": (8, 6)},
    "ik,jk->ij": {"x": ("s", 8), "w": (6, 8)},
    "ki,kj->ji": {"x": (8, "s"), "w": (8, 6)},
    "k,kj->j": {"x": (8,), "w": (8, 6)},
    "ik,k->i": {"x": ("s", 8), "w": (8,)},
    "k,k->": {"x": (8,), "w": (8,)},
    "bhqd,bhkd->bhqk": {"x": ("b", 3, "s", 8), "w": ("b", 3, "t", 8)},
    "bqhd,bkhd->bhqk": {"x": ("b", "s", 3, 8), "w": ("b", "t", 3, 8)},
    "bhqk,bkhd->bqhd": {"x": ("b", 3, "s", 8), "w": ("b", 8, 3, 6)},
    "bld,dhk->blhk": {"x": ("b", "s", 8), "w": (8, 3, 4)},
    "blhk,hkd->bld": {"x": ("b", "s", 3, 4), "w": (3, 4, 6)},
    "bhlk,hkd->bld": {"x": ("b", 3, "s", 4), "w": (3, 4, 6)},
    "blhk,khdm->mlbd": {"x": ("b", "s", 3, 4), "w": (4, 3, 6, 2)},
    "bhlk,bhkd->bld": {"x": ("b", 3, "s", 4), "w": ("b", 3, 4, 6)},
    "b i k , b k j -> b i j": {"x": ("b", "s", 8), "w": ("b", 8, 6)},
}


@pytest.mark.parametrize("is_weight", [True, False], ids=["weight", "run"])
@pytest.mark.parametrize("summation", [KSplit(slices=4), KPermute()], ids=["ksplit", "kpermute"])
@pytest.mark.parametrize(("equation", "inputs"), OPENED.items(), ids=OPENED)
def test_an_einsum_that_is_a_matrix_product_is_opened(
    equation: str, inputs: Shapes, summation: Summation, is_weight: bool
) -> None:
    feeds = tensors(inputs)
    fixed = {"w": feeds.pop("w")} if is_weight else {}
    model = one_node("Einsum", inputs, weights=fixed, equation=equation)
    everything = {name: np.float64(value) for name, value in (feeds | fixed).items()}
    expected = np.einsum(equation.replace(" ", ""), everything["x"], everything["w"])
    found = answers(model, feeds, summation)
    assert found[0]["y"].shape == expected.shape
    assert all(np.allclose(each["y"], expected, atol=1e-5) for each in found)
    assert report_of(model).share_reordered == 1.0


@pytest.mark.parametrize(
    ("equation", "inputs", "reason"),
    [
        ("bilk,bkj->bilj", {"x": (2, 3, 5, 8), "w": (2, 8, 6)}, "is no plain matrix product of axes"),
        ("ik,kjm->ijm", {"x": ("s", "t"), "w": ("t", "b", 4)}, "is no plain matrix product of axes"),
        ("ik,kj->ij", {"x": (5, 3), "w": (3, 6)}, "K is 3, and at least 4 is needed"),
        ("iik,kj->ij", {"x": (5, 5, 8), "w": (8, 6)}, "takes a diagonal"),
        ("ilk,kj->ij", {"x": (5, 4, 8), "w": (8, 6)}, "sums over an axis of one side"),
        ("...k,kj->...j", {"x": (5, 4, 8), "w": (8, 6)}, "is not of two sides and a result in letters"),
        ("ik,kj", {"x": (5, 8), "w": (8, 6)}, "is not of two sides and a result in letters"),
    ],
)
def test_an_einsum_that_is_no_plain_matrix_product_stays_and_the_reason_is_reported(
    equation: str, inputs: Shapes, reason: str
) -> None:
    proto = one_node("Einsum", inputs, ("h",), equation=equation).proto()
    proto.graph.node.append(helper.make_node("MatMul", ["z", "u"], ["y"]))
    proto.graph.input.append(_value("z", (2, 8)))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((8, 8), np.float32), "u"))
    proto.graph.output.append(_value("y", None))
    left = report_of(Model.from_bytes(proto.SerializeToString(), name="einsum")).products_left_as_built
    assert [place for place, _ in left] == ['Einsum "it"']
    assert reason in left[0][1]


def test_an_einsum_of_whole_numbers_stays_as_built() -> None:
    proto = one_node("Einsum", {"x": (5, 8), "w": (8, 6)}, equation="ik,kj->ij").proto()
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.INT32
    assert open_operators(proto, 2).left == (('Einsum "it"', "its sides are not known to be float32 or float64"),)
