from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from replicas.ksplit import ORDER_INPUT
from replicas.model import Model
from replicas.prepare import PreparedModel, prepare
from replicas.profile import KSplit, NumericProfile, PartialPrecision, ProfileError

Array = NDArray[Any]
RNG_SEED = 7
LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]


def model_of(text: str, *, opset: int = 17, **weights: Array) -> Model:
    """A model from ONNX's text form, with arrays for the initializers."""
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def normal(*shape: int) -> Array:
    return np.random.default_rng(RNG_SEED).standard_normal(shape).astype(np.float32)


def one_product(k: int = 64) -> Model:
    return model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", w=normal(k, 3))


def split(model: Model, slices: int, partials: PartialPrecision = "fp32") -> PreparedModel:
    return prepare(model, NumericProfile(summation=KSplit(slices=slices, partials=partials)))


def session(content: bytes, level: str = "ORT_ENABLE_ALL", save_to: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def results_over_all_orders(prepared: PreparedModel, x: Array) -> set[bytes]:
    engine = session(prepared.content)
    orders = (np.array([order], np.int64) for order in permutations(range(prepared.order_columns)))
    return {engine.run(None, {"x": x, ORDER_INPUT: order})[0].tobytes() for order in orders}


@pytest.mark.parametrize("partials", ["fp32", "tf32", "bf16", "fp16"])
def test_two_partial_products_agree_in_either_order_because_addition_commutes(partials: PartialPrecision) -> None:
    x = np.random.default_rng(1).standard_normal((50, 64)).astype(np.float32)
    assert len(results_over_all_orders(split(one_product(), 2, partials), x)) == 1


def test_four_fp32_partial_products_have_exactly_twelve_results() -> None:
    x = np.random.default_rng(1).standard_normal((50, 64)).astype(np.float32)
    assert len(results_over_all_orders(split(one_product(), 4), x)) == 12


@pytest.mark.parametrize("partials", ["tf32", "bf16", "fp16"])
def test_four_rounded_partial_products_have_more_than_one_and_at_most_twelve_results(
    partials: PartialPrecision,
) -> None:
    for row in np.random.default_rng(2).standard_normal((10, 1, 64)).astype(np.float32):
        assert 1 <= len(results_over_all_orders(split(one_product(), 4, partials), row)) <= 12
    x = np.random.default_rng(1).standard_normal((50, 64)).astype(np.float32)
    assert 1 < len(results_over_all_orders(split(one_product(), 4, partials), x)) <= 12


@pytest.mark.parametrize(("partials", "dtype"), [("bf16", ml_dtypes.bfloat16), ("fp16", np.float16)])
def test_each_partial_product_and_each_sum_is_rounded_to_nearest_even(partials: PartialPrecision, dtype: Any) -> None:
    # As many slices as K: each partial product is one multiplication, so that every rounding is known.
    w, x = normal(6, 4), np.random.default_rng(3).standard_normal((20, 6)).astype(np.float32)
    model = model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", w=w)
    order = [4, 1, 5, 0, 3, 2]

    result = session(split(model, 6, partials).content).run(None, {"x": x, ORDER_INPUT: np.array([order])})[0]

    products = [(x[:, index, None] * w[index]).astype(dtype) for index in order]
    total = products[0]
    for product in products[1:]:
        total = (total.astype(np.float32) + product.astype(np.float32)).astype(dtype)
    assert result.tobytes() == total.astype(np.float32).tobytes()


def to_tf32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to nearest even at bit 13, on the bits themselves."""
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x0FFF + (bits >> 13 & 1)) >> 13 << 13
    return rounded.astype(np.uint32).view(np.float32)


def rounded_to_tf32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a product with the weights 1 and 0 leaves of a number: the number, rounded as partial products are."""
    model = model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", w=np.eye(2, 1, dtype=np.float32))
    x = np.stack([values, np.zeros_like(values)], axis=1)
    feeds = {"x": x, ORDER_INPUT: np.array([[0, 1]])}
    return session(split(model, 2, "tf32").content).run(None, feeds)[0][:, 0]


@pytest.mark.parametrize("exponent", [1, 60, 127, 128, 200, 240])
@pytest.mark.parametrize("sign", [0, 1])
def test_tf32_rounds_every_mantissa_to_the_nearest_even(exponent: int, sign: int) -> None:
    mantissas = np.arange(0, 2**23, 2**6, dtype=np.uint32)  # each tie, and each neighbourhood of it
    mantissas = np.concatenate([mantissas, mantissas + 1, mantissas + 63])
    values = (mantissas | np.uint32(exponent << 23) | np.uint32(sign << 31)).view(np.float32)
    assert np.array_equal(rounded_to_tf32(values), to_tf32(values))


def test_tf32_rounds_random_numbers_of_every_size_to_the_nearest_even() -> None:
    rng = np.random.default_rng(8)
    bits = rng.integers(1 << 23, 241 << 23, 100_000, dtype=np.uint32) | rng.integers(0, 2, 100_000, np.uint32) << 31
    values = bits.view(np.float32)
    assert np.array_equal(rounded_to_tf32(values), to_tf32(values))


def test_tf32_leaves_zeros_infinities_nan_and_what_is_next_to_overflow_as_they_are() -> None:
    values = np.array([0.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 2.0**115 + 2.0**92], np.float32)
    assert np.array_equal(rounded_to_tf32(values), values, equal_nan=True)


def test_tf32_keeps_eleven_significant_bits_of_a_number_too_small_to_be_normal() -> None:
    values = np.array([2.0**-149, 3 * 2.0**-140, 2.0**-127 + 2.0**-138], np.float32)
    assert rounded_to_tf32(values).tolist() == [2.0**-149, 3 * 2.0**-140, 2.0**-127]


def test_sums_are_added_left_to_right_in_the_order_given() -> None:
    w = np.array([[1e8], [-1e8], [1.0], [1.0]], np.float32)
    model = model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", w=w)
    engine = session(split(model, 4).content)
    x = np.ones((1, 4), np.float32)
    assert engine.run(None, {"x": x, ORDER_INPUT: np.array([[0, 1, 2, 3]])})[0] == 2.0
    assert engine.run(None, {"x": x, ORDER_INPUT: np.array([[0, 2, 3, 1]])})[0] == 0.0
    assert engine.run(None, {"x": x, ORDER_INPUT: np.array([[0, 2, 1, 3]])})[0] == 1.0


def transformer_block() -> Model:
    """Attention, residuals, layer norms and a GELU: what the optimiser has most fusions for."""
    text = """g (float[b, s, 32] x) => (float[b, s, 32] y) {
        n = LayerNormalization(x, scale, bias)
        q = MatMul(n, wq)  k = MatMul(n, wk)  v = MatMul(n, wv)
        kt = Transpose <perm = [0, 2, 1]> (k)
        scores = MatMul(q, kt)  weights = Softmax(scores)  mixed = MatMul(weights, v)
        attended = MatMul(mixed, wo)  attended_b = Add(attended, bias)  r = Add(x, attended_b)
        m = LayerNormalization(r, scale, bias)
        h = MatMul(m, w1)  hb = Add(h, b1)
        d = Div(hb, root)  e = Erf(d)  f = Add(e, one)  hf = Mul(hb, f)  gelu = Mul(hf, half)
        o = MatMul(gelu, w2)  ob = Add(o, bias)  y = Add(r, ob)
    }"""
    weights = {name: normal(32, 32) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"w1": normal(32, 64), "w2": normal(64, 32), "b1": normal(64), "scale": normal(32), "bias": normal(32)}
    constants = {"half": np.float32(0.5), "one": np.float32(1.0), "root": np.float32(2**0.5)}
    return model_of(text, **weights, **{name: np.array(value) for name, value in constants.items()})


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("partials", ["fp32", "tf32", "bf16", "fp16"])
def test_partial_products_and_their_sums_survive_in_the_optimised_graph(
    partials: PartialPrecision, level: str, tmp_path: Path
) -> None:
    saved = tmp_path / "optimised.onnx"
    prepared = split(transformer_block(), 4, partials)
    session(prepared.content, level, save_to=saved)

    nodes = onnx.load(saved).graph.node
    makers = {output: node for node in nodes for output in node.output}
    ends = [
        node
        for node in nodes
        if node.op_type == "Squeeze" and makers[node.input[0]].op_type in ("Add", "Cast", "Where")
    ]
    expected = {"MatMul": 4, "Unsqueeze": 4, "Concat": 1, "Gather": 1, "Split": 1, "Add": 3}
    if partials in ("bf16", "fp16"):
        expected["Cast"] = 2 + 2 * 3
    if partials == "tf32":
        expected |= {"Mul": 4, "Sub": 2 * 4, "IsNaN": 4, "Where": 4}
    assert [_chain_of_sums(end, makers) for end in ends] == [expected] * 8


def _chain_of_sums(end: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> Counter[str]:
    """How many of which operator stand between an end and the parts of the operand, without what makes the order."""
    seen: dict[str, str] = {}
    pending = [end.input[0]]
    while pending:
        node = makers.get(pending.pop())
        if node is None or node.output[0] in seen:
            continue
        seen[node.output[0]] = "MatMul" if node.op_type == "FusedMatMul" else node.op_type
        if seen[node.output[0]] != "MatMul":
            pending += node.input[:1] if node.op_type == "Gather" else node.input
    return Counter(seen.values())


@pytest.mark.parametrize(("partials", "tolerance"), [("fp32", 1e-4), ("tf32", 0.2), ("fp16", 0.2), ("bf16", 1.0)])
def test_a_whole_block_computes_the_same_function_but_not_the_same_bits(
    partials: PartialPrecision, tolerance: float
) -> None:
    model = transformer_block()
    x = np.random.default_rng(1).standard_normal((2, 5, 32)).astype(np.float32)
    as_built = session(model.content).run(None, {"x": x})[0]
    engine = session(split(model, 4, partials).content)
    orders = [np.array([np.random.default_rng(seed).permutation(4) for _ in range(8)]) for seed in range(5)]
    results = [engine.run(None, {"x": x, ORDER_INPUT: order})[0] for order in orders]
    again = [engine.run(None, {"x": x, ORDER_INPUT: order})[0] for order in orders]
    assert all(np.allclose(result, as_built, atol=tolerance * np.abs(as_built).max()) for result in results)
    assert [each.tobytes() for each in results] == [each.tobytes() for each in again]
    assert len({each.tobytes() for each in results}) == 5


def test_each_rewritten_node_reads_a_row_of_its_own() -> None:
    text = "g (float[b, k] x) => (float[b, n] y, float[b, n] z) { y = MatMul(x, w)  z = MatMul(x, v) }"
    prepared = split(model_of(text, w=normal(64, 9), v=normal(64, 9)), 4)
    engine = session(prepared.content)
    x = np.random.default_rng(1).standard_normal((20, 64)).astype(np.float32)
    y, z = engine.run(None, {"x": x, ORDER_INPUT: np.array([[0, 1, 2, 3], [0, 1, 2, 3]])})
    y_too, z_too = engine.run(None, {"x": x, ORDER_INPUT: np.array([[0, 1, 2, 3], [3, 1, 0, 2]])})
    assert (prepared.order_rows, prepared.order_columns) == (2, 4)
    assert y.tobytes() == y_too.tobytes()
    assert z.tobytes() != z_too.tobytes()


def test_the_tensor_that_a_product_makes_keeps_its_name() -> None:
    text = "g (float[b, k] x) => (float[b, n] y) { h = MatMul(x, w)  y = Relu(h) }"
    proto = onnx.ModelProto.FromString(split(model_of(text, w=normal(8, 3)), 4).content)
    assert "h" in {output for node in proto.graph.node for output in node.output}


def test_the_whole_weight_is_not_kept_beside_its_slices() -> None:
    prepared = split(one_product(), 4)
    names = {tensor.name for tensor in onnx.ModelProto.FromString(prepared.content).graph.initializer}
    assert "w" not in names


def test_a_weight_that_another_node_reads_stays_for_it() -> None:
    text = (
        "g (float[b, k] x, int64[i] rows) => (float[b, n] y, float[i, n] z) { y = MatMul(x, w)  z = Gather(w, rows) }"
    )
    w = normal(8, 3)
    engine = session(split(model_of(text, w=w), 4).content)
    rows = np.array([2, 5])
    z = engine.run(["z"], {"x": normal(1, 8), "rows": rows, ORDER_INPUT: np.array([[0, 1, 2, 3]])})[0]
    assert np.array_equal(z, w[rows])


def test_a_weight_listed_as_an_input_need_not_be_supplied() -> None:
    proto = one_product().proto()
    proto.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [64, 3]))
    model = Model.from_bytes(proto.SerializeToString(), name="old")
    engine = session(split(model, 4).content)
    assert [each.name for each in engine.get_inputs()] == ["x", ORDER_INPUT]


def test_operator_sets_that_keep_axes_in_attributes_are_written_as_such() -> None:
    model = model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", opset=11, w=normal(10, 3))
    x = normal(2, 10)
    result = session(split(model, 4, "fp16").content).run(None, {"x": x, ORDER_INPUT: np.array([[3, 2, 1, 0]])})[0]
    assert np.allclose(result, x @ normal(10, 3), atol=0.05)


def test_such_operator_sets_take_a_product_of_two_activations_too() -> None:
    model = model_of("g (float[2, 10] x, float[10, 3] w) => (float[2, 3] y) { y = MatMul(x, w) }", opset=11)
    x, w = normal(2, 10), normal(10, 3)
    result = session(split(model, 4).content).run(None, {"x": x, "w": w, ORDER_INPUT: np.array([[3, 2, 1, 0]])})[0]
    assert np.allclose(result, x @ w, atol=1e-5)


def test_operator_sets_without_bfloat16_are_refused_for_bf16_partials() -> None:
    model = model_of("g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }", opset=11, w=normal(10, 3))
    with pytest.raises(ProfileError, match="bf16 needs operator set 13, and the model has 11"):
        split(model, 4, "bf16")
    assert split(model, 4, "tf32").order_rows == 1


def test_a_product_shorter_than_the_slices_stays_whole_and_is_reported() -> None:
    text = "g (float[b, 8] x) => (float[b, n] y) { h = MatMul(x, w)  y = MatMul(h, v) }"
    report = split(model_of(text, w=normal(8, 3), v=normal(3, 5)), 4).report
    assert report.products_reordered == ('MatMul that makes "h"',)
    assert report.products_left_as_built == (('MatMul that makes "y"', "K is 3, and at least 4 is needed"),)
    assert report.share_reordered == pytest.approx(24 / (24 + 15))


def test_a_product_of_two_tensors_that_a_run_computes_is_split_too() -> None:
    text = "g (float[2, 8] x) => (float[2, 2] y) { h = MatMul(x, w)  t = Transpose(h)  y = MatMul(h, t) }"
    report = split(model_of(text, w=normal(8, 8)), 4).report
    assert report.products_reordered == ('MatMul that makes "h"', 'MatMul that makes "y"')
    assert report.share_reordered == 1.0


def test_a_k_that_only_a_run_tells_is_cut_then_and_may_be_shorter_than_the_slices() -> None:
    engine = session(
        split(model_of("g (float[m, k] x, float[k, n] z) => (float[m, n] y) { y = MatMul(x, z) }"), 4).content
    )
    for k in (1, 3, 4, 9, 64):
        x, z = normal(3, k), normal(k, 5)
        order = np.array([np.random.default_rng(k).permutation(4)])
        assert np.allclose(engine.run(None, {"x": x, "z": z, ORDER_INPUT: order})[0], x @ z, atol=1e-4)


def test_what_is_no_product_of_floats_with_known_axes_stays_whole_and_counts_against_the_share() -> None:
    text = """g (float[2, 8] x, int32[8, 8] i, int64[r] s) => (float[2, 2] y, int32[8, 8] z, float[p, q] v) {
        h = MatMul(x, w)  y = Gemm <transB = 1> (h, h)  z = MatMul(i, i)  f = Reshape(x, s)  v = MatMul(f, f)
    }"""
    report = split(model_of(text, w=normal(8, 8)), 4).report
    assert report.products_left_as_built == (
        ('Gemm that makes "y"', "no side is constant"),
        ('MatMul that makes "z"', "no side is constant, and they are no floats"),
        ('MatMul that makes "v"', "no side is constant, and the rank of one is unknown"),
    )
    assert report.multiply_adds_reordered == 2 * 8 * 8
    assert report.multiply_adds > 2 * 8 * 8 + 2 * 8 * 2


def test_operator_sets_that_keep_sizes_in_attributes_need_a_k_that_the_graph_tells() -> None:
    text = "g (float[m, k] x, float[k, n] z) => (float[m, n] y, float[m, 3] v) { y = MatMul(x, z)  v = MatMul(x, w) }"
    report = split(model_of(text, opset=11, w=normal(8, 3)), 4).report
    assert report.products_left_as_built == (('MatMul that makes "y"', "no side is constant, and only a run tells K"),)


def test_products_inside_an_if_stay_whole_and_count_against_the_share() -> None:
    text = """g (bool c, float[1, 8] x) => (float[1, 8] y) {
        h = MatMul(x, w)
        y = If (c) <then_branch = t () => (float[1, 8] p) { p = MatMul(h, w) },
                    else_branch = e () => (float[1, 8] q) { q = Relu(h) }>
    }"""
    prepared = split(model_of(text, w=normal(8, 8)), 4)
    assert prepared.order_rows == 1
    assert prepared.report.share_reordered == 0.5
    assert prepared.report.products_left_as_built == (('If that makes "y"', "its operator is not rewritten"),)
    x = normal(1, 8)
    feeds = {"c": np.array(True), "x": x, ORDER_INPUT: np.array([[0, 1, 2, 3]])}
    assert np.allclose(session(prepared.content).run(None, feeds)[0], x @ normal(8, 8) @ normal(8, 8), rtol=1e-4)


def test_a_product_inside_a_function_of_the_model_is_split() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]> g (float[b, 8] x, float[8, 3] w) => (float[b, 3] y)
        { y = own.Dense(x, w) }
        <domain: "own", opset_import: ["" : 17]> Dense (a, b) => (c) { c = MatMul(a, b) }"""
    proto = parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(normal(8, 3), "w"))
    assert split(Model.from_bytes(proto.SerializeToString(), name="own"), 4).order_rows == 1


def test_a_weight_on_the_left_of_a_side_of_unknown_rank_stays_whole() -> None:
    text = """g (float[b, 8] x, int64[r] shape) => (float[m, n] y, float[b, 3] z)
        { f = Reshape(x, shape)  y = MatMul(w, f)  z = MatMul(x, v) }"""
    report = split(model_of(text, w=normal(4, 8), v=normal(8, 3)), 4).report
    reason = "its weight stands left, and the rank of the other side is unknown"
    assert report.products_left_as_built == (('MatMul that makes "y"', reason),)


def test_a_left_weight_times_a_vector_is_split_along_the_vector() -> None:
    model = model_of("g (float[k] x) => (float[m] y) { y = MatMul(w, x) }", w=normal(3, 10))
    x = normal(10)
    result = session(split(model, 4).content).run(None, {"x": x, ORDER_INPUT: np.array([[3, 2, 1, 0]])})[0]
    assert np.allclose(result, normal(3, 10) @ x, atol=1e-5)


def test_an_addend_times_zero_is_not_read_at_all() -> None:
    text = "g (float[b, k] x, float[n] c) => (float[b, n] y) { y = Gemm <beta = 0.0> (x, w, c) }"
    model = model_of(text, w=normal(10, 3))
    feeds = {"x": normal(2, 10), "c": np.full(3, np.nan, np.float32)}
    assert np.all(np.isfinite(session(model.content).run(None, feeds)[0]))
    feeds[ORDER_INPUT] = np.array([[3, 2, 1, 0]])
    assert np.all(np.isfinite(session(split(model, 4).content).run(None, feeds)[0]))


def test_a_product_times_zero_stays_whole() -> None:
    text = "g (float[b, 10] x) => (float[b, n] y, float[b, n] z) { y = Gemm <alpha = 0.0> (x, w)  z = MatMul(x, w) }"
    report = split(model_of(text, w=normal(10, 3)), 4).report
    assert report.products_left_as_built == (('Gemm that makes "y"', "its alpha is 0, so that nothing is multiplied"),)


def test_a_model_without_constant_products_is_refused() -> None:
    model = model_of("g (float[4, 8] x) => (float[4, 8] y) { y = Relu(x) }")
    with pytest.raises(ProfileError, match="finds no product in this model: it has no MatMul, Gemm or Conv"):
        split(model, 4)
    model = model_of("g (float[4, 4] x) => (float[4, 4] y) { y = Gemm(x, x) }")
    with pytest.raises(ProfileError, match="no side is constant; use as-built"):
        split(model, 4)


def test_a_model_that_uses_the_name_of_the_order_is_refused() -> None:
    proto = one_product().proto()
    proto.graph.input.append(helper.make_tensor_value_info(ORDER_INPUT, onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(ProfileError, match=r'has a tensor "lastbit.order" already'):
        split(Model.from_bytes(proto.SerializeToString(), name="taken"), 4)


def test_doubles_are_split_too_and_rounded_to_what_the_partials_say() -> None:
    w = np.random.default_rng(5).standard_normal((64, 3))
    model = model_of("g (double[b, k] x) => (double[b, n] y) { y = MatMul(x, w) }", w=w)
    x = np.random.default_rng(6).standard_normal((5, 64))
    result = session(split(model, 4).content).run(None, {"x": x, ORDER_INPUT: np.array([[0, 1, 2, 3]])})[0]
    assert result.dtype == np.float64
    assert np.array_equal(result, result.astype(np.float32))
    assert np.allclose(result, x @ w, atol=1e-5)
