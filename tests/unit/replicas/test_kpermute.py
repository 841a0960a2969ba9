"""Products permuted along K: the same function, in an order that each node reads from a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import EnginePool, OnnxRuntimeEngine
from replicas.model import Model
from replicas.outputs import outputs_digest
from replicas.prepare import prepare
from replicas.profile import KPermute, NumericProfile, ProfileError

Array = NDArray[Any]
PERMUTED = NumericProfile(summation=KPermute())
PRODUCT = "g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }"


def model_of(text: str, *, opset: int = 17, **weights: Array) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def normal(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_same_order_gives_the_same_bits_and_forty_orders_of_a_wide_product_forty_results() -> None:
    engine = OnnxRuntimeEngine(model_of(PRODUCT, w=normal(512, 64)), PERMUTED)
    x, rng = {"x": normal(1, 512, seed=1)}, np.random.default_rng(2)
    orders = [rng.permutation(512)[None] for _ in range(40)]
    first, again = ([outputs_digest(engine.run(x, order)) for order in orders] for _ in range(2))
    assert first == again
    assert len(set(first)) == 40


def test_the_order_as_it_stands_gives_the_bits_of_a_weight_that_is_not_prepacked() -> None:
    model = model_of(PRODUCT, w=normal(300, 10))
    permuted, plain = OnnxRuntimeEngine(model, PERMUTED), OnnxRuntimeEngine(model, NumericProfile(prepacking=False))
    for seed in range(20):
        x = {"x": normal(1, 300, seed=seed)}
        assert outputs_digest(permuted.run(x, np.arange(300)[None])) == outputs_digest(plain.run(x))


def test_a_product_reads_the_operand_and_the_weight_in_the_same_order() -> None:
    w, x = np.diag(np.float32([1, 10, 100])), np.float32([[1, 2, 3]])
    engine = OnnxRuntimeEngine(model_of(PRODUCT, w=w), PERMUTED)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        assert np.array_equal(engine.run({"x": x}, np.array([order]))["y"], [[1, 20, 300]])


def test_a_shorter_product_passes_over_what_it_does_not_have() -> None:
    text = "g (float[b, k] x, float[b, k2] z) => (float[b, n] y, float[b, n] v) { y = MatMul(x, w)  v = MatMul(z, u) }"
    w, u, x, z = normal(64, 5), normal(40, 5), normal(3, 64, seed=1), normal(3, 40, seed=2)
    both = OnnxRuntimeEngine(model_of(text, w=w, u=u), PERMUTED)
    alone = OnnxRuntimeEngine(model_of(PRODUCT, w=u), PERMUTED)
    rows = np.array([np.random.default_rng(seed).permutation(64) for seed in (3, 4)])

    found = both.run({"x": x, "z": z}, rows)["v"]

    assert both.order_shape == (2, 64)
    expected = alone.run({"x": z}, rows[1][rows[1] < 40][None])["y"]
    assert isinstance(found, np.ndarray)
    assert isinstance(expected, np.ndarray)
    assert found.tobytes() == expected.tobytes()


def test_each_product_reads_a_row_of_its_own() -> None:
    text = "g (float[b, k] x) => (float[b, n] y, float[b, n] z) { y = MatMul(x, w)  z = MatMul(x, w) }"
    engine = OnnxRuntimeEngine(model_of(text, w=normal(64, 9)), PERMUTED)
    in_order, backwards = np.arange(64), np.arange(64)[::-1]
    found = engine.run({"x": normal(20, 64, seed=1)}, np.array([in_order, backwards]))
    assert not np.array_equal(found["y"], found["z"])
    assert np.allclose(found["y"], found["z"], atol=1e-4)


def test_all_that_a_gemm_says_is_kept() -> None:
    text = (
        "g (float[k, b] x) => (float[b, n] y) { y = Gemm <transA = 1, transB = 1, alpha = 0.5, beta = -2.0> (x, w, c) }"
    )
    x, w, c = normal(30, 4, seed=1), normal(6, 30), normal(6)
    engine = OnnxRuntimeEngine(model_of(text, w=w, c=c), PERMUTED)
    found = engine.run({"x": x}, np.random.default_rng(1).permutation(30)[None])["y"]
    assert np.allclose(found, 0.5 * x.T @ w.T - 2 * c, atol=1e-4)


def test_the_report_says_how_much_is_permuted_and_why_the_rest_is_not() -> None:
    text = """g (float[n, 8] x) => (float[n, n] y, float[8, 8] z)
        { h = MatMul(x, w)  t = Transpose(h)  y = MatMul(h, t)  z = MatMul(t, h) }"""
    prepared = prepare(model_of(text, w=normal(8, 8)), PERMUTED)
    assert (prepared.order_rows, prepared.order_columns) == (2, 8)
    assert prepared.report.products_reordered == ('MatMul that makes "h"', 'MatMul that makes "y"')
    assert prepared.report.products_left_as_built == (
        ('MatMul that makes "z"', "no side is constant, and only a run tells K"),
    )
    assert prepared.report.share_reordered == pytest.approx((64 + 8) / (64 + 8 + 64))


def test_a_product_of_one_element_has_no_other_order() -> None:
    text = "g (float[b, 8] x) => (float[b, n] y) { h = MatMul(x, w)  y = MatMul(h, v) }"
    report = prepare(model_of(text, w=normal(8, 1), v=normal(1, 5)), PERMUTED).report
    assert report.products_left_as_built == (('MatMul that makes "y"', "K is 1, and at least 2 is needed"),)


def test_a_model_without_constant_products_and_one_of_an_old_operator_set_are_refused() -> None:
    with pytest.raises(ProfileError, match="kpermute finds no product in this model: it has no matrix product"):
        prepare(model_of("g (float[4] x) => (float[4] y) { y = Relu(x) }"), PERMUTED)
    with pytest.raises(ProfileError, match="kpermute needs operator set 9, and the model has 8"):
        prepare(model_of(PRODUCT, opset=8, w=normal(8, 3)), PERMUTED)


def test_fixed_and_drawn_orders_are_one_engine_and_a_split_is_another() -> None:
    pool, model = EnginePool(), model_of(PRODUCT, w=normal(8, 3))
    fixed = pool.engine(model, PERMUTED)
    assert pool.engine(model, NumericProfile(summation=KPermute(order="drawn"))) is fixed
    assert pool.engine(model, NumericProfile()) is not fixed
