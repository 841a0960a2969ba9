"""Another order of summation changes the rounding of a product and nothing else, whatever form the product has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from replicas.ksplit import ORDER_INPUT
from replicas.model import Model
from replicas.prepare import PreparedModel, prepare
from replicas.profile import KPermute, KSplit, NumericProfile, PartialPrecision

Array = NDArray[np.float32]
# Half the distance from 1 to the next number: the largest relative error of one rounding.
UNIT_ROUNDOFF: dict[str, float] = {"fp32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8, "fp16": 2.0**-11}
SMALLEST_SUBNORMAL: dict[str, float] = {"fp32": 2.0**-149, "tf32": 2.0**-149, "bf16": 2.0**-133, "fp16": 2.0**-24}


@dataclass(frozen=True)
class Case:
    """A graph of one or two products, what goes in, and what a float64 reference says must come out."""

    model: Model
    inputs: dict[str, Array]
    reference: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    k: int
    products: int
    terms_per_k: int = 1


@st.composite
def gemms(draw: st.DrawFn) -> Case:
    m, n = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    k = draw(st.integers(4, 23))
    if draw(st.booleans()):
        m = n = k  # a square weight: a forgotten transposition changes no shape
    trans_a, trans_b = draw(st.booleans()), draw(st.booleans())
    alpha, beta = draw(st.sampled_from([1.0, 0.5, -2.25])), draw(st.sampled_from([1.0, 0.0, -0.75]))
    addend_shape = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, 1), (m, n)]))
    weight_is_left = draw(st.booleans())
    reached = draw(st.sampled_from(REACHED))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    a = rng.standard_normal((k, m) if trans_a else (m, k)).astype(np.float32)
    b = rng.standard_normal((n, k) if trans_b else (k, n)).astype(np.float32)
    weight, operand = (a, b) if weight_is_left else (b, a)
    nodes, initializers, weight = reach(weight, reached)
    a, b = (weight, operand) if weight_is_left else (operand, weight)
    names = ["w", "x"] if weight_is_left else ["x", "w"]
    left, right = a.astype(np.float64), b.astype(np.float64)
    left, right = (left.T if trans_a else left), (right.T if trans_b else right)
    reference, magnitude = alpha * (left @ right), abs(alpha) * (abs(left) @ abs(right))
    inputs = {"x": operand}
    if addend_shape is not None:
        c = rng.standard_normal(addend_shape).astype(np.float32)
        names.append("c")
        if draw(st.booleans()):
            initializers.append(numpy_helper.from_array(c, "c"))
        else:
            inputs["c"] = c
        reference, magnitude = reference + beta * c, magnitude + abs(beta * c.astype(np.float64))
    gemm = helper.make_node(
        "Gemm", names, ["y"], alpha=alpha, beta=beta, transA=int(trans_a), transB=int(trans_b), name="gemm"
    )
    return Case(build([*nodes, gemm], initializers, inputs), inputs, reference, magnitude, k, 1)


@st.composite
def matmuls(draw: st.DrawFn) -> Case:
    m, n, k, batch = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(4, 23)), 3
    if draw(st.booleans()):
        m = n = k
    left_shape, right_shape = draw(
        st.sampled_from(
            [
                ((m, k), (k, n)),
                ((batch, m, k), (k, n)),
                ((batch, m, k), (batch, k, n)),
                ((m, k), (batch, k, n)),
                ((2, 1, m, k), (batch, k, n)),
                ((k,), (k, n)),
                ((m, k), (k,)),
                ((k,), (k,)),
                ((k,), (batch, k, n)),
            ]
        )
    )
    weight_is_left = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    left = rng.standard_normal(left_shape).astype(np.float32)
    right = rng.standard_normal(right_shape).astype(np.float32)
    weight, operand = (left, right) if weight_is_left else (right, left)
    nodes, initializers, weight = reach(weight, draw(st.sampled_from(REACHED)))
    left, right = (weight, operand) if weight_is_left else (operand, weight)
    names = ["w", "x"] if weight_is_left else ["x", "w"]
    exact = left.astype(np.float64) @ right.astype(np.float64)
    magnitude = abs(left.astype(np.float64)) @ abs(right.astype(np.float64))
    inputs = {"x": operand}
    product = helper.make_node("MatMul", names, ["y"], name="product")
    return Case(build([*nodes, product], initializers, inputs), inputs, exact, np.asarray(magnitude), k, 1)


@st.composite
def activation_products(draw: st.DrawFn, k_is_told: bool) -> Case:
    """A product of two inputs, as inside attention; K is stated in the graph or left to the run."""
    m, n, k = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(4 if k_is_told else 1, 23))
    shapes = [((m, k), (k, n)), ((2, 3, m, k), (2, 3, k, n)), ((m, k), (3, k, n)), ((k,), (k, n)), ((3, m, k), (k,))]
    left_shape, right_shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, z = (rng.standard_normal(shape).astype(np.float32) for shape in (left_shape, right_shape))
    model = build([helper.make_node("MatMul", ["x", "z"], ["y"])], [], {"x": x, "z": z}, dimensions_told=k_is_told)
    exact, magnitude = (np.asarray(each(x) @ each(z)) for each in (np.float64, lambda side: abs(np.float64(side))))
    return Case(model, {"x": x, "z": z}, exact, magnitude, k, 1)


@st.composite
def shared_weights(draw: st.DrawFn) -> Case:
    """Two products of one square weight and operand, once transposed: their slices must not be mixed up."""
    k = draw(st.integers(4, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, w = rng.standard_normal((2, k, k)).astype(np.float32)
    nodes, initializers, w = reach(w, draw(st.sampled_from(REACHED)))
    nodes += [
        helper.make_node("Gemm", ["x", "w"], ["y1"], transA=1, transB=1),
        helper.make_node("MatMul", ["x", "w"], ["y2"]),
        helper.make_node("Sub", ["y1", "y2"], ["y"]),
    ]
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    reference, magnitude = x64.T @ w64.T - x64 @ w64, abs(x64.T) @ abs(w64.T) + abs(x64) @ abs(w64)
    return Case(build(nodes, initializers, {"x": x}), {"x": x}, reference, magnitude, k, 2)


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    """One or two axes of places, groups, strides, gaps and edges; the reference is ONNX's own, in float64."""
    axes, groups, k = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(4, 9))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((draw(st.integers(1, 2)), groups * k, *[draw(st.integers(5, 7))] * axes)).astype(np.float32)
    w = rng.standard_normal((groups * draw(st.integers(1, 3)), k, *kernel)).astype(np.float32)
    bias = rng.standard_normal(w.shape[:1]).astype(np.float32)
    nodes, initializers, w = reach(w, draw(st.sampled_from(["initializer", "constant", "identity", "cast-scale"])))
    attributes = {"group": groups, "strides": [draw(st.integers(1, 2)) for _ in range(axes)]}
    if draw(st.booleans()):
        attributes |= {"auto_pad": draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))}
    else:
        attributes |= {
            "pads": [draw(st.integers(0, 1)) for _ in range(2 * axes)],
            "dilations": [draw(st.integers(1, 2)) for _ in range(axes)],
        }
    names, inputs = ["x", "w"], {"x": x}
    if has_bias := draw(st.booleans()):
        names.append("c")
        if draw(st.booleans()):
            initializers.append(numpy_helper.from_array(bias, "c"))
        else:
            inputs["c"] = bias
    conv = helper.make_node("Conv", names, ["y"], name="conv", **attributes)
    double = [each.astype(np.float64) for each in ([x, w, bias] if has_bias else [x, w])]
    exact, magnitude = convolved(conv, double), convolved(conv, [abs(each) for each in double])
    terms = int(np.prod(kernel))
    return Case(build([*nodes, conv], initializers, inputs), inputs, exact, magnitude, k, 1, terms)


@st.composite
def narrow_convolutions(draw: st.DrawFn) -> Case:
    """Fewer channels than slices, as for a first layer or a depthwise one: what is cut is the kernel."""
    axes, groups, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = [draw(st.integers(4 if axes == 1 else 2, 5))] * axes
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((2, groups * channels, *[draw(st.integers(6, 8))] * axes)).astype(np.float32)
    w = rng.standard_normal((groups * draw(st.integers(1, 3)), channels, *kernel)).astype(np.float32)
    attributes = {
        "group": groups,
        "strides": [draw(st.integers(1, 2))] * axes,
        "pads": [draw(st.integers(0, 1))] * 2 * axes,
    }
    conv = helper.make_node("Conv", ["x", "w"], ["y"], name="conv", **attributes)
    double = [x.astype(np.float64), w.astype(np.float64)]
    exact, magnitude = convolved(conv, double), convolved(conv, [abs(each) for each in double])
    model = build([conv], [numpy_helper.from_array(w, "w")], {"x": x})
    return Case(model, {"x": x}, exact, magnitude, channels, 1, int(np.prod(kernel)))


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> Case:
    """One or two axes, groups, strides, gaps, edges and a bias; few channels or many."""
    axes, groups, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    kernel = [draw(st.integers(4 if axes == 1 else 2, 4)) for _ in range(axes)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((2, groups * channels, *[draw(st.integers(3, 5))] * axes)).astype(np.float32)
    w = rng.standard_normal((groups * channels, draw(st.integers(1, 3)), *kernel)).astype(np.float32)
    bias = rng.standard_normal(groups * w.shape[1]).astype(np.float32)
    attributes = {
        "group": groups,
        "strides": [draw(st.integers(1, 3)) for _ in range(axes)],
        "dilations": [draw(st.integers(1, 2)) for _ in range(axes)],
        "pads": [draw(st.integers(0, 1)) for _ in range(2 * axes)],
    }
    names = ["x", "w", *(["c"] if draw(st.booleans()) else [])]
    node = helper.make_node("ConvTranspose", names, ["y"], name="conv", **attributes)
    double = [each.astype(np.float64) for each in (x, w, bias)][: len(names)]
    exact, magnitude = spread(attributes, double), spread(attributes, [abs(each) for each in double])
    model = build([node], [numpy_helper.from_array(w, "w"), numpy_helper.from_array(bias, "c")], {"x": x})
    return Case(model, {"x": x}, exact, magnitude, channels, 1, int(np.prod(kernel)))


def spread(attributes: dict[str, Any], operands: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """A ConvTranspose by its definition: each input element adds its kernel to the places that it reaches."""
    x, w = operands[:2]
    groups, axes = attributes["group"], x.ndim - 2
    channels, outputs = len(w) // groups, w.shape[1]
    strides, dilations, pads = attributes["strides"], attributes["dilations"], attributes["pads"]
    sizes = [(x.shape[2 + a] - 1) * strides[a] + (w.shape[2 + a] - 1) * dilations[a] + 1 for a in range(axes)]
    result = np.zeros((len(x), groups * outputs, *sizes))
    for place in np.ndindex(*w.shape[2:]):
        reached = tuple(
            slice(place[a] * dilations[a], place[a] * dilations[a] + (x.shape[2 + a] - 1) * strides[a] + 1, strides[a])
            for a in range(axes)
        )
        for group in range(groups):
            taken = slice(group * channels, (group + 1) * channels)
            given = slice(group * outputs, (group + 1) * outputs)
            kernel = w[(taken, slice(None), *place)]
            result[(slice(None), given, *reached)] += np.einsum("bc...,cm->bm...", x[:, taken], kernel)
    inside = tuple(slice(pads[a], sizes[a] - pads[axes + a]) for a in range(axes))
    result = result[(slice(None), slice(None), *inside)]
    return result + operands[2].reshape(1, -1, *[1] * axes) if len(operands) > 2 else result


def convolved(node: onnx.NodeProto, operands: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """A Conv by ONNX's reference, in float64."""
    names = list(node.input)
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in names]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)
    proto = helper.make_model(
        helper.make_graph([node], "conv", values, [output]), opset_imports=[helper.make_opsetid("", 17)]
    )
    result: NDArray[np.float64] = ReferenceEvaluator(proto).run(None, dict(zip(names, operands, strict=True)))[0]
    return result


@st.composite
def nested(draw: st.DrawFn) -> Case:
    """A product inside an If, a Loop of one turn or a Scan of one step; its weight stays outside or goes along."""
    case = draw(st.one_of(gemms(), matmuls(), shared_weights(), convolutions(), activation_products(k_is_told=True)))
    proto = case.model.proto()
    for operator in draw(st.lists(st.sampled_from(["If", "Loop", "Scan"]), min_size=1, max_size=2)):
        wrap(proto.graph, operator, np.ndim(case.reference), weights_go_along=draw(st.booleans()))
    return replace(case, model=Model.from_bytes(proto.SerializeToString(), name="nested"))


def wrap(graph: onnx.GraphProto, operator: str, rank: int, *, weights_go_along: bool) -> None:
    """Put all nodes of a graph, which make a tensor of some rank, into one node, which runs them once."""
    inner = onnx.GraphProto(name=f"inside {operator}", node=graph.node)
    if weights_go_along:
        inner.initializer.extend(graph.initializer)
        del graph.initializer[:]
    made = f"{operator}.{len(graph.name)}.y"
    inner.node.append(helper.make_node("Identity", ["y"], [made]))
    for node in inner.node:
        for each in (node.input, node.output):
            each[:] = [f"{made}.inner" if name == "y" else name for name in each]
    result = helper.make_tensor_value_info(made, onnx.TensorProto.FLOAT, None)
    del graph.node[:]
    graph.name += operator
    if operator == "If":
        inner.output.append(result)
        other = helper.make_graph([constant(made, np.zeros([1] * rank, np.float32))], "other", [], [result])
        graph.node.append(helper.make_node("Size", ["x"], [f"{made}.size"]))
        graph.node.append(helper.make_node("Cast", [f"{made}.size"], [f"{made}.true"], to=onnx.TensorProto.BOOL))
        graph.node.append(
            helper.make_node("If", [f"{made}.true"], ["y"], name=made, then_branch=inner, else_branch=other)
        )
        return
    if operator == "Loop":
        inner.input.append(helper.make_tensor_value_info(f"{made}.turn", onnx.TensorProto.INT64, []))
        inner.input.append(helper.make_tensor_value_info(f"{made}.on", onnx.TensorProto.BOOL, []))
        inner.node.append(helper.make_node("Identity", [f"{made}.on"], [f"{made}.on.still"]))
        inner.output.append(helper.make_tensor_value_info(f"{made}.on.still", onnx.TensorProto.BOOL, []))
        start, attributes = [f"{made}.turns", ""], {"body": inner}
        graph.node.append(constant(f"{made}.turns", np.array(1)))
    else:
        inner.input.append(helper.make_tensor_value_info(f"{made}.step", onnx.TensorProto.FLOAT, [1]))
        start, attributes = [f"{made}.steps"], {"body": inner, "num_scan_inputs": 1}
        graph.node.append(constant(f"{made}.steps", np.zeros((1, 1), np.float32)))
    inner.output.append(result)
    graph.node.append(helper.make_node(operator, start, [f"{made}.stacked"], name=made, **attributes))
    graph.node.append(helper.make_node("Squeeze", [f"{made}.stacked", f"{made}.axis"], ["y"]))
    graph.initializer.append(numpy_helper.from_array(np.array([0]), f"{made}.axis"))


def constant(name: str, value: NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


REACHED = ["initializer", "constant", "identity", "transpose", "cast-scale", "dequantize"]


def reach(weight: Array, how: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], Array]:
    """Nodes and initializers by which a tensor "w" is reached, and the value it then has."""
    if how == "constant":
        return [helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight))], [], weight
    if how == "identity":
        return [helper.make_node("Identity", ["w0"], ["w"])], [numpy_helper.from_array(weight, "w0")], weight
    if how == "transpose":
        order = list(range(weight.ndim))[::-1]
        stored = numpy_helper.from_array(np.ascontiguousarray(weight.T), "w0")
        return [helper.make_node("Transpose", ["w0"], ["w"], perm=order)], [stored], weight
    whole = np.clip(np.rint(weight * 40), -127, 127).astype(np.int8)
    scale = np.float32(0.025)
    tensors = [numpy_helper.from_array(whole, "w0"), numpy_helper.from_array(scale, "scale")]
    if how == "cast-scale":
        cast = helper.make_node("Cast", ["w0"], ["w1"], to=onnx.TensorProto.FLOAT)
        return [cast, helper.make_node("Mul", ["w1", "scale"], ["w"])], tensors, whole.astype(np.float32) * scale
    if how == "dequantize":
        zero_point = numpy_helper.from_array(np.int8(3), "zero_point")
        node = helper.make_node("DequantizeLinear", ["w0", "scale", "zero_point"], ["w"])
        return [node], [*tensors, zero_point], (whole.astype(np.float32) - 3) * scale
    return [], [numpy_helper.from_array(weight, "w")], weight


def build(
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    inputs: dict[str, Array],
    *,
    dimensions_told: bool = False,
) -> Model:
    """A model whose dimensions are all left open, as exporters leave them, unless they are to be told."""
    values = [
        helper.make_tensor_value_info(
            name,
            onnx.TensorProto.FLOAT,
            array.shape if dimensions_told else [f"{name}{axis}" for axis in range(array.ndim)],
        )
        for name, array in inputs.items()
    ]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "case", values, [output], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Model.from_bytes(proto.SerializeToString(), name="case")


def run(prepared: PreparedModel, inputs: dict[str, Array], order: NDArray[np.int64]) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(prepared.content, options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {**inputs, ORDER_INPUT: order})[0]
    return result


def error_bound(case: Case, slices: int, partials: PartialPrecision) -> NDArray[np.float64]:
    """K·eps·|A||B| for the products, and what rounding S partial products and S - 1 sums to fewer bits may add."""
    roundings = (case.k * case.terms_per_k + 3) * UNIT_ROUNDOFF["fp32"]  # + 3: alpha, beta, the last addition
    if partials != "fp32":
        roundings += (slices + 1) * UNIT_ROUNDOFF[partials]
    tiny = 4 * slices * SMALLEST_SUBNORMAL[partials]
    return 1.1 * roundings * case.magnitude + tiny


CASES = {
    "gemm": gemms(),
    "matmul": matmuls(),
    "shared-weight": shared_weights(),
    "convolution": convolutions(),
    "activations": activation_products(k_is_told=True),
    "nested": nested(),
}
SPLIT_ALONE = {
    "activations-of-any-k": activation_products(k_is_told=False),
    "narrow-convolution": narrow_convolutions(),
    "transposed-convolution": transposed_convolutions(),
}


@pytest.mark.parametrize("cases", (CASES | SPLIT_ALONE).values(), ids=CASES | SPLIT_ALONE)
@settings(max_examples=80, deadline=None)
@given(
    draw=st.data(),
    slices=st.integers(2, 4),
    partials=st.sampled_from(["fp32", "tf32", "bf16", "fp16"]),
    seed=st.integers(0, 2**32),
)
def test_a_split_product_stays_within_the_rounding_error_of_its_float64_reference(
    cases: st.SearchStrategy[Case], draw: st.DataObject, slices: int, partials: PartialPrecision, seed: int
) -> None:
    case = draw.draw(cases)
    prepared = prepare(case.model, NumericProfile(summation=KSplit(slices=slices, partials=partials)))
    assert prepared.order_rows == case.products
    rng = np.random.default_rng(seed)
    order = np.array([rng.permutation(slices) for _ in range(case.products)], dtype=np.int64)

    result = run(prepared, case.inputs, order)

    assert result.shape == np.shape(case.reference)
    assert result.dtype == np.float32
    assert np.all(abs(result - case.reference) <= error_bound(case, slices, partials))
    assert result.tobytes() == run(prepared, case.inputs, order).tobytes()


@pytest.mark.parametrize("cases", CASES.values(), ids=CASES)
@settings(max_examples=80, deadline=None)
@given(draw=st.data(), seed=st.integers(0, 2**32))
def test_a_permuted_product_stays_within_the_rounding_error_of_its_float64_reference(
    cases: st.SearchStrategy[Case], draw: st.DataObject, seed: int
) -> None:
    case = draw.draw(cases)
    prepared = prepare(case.model, NumericProfile(summation=KPermute()))
    assert (prepared.order_rows, prepared.order_columns) == (case.products, case.k)
    rng = np.random.default_rng(seed)
    order = np.array([rng.permutation(case.k) for _ in range(case.products)], dtype=np.int64)

    result = run(prepared, case.inputs, order)

    assert result.shape == np.shape(case.reference)
    assert result.dtype == np.float32
    assert np.all(abs(result - case.reference) <= error_bound(case, 1, "fp32"))
    assert result.tobytes() == run(prepared, case.inputs, order).tobytes()
