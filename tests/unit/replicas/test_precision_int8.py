"""Products in int8: the bits of onnxruntime's own dynamic quantisation, and what that one breaks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import QuantType, quantize_dynamic

from replicas.model import Model
from replicas.precision_int8 import quantised_weight
from replicas.prepare import prepare
from replicas.profile import NumericProfile, Precision, ProfileError

Array = NDArray[Any]
BOTH = pytest.mark.parametrize("precision", ["int8-s8", "int8-u8"])
LEVELS = [ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL]
MLP = """g (float[b, 40] x) => (float[b, 7] y)
    { h = MatMul(x, w)  r = Relu(h)  s = Gemm <transB = 1> (r, v, c)  t = Add(s, r)  y = MatMul(t, u) }"""


def model_of(text: str, *, opset: int = 17, **weights: Array) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def mlp() -> Model:
    return model_of(MLP, w=normal(40, 12), v=normal(12, 12, seed=8), u=normal(12, 7, seed=9), c=normal(12))


def run(content: bytes, feeds: dict[str, Array], level: Any = LEVELS[-1]) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    result: Array = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    return result


def run_by_the_book(content: bytes, feeds: dict[str, Array]) -> Array:
    """What the graph means, by ONNX's reference: processors without VNNI saturate the products of signed weights."""
    result: Array = ReferenceEvaluator(onnx.load_from_string(content)).run(None, feeds)[0]
    return result


def quantised_by_onnxruntime(model: Model, precision: Precision, folder: Path) -> bytes:
    source, target = folder / "source.onnx", folder / "target.onnx"
    source.write_bytes(model.content)
    logging.disable(logging.CRITICAL)
    try:
        quantize_dynamic(source, target, weight_type=QuantType.QInt8 if precision == "int8-s8" else QuantType.QUInt8)
    finally:
        logging.disable(logging.NOTSET)
    return target.read_bytes()


def prepared(model: Model, precision: Precision) -> bytes:
    return prepare(model, NumericProfile(precision=precision)).content


@BOTH
@pytest.mark.parametrize("level", LEVELS, ids=["off", "all"])
def test_the_bits_are_those_of_the_runtimes_own_dynamic_quantisation(
    precision: Precision, level: Any, tmp_path: Path
) -> None:
    model = mlp()
    theirs = quantised_by_onnxruntime(model, precision, tmp_path)
    ours = prepared(model, precision)
    for seed in range(50):
        feeds = {"x": normal(1 + seed % 3, 40, seed=seed)}
        assert run(ours, feeds, level).tobytes() == run(theirs, feeds, level).tobytes()


@BOTH
def test_signed_and_unsigned_weights_stay_near_the_product_in_fp32_and_have_other_bits(precision: Precision) -> None:
    feeds = {"x": normal(20, 40, seed=1)}
    exact, found = run(mlp().content, feeds), run_by_the_book(prepared(mlp(), precision), feeds)
    assert 0 < np.abs(found - exact).max() < 0.05 * np.abs(exact).max()


@BOTH
def test_all_that_a_gemm_says_is_kept(precision: Precision) -> None:
    text = (
        "g (float[k, b] x) => (float[b, n] y) { y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = -2.0> (x, w, c) }"
    )
    x, w, c = normal(30, 30, seed=1), normal(30, 30), normal(30)
    found = run_by_the_book(prepared(model_of(text, w=w, c=c), precision), {"x": x})
    assert np.abs(found - (0.5 * x.T @ w.T - 2 * c)).max() < 0.3


@BOTH
def test_a_weight_that_a_gemm_and_a_gather_share_stays_whole_for_the_gather(precision: Precision) -> None:
    text = "g (int64[i] rows) => (float[i, n] y) { e = Gather(w, rows)  y = Gemm <transB = 1> (e, w) }"
    w = normal(9, 16)
    content, feeds = prepared(model_of(text, w=w), precision), {"rows": np.array([4, 0])}
    assert np.abs(run_by_the_book(content, feeds) - w[[4, 0]] @ w.T).max() < 0.4
    assert run(content, feeds).shape == (2, 9)


def test_a_side_that_several_products_share_is_quantised_once() -> None:
    text = """g (float[b, 8] x) => (float[b, 3] y)
        { h = MatMul(x, w)  i = MatMul(x, w)  j = MatMul(x, v)  k = Add(h, i)  y = Add(k, j) }"""
    proto = onnx.load_from_string(prepared(model_of(text, w=normal(8, 3), v=normal(8, 3, seed=1)), "int8-s8"))
    assert [node.op_type for node in proto.graph.node].count("DynamicQuantizeLinear") == 1
    assert [tensor.data_type for tensor in proto.graph.initializer].count(onnx.TensorProto.INT8) == 4  # 2 zero points


def test_the_report_says_how_much_is_quantised_and_why_the_rest_is_not() -> None:
    text = """g (float[4, 8] x, double[4, 8] d) => (float[4, 4] y, float[4, 8] z, double[4, 8] e, float[4, 8] n) {
        h = MatMul(x, w)  t = Transpose(h)  y = MatMul(h, t)  z = MatMul(q, x)  e = MatMul(d, v)  n = MatMul(x, i)
    }"""
    infinite = np.full((8, 8), np.inf, np.float32)
    weights = {"w": normal(8, 8), "q": normal(4, 4), "v": normal(8, 8).astype(np.float64), "i": infinite}
    report = prepare(model_of(text, **weights), NumericProfile(precision="int8-u8")).report
    assert report.products_quantised == ('MatMul that makes "h"',)
    assert report.products_not_quantised == (
        ('MatMul that makes "y"', "no side is constant"),
        ('MatMul that makes "z"', "its weight stands left"),
        ('MatMul that makes "e"', "its weight is float64; float32 is quantised"),
        ('MatMul that makes "n"', "its weight holds infinities or NaN"),
    )
    assert report.share_quantised == pytest.approx(256 / (3 * 256 + 2 * 128))


def test_a_model_in_which_nothing_can_be_quantised_is_refused_with_the_reason() -> None:
    profile = NumericProfile(precision="int8-s8")
    with pytest.raises(ProfileError, match="int8-s8 finds no product to quantise in this model: it has no MatMul"):
        prepare(model_of("g (float[4] x) => (float[4] y) { y = Relu(x) }"), profile)
    with pytest.raises(ProfileError, match='of 1, MatMul that makes "y": no side is constant; use fp32'):
        prepare(model_of("g (float[4, 4] x) => (float[4, 4] y) { y = MatMul(x, x) }"), profile)
    with pytest.raises(ProfileError, match="int8-s8 needs operator set 11, and the model has 10"):
        prepare(
            model_of("g (float[b, 8] x) => (float[b, 3] y) { y = MatMul(x, w) }", opset=10, w=normal(8, 3)), profile
        )


@given(
    weight=hnp.arrays(np.float32, hnp.array_shapes(max_dims=2), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    signed=st.booleans(),
)
def test_no_weight_moves_by_more_than_half_a_step_of_the_scale(weight: Array, signed: bool) -> None:
    values, scale, zero_point = quantised_weight(weight, signed=signed)
    again = np.float64(scale) * (values.astype(np.float64) - np.float64(zero_point))
    # A zero point that had to be rounded costs half a step more, at the ends of the range.
    steps = 0.5 if signed else 1.0
    assert values.dtype == (np.int8 if signed else np.uint8)
    assert np.all(np.abs(again - weight) <= (steps + 1e-4) * np.float64(scale))


def test_a_weight_of_zeros_has_a_scale_all_the_same() -> None:
    values, scale, zero_point = quantised_weight(np.zeros((2, 2), np.float32), signed=False)
    assert (values.tolist(), scale, int(zero_point)) == ([[0, 0], [0, 0]], 1, 0)
