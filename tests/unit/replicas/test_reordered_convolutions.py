"""Convolutions whose input channels are added in an order given at run time."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import KPermute, KSplit, NumericProfile, Optimization, PartialPrecision, Summation

Array = NDArray[Any]


def model_of(text: str, **weights: Array) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def cnn() -> Model:
    """What a small image network is made of: the first layer has few channels, and one is depthwise."""
    text = """g (float[b, 3, 12, 12] x) => (float[b, 10] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0)  n = BatchNormalization(a, scale, shift, mean, variance)  r = Relu(n)
        d = Conv <pads = [1, 1, 1, 1], group = 32> (r, w1)
        e = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (d, w2, c2)  f = Relu(e)
        g2 = Conv <group = 2> (f, w3, c2)  s = Add(f, g2)
        p = GlobalAveragePool(s)  q = Flatten(p)  y = Gemm <transB = 1> (q, w4, c4)
    }"""
    return model_of(
        text,
        w0=normal(32, 3, 3, 3) / 5,
        w1=normal(32, 1, 3, 3) / 3,
        w2=normal(32, 32, 3, 3) / 17,
        w3=normal(32, 16, 1, 1) / 4,
        w4=normal(10, 32) / 5,
        **{name: np.abs(normal(32, seed=seed)) for seed, name in enumerate(("scale", "shift", "mean", "variance"))},
        c2=normal(32),
        c4=normal(10),
    )


def answer(model: Model, summation: Summation | None = None, *, seed: int = 0, **settings: Any) -> Array:
    profile = NumericProfile(**settings) if summation is None else NumericProfile(summation=summation, **settings)
    engine = OnnxRuntimeEngine(model, profile)
    order = None
    if engine.order_shape is not None:
        rows, columns = engine.order_shape
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
    x = normal(2, *(each for each in model.inputs[0].shape[1:] if isinstance(each, int)), seed=99)
    result = engine.run({"x": x}, order)["y"]
    assert isinstance(result, np.ndarray)
    return result


@pytest.mark.parametrize("optimization", ["off", "basic", "extended", "all"])
@pytest.mark.parametrize("summation", [KSplit(slices=8), KPermute()], ids=["ksplit", "kpermute"])
def test_a_network_computes_the_same_function_and_each_order_has_bits_of_its_own(
    summation: Summation, optimization: Optimization
) -> None:
    exact = answer(cnn())
    found = [answer(cnn(), summation, seed=seed, optimization=optimization) for seed in (1, 2, 3, 1)]
    assert all(np.allclose(each, exact, atol=1e-5 * np.abs(exact).max()) for each in found)
    assert len({each.tobytes() for each in found[:3]}) == 3
    assert found[0].tobytes() == found[3].tobytes()


@pytest.mark.parametrize(("partials", "worst"), [("fp32", 1e-5), ("tf32", 1e-2), ("bf16", 1e-1), ("fp16", 1e-2)])
def test_partial_results_are_rounded_as_partial_products_are(partials: PartialPrecision, worst: float) -> None:
    exact, found = answer(cnn()), answer(cnn(), KSplit(slices=8, partials=partials))
    assert worst / 300 < np.abs(found - exact).max() / np.abs(exact).max() < worst


def test_four_partial_results_have_exactly_twelve_sums() -> None:
    model = model_of("g (float[b, 16, 5, 5] x) => (float[b, 8, 3, 3] y) { y = Conv(x, w) }", w=normal(8, 16, 3, 3))
    engine = OnnxRuntimeEngine(model, NumericProfile(summation=KSplit(slices=4)))
    x = {"x": normal(2, 16, 5, 5, seed=1)}
    results = [engine.run(x, np.array([order]))["y"] for order in permutations(range(4))]
    assert len({each.tobytes() for each in results if isinstance(each, np.ndarray)}) == 12


def test_four_partial_results_of_a_narrow_convolution_have_exactly_twelve_sums() -> None:
    model = model_of("g (float[b, 1, 9, 9] x) => (float[b, 8, 7, 7] y) { y = Conv(x, w) }", w=normal(8, 1, 3, 3))
    engine = OnnxRuntimeEngine(model, NumericProfile(summation=KSplit(slices=4)))
    x = {"x": normal(2, 1, 9, 9, seed=1)}
    results = [engine.run(x, np.array([order]))["y"] for order in permutations(range(4))]
    assert len({each.tobytes() for each in results if isinstance(each, np.ndarray)}) == 12


def test_narrow_convolutions_and_depthwise_ones_are_cut_along_the_places_of_their_kernels() -> None:
    report = prepare(cnn(), NumericProfile(summation=KSplit(slices=8))).report
    assert [each.split('"')[1] for each in report.products_reordered] == ["a", "d", "e", "g2", "y"]
    assert report.products_left_as_built == ()
    assert report.share_reordered == 1.0


def test_a_convolution_of_fewer_channels_and_places_than_slices_stays_and_counts_against_the_share() -> None:
    report = prepare(cnn(), NumericProfile(summation=KSplit(slices=10))).report
    assert report.products_left_as_built == (
        ('Conv that makes "d"', "each output is a sum of 9, and of at least 10 is needed"),
    )
    whole = 144 * 32 * 9
    split = 144 * 32 * 27 + 36 * 32 * 288 + 36 * 32 * 16 + 320
    assert report.share_reordered == pytest.approx(split / (split + whole))


def test_a_permutation_reaches_channels_alone() -> None:
    report = prepare(cnn(), NumericProfile(summation=KPermute())).report
    assert [each.split('"')[1] for each in report.products_reordered] == ["a", "e", "g2", "y"]
    assert report.products_left_as_built == (
        ('Conv that makes "d"', "its groups have 1 input channels each, and at least 2 are needed"),
    )


def test_a_transposed_convolution_is_split_and_not_permuted() -> None:
    text = """g (float[b, 16, 5, 5] x) => (float[b, 4, 11, 11] y)
        { h = Conv(x, v)  y = ConvTranspose <strides = [2, 2]> (h, w) }"""
    model = model_of(text, v=normal(16, 16, 1, 1), w=normal(16, 4, 3, 3))
    assert prepare(model, NumericProfile(summation=KSplit(slices=8))).report.share_reordered == 1.0
    report = prepare(model, NumericProfile(summation=KPermute())).report
    assert report.products_left_as_built == (('ConvTranspose that makes "y"', "its operator is not rewritten"),)
    found = [answer(model, KSplit(slices=8), seed=seed) for seed in (1, 2, 3)]
    assert len({each.tobytes() for each in found}) == 3


def test_a_convolution_with_weights_that_a_run_supplies_stays_as_built() -> None:
    text = "g (float[b, 8, 5, 5] x, float[8, 8, 1, 1] v) => (float[b, 8, 5, 5] y) { h = Conv(x, w)  y = Conv(h, v) }"
    report = prepare(model_of(text, w=normal(8, 8, 1, 1)), NumericProfile(summation=KPermute())).report
    assert report.products_left_as_built == (('Conv that makes "y"', "its weight is not constant"),)
