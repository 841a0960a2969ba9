from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from replicas.model import Model
from replicas.prepare import PreparedModel, prepare
from replicas.profile import KSplit, NumericProfile, Precision

Array = NDArray[Any]


def model_of(text: str, **weights: Array) -> Model:
    header = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "ai.onnx.ml" : 3]>'
    proto = parse_model(f"{header} {text}")
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def prepared(model: Model, precision: Precision) -> PreparedModel:
    return prepare(model, NumericProfile(precision=precision))


def run(content: bytes, inputs: dict[str, Array]) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def normal(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_model_as_built_in_fp32_keeps_its_bytes() -> None:
    model = model_of("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    result = prepare(model, NumericProfile(intra_op_threads=8))
    assert result.content == model.content
    assert (result.order_rows, result.order_columns) == (0, 0)


def test_weights_become_fp16_numbers_and_the_graph_stays_fp32() -> None:
    w = normal(8, 3)
    model = model_of("g (float[b, 8] x) => (float[b, 3] y) { y = MatMul(x, w) }", w=w)
    x = normal(4, 8, seed=2)
    result = prepared(model, "fp16-weights")
    expected = model_of(
        "g (float[b, 8] x) => (float[b, 3] y) { y = MatMul(x, w) }", w=w.astype(np.float16).astype(np.float32)
    )
    assert run(result.content, {"x": x})[0].tobytes() == run(expected.content, {"x": x})[0].tobytes()
    assert run(result.content, {"x": x})[0].tobytes() != run(model.content, {"x": x})[0].tobytes()
    assert (result.report.values_rounded, result.report.values_kept_fp32) == (24, ())


def test_values_that_do_not_fit_fp16_stay_as_they_are_and_are_named() -> None:
    w = np.array([1 / 3, 65504, 65520, -3.4e38, 1e-8, -1e-30, 0.0, -0.0, np.inf, np.nan], np.float32)
    w.view(np.uint32)[-1] = 0x7FC12345  # a NaN that carries something
    result = prepared(model_of("g (float[10] x) => (float[10] y) { y = Add(x, w) }", w=w), "fp16-weights")
    rounded = numpy_helper.to_array(onnx.ModelProto.FromString(result.content).graph.initializer[0])
    expected = w.copy()
    expected[0] = np.float16(1 / 3)
    assert rounded.tobytes() == expected.tobytes()
    assert result.report.values_kept_fp32 == (("w", 4),)
    assert result.report.values_rounded == 6


def test_constants_are_rounded_wherever_they_stand() -> None:
    text = """g (bool c, float[1] x) => (float[1] y) {
        k = Constant <value_float = 0.1> ()  v = Constant <value_floats = [0.1]> ()
        a = Add(x, k)  b = Add(a, v)
        y = If (c) <then_branch = t () => (float[1] p) { q = Constant <value = float[1] {0.1}> ()  p = Add(b, q) },
                    else_branch = e () => (float[1] r) { r = Identity(b) }>
    }"""
    result = prepared(model_of(text), "fp16-weights")
    total = np.float32(np.float16(0.1))
    assert run(result.content, {"c": np.array(True), "x": np.zeros(1, np.float32)})[0][0] == (total + total) + total
    assert result.report.values_rounded == 3


def test_fp64_differs_from_fp32_by_rounding_and_is_the_reference_rounded_once() -> None:
    w, v = normal(64, 32), normal(32, 5, seed=3)
    model = model_of(
        "g (float[b, 64] x) => (float[b, 5] y) { h = MatMul(x, w)  r = Relu(h)  y = MatMul(r, v) }", w=w, v=v
    )
    x = normal(20, 64, seed=2)
    result = prepared(model, "fp64")
    y = run(result.content, {"x": x})[0]
    reference = np.maximum(x.astype(np.float64) @ w, 0) @ v.astype(np.float64)
    assert y.dtype == np.float32
    assert np.array_equal(y, reference.astype(np.float32))
    assert not np.array_equal(y, run(model.content, {"x": x})[0])
    assert result.report.nodes_kept_fp32 == ()
    assert result.report.float_nodes == 3


def test_a_node_without_an_fp64_kernel_stays_fp32_between_casts_and_is_counted() -> None:
    # Conv's output is needed as fp64 first, and as fp32 after that.
    text = """g (float[1, 2, 8, 8] x) => (float[1, 3, 6, 6] y) {
        a = Conv(x, w)  b = Tanh(a)  e = Erf(a)  y = Add(e, b) }"""
    model = model_of(text, w=normal(3, 2, 3, 3))
    result = prepared(model, "fp64")
    x = normal(1, 2, 8, 8, seed=2)
    assert np.allclose(run(result.content, {"x": x})[0], run(model.content, {"x": x})[0], atol=1e-5)
    assert result.report.nodes_kept_fp32 == ('Conv that makes "a"', 'Erf that makes "e"')
    assert result.report.share_of_nodes_kept_fp32 == 0.5
    assert result.report.share_of_multiply_adds_kept_fp32 == 1.0


def test_fp64_reaches_around_an_if_that_reads_what_fp64_nodes_make() -> None:
    text = """g (bool c, float[4] x) => (float[4] y) {
        s = Mul(x, x)
        t = If (c) <then_branch = t () => (float[4] p) { p = Add(s, w) },
                    else_branch = e () => (float[4] q) { q = Sub(s, x) }>
        y = Add(t, s)
    }"""
    model = model_of(text, w=normal(4))
    x = normal(4, seed=2)
    result = prepared(model, "fp64")
    for condition, expected in ((True, x * x + normal(4) + x * x), (False, x * x - x + x * x)):
        assert np.allclose(run(result.content, {"c": np.array(condition), "x": x})[0], expected, rtol=1e-5)
    assert result.report.nodes_kept_fp32 == ('If that makes "t"',)


def test_fp64_runs_a_loop_and_what_surrounds_it() -> None:
    text = """g (int64 n, bool c, float[2] x) => (float[2] y) {
        d = Add(x, x)
        l = Loop (n, c, d) <body = b (int64 i, bool k, float[2] v) => (bool k2, float[2] v2) {
            k2 = Identity(k)  v2 = Add(v, d) }>
        y = Mul(l, w)
    }"""
    result = prepared(model_of(text, w=np.full(2, 3, np.float32)), "fp64")
    y = run(result.content, {"n": np.array(3), "c": np.array(True), "x": np.ones(2, np.float32)})[0]
    assert np.array_equal(y, [24, 24])


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("g (float[4] x) => (float[4] y) { s = Shape(x)  f = ConstantOfShape(s)  y = Add(x, f) }", {}),
        ("g (float[4] x) => (float[4] y) { i = Cast <to = 6> (x)  f = Cast <to = 1> (i)  y = Add(x, f) }", {}),
        ("g (float[4] x) => (float[4] y) { h = Cast <to = 10> (x)  f = CastLike (h, x)  y = Add(x, f) }", {}),
        ("g (float[4] x) => (float[4] y) { s = SequenceConstruct(x, x)  y = SequenceAt(s, one) }",
         {"one": np.array(1)}),
        ("g (float[4] x) => (float[4] y) { r = Range(zero, four, step)  y = Add(x, r) }",
         {"zero": np.float32(0), "four": np.float32(4), "step": np.float32(1)}),
        ("g (float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y) { y = Resize <mode = \"linear\"> (x, , scales) }",
         {"scales": np.array([1, 1, 2, 2], np.float32)}),
        ("g (float[4] x) => (float[4] y) { g = com.microsoft.Gelu(x)  y = Mul(g, g) }", {}),
        ("g (float[2, 2] x) => (float[2, 2] y) { z = Exp(x)  y = com.microsoft.FusedMatMul <alpha = 2.0> (z, z) }", {}),
        ("g (float[4] x) => (float[4] y, float[4] x2) { y = Add(x, x)  x2 = Identity(x) }", {}),
        ("g (float[4] x) => (float[4] y) { q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  y = Add(d, x) }",
         {"s": np.float32(0.02), "z": np.uint8(128)}),
        ("g (float[2, 3] x) => (float[2, 3] y, float[2, 1] m) { y, m = LayerNormalization(x, w) }",
         {"w": np.ones(3, np.float32)}),
        ("g (float[2, 1, 3] x) => (float[2, 1, 1, 2] y) { y = LSTM <hidden_size = 2> (x, w, r) }",
         {"w": normal(1, 8, 3), "r": normal(1, 8, 2)}),
    ],
)  # fmt: skip
def test_fp64_computes_the_same_function_through_operators_of_mixed_types(text: str, weights: dict[str, Any]) -> None:
    model = model_of(text, **{name: np.asarray(value) for name, value in weights.items()})
    shape = [each.dim_value for each in model.proto().graph.input[0].type.tensor_type.shape.dim]
    x = normal(*shape, seed=4)
    for exact, found in zip(run(model.content, {"x": x}), run(prepared(model, "fp64").content, {"x": x}), strict=True):
        assert found.dtype == exact.dtype
        assert np.allclose(found, exact, rtol=1e-5, atol=1e-6)


def test_an_input_that_is_passed_through_keeps_its_name_and_type_in_fp64() -> None:
    model = model_of("g (float[4] x) => (float[4] y) { y = Exp(x) }")
    proto = onnx.ModelProto.FromString(prepared(model, "fp64").content)
    assert [each.name for each in proto.graph.input] == ["x"]
    assert [(each.name, each.type.tensor_type.elem_type) for each in proto.graph.output] == [("y", 1)]


def test_labels_and_maps_of_a_classifier_stay_what_they_are_in_fp64() -> None:
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g (float[b, 2] x) => (int64[b] label) {z = Neg(x)}'
    )
    proto.graph.node.extend(
        [
            helper.make_node(
                "LinearClassifier", ["z"], ["label", "scores"], domain="ai.onnx.ml",
                coefficients=[1.0, -1.0, -1.0, 1.0], intercepts=[0.0, 0.5], classlabels_ints=[3, 7],
            ),
            helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[3, 7]),
        ]
    )  # fmt: skip
    tensor = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [None])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(onnx.TensorProto.INT64, tensor))
    proto.graph.output.append(helper.make_value_info("maps", maps))
    model = Model.from_bytes(proto.SerializeToString(), name="classifier")
    result = prepared(model, "fp64")
    x = normal(3, 2)
    for exact, found in zip(run(model.content, {"x": x}), run(result.content, {"x": x}), strict=True):
        assert np.array_equal(found, exact)
    assert len(result.report.nodes_kept_fp32) == 2


def test_fp64_products_are_split_and_their_partials_rounded_to_fp32() -> None:
    model = model_of("g (float[b, 64] x) => (float[b, 3] y) { y = MatMul(x, w) }", w=normal(64, 3))
    result = prepare(model, NumericProfile(precision="fp64", summation=KSplit(slices=4)))
    x = normal(5, 64, seed=2)
    y = run(result.content, {"x": x, "lastbit.order": np.array([[3, 1, 0, 2]])})[0]
    assert result.order_rows == 1
    assert np.allclose(y, x @ normal(64, 3), atol=1e-5)
