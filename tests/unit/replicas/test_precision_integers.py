"""Products of whole numbers that are added exactly, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.precision_integers import DOUBLE_MAX, FLOAT_MAX, whole_number_max
from replicas.prepare import prepare
from replicas.profile import KPermute, KSplit, NumericProfile, ProfileError, Summation

Array = NDArray[Any]
RNG = np.random.default_rng(3)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(text: str, *, opset: int = 17, **weights: Array) -> Model:
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Model.from_bytes(proto.SerializeToString(), name="model")


def dense(**options: Any) -> Model:
    return model_of("g (float[b, 96] x) => (float[b, 8] y) { y = MatMul(x, w) }", w=normal(96, 8), **options)


def run(model: Model, inputs: dict[str, Array], seed: int | None = None, **profile: Any) -> Array:
    engine = OnnxRuntimeEngine(model, NumericProfile(precision="integers", **profile))
    order = None
    if engine.order_shape is not None:
        rows, columns = engine.order_shape
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
    value = engine.run(inputs, order)[model.outputs[0].name]
    assert isinstance(value, np.ndarray)
    return value


@pytest.mark.parametrize("k", [1, 2, 3, 96, 4096, 2**20])
@pytest.mark.parametrize("sums_max", [DOUBLE_MAX, FLOAT_MAX])
def test_no_sum_of_products_leaves_the_range_of_exact_whole_numbers(k: int, sums_max: int) -> None:
    q = whole_number_max(k, sums_max=sums_max)
    assert k * q * q <= sums_max
    assert q == 2**24 or k * (q + 1) ** 2 > sums_max


@pytest.mark.parametrize(
    "summation",
    [KSplit(slices=8, order="drawn", partials="fp64"), KPermute(order="drawn")],
    ids=["ksplit", "kpermute"],
)
def test_no_order_of_summation_changes_a_bit(summation: Summation) -> None:
    model, x = dense(), {"x": normal(20, 96)}
    found = {run(model, x, seed, summation=summation).tobytes() for seed in range(20)}
    assert found == {run(model, x).tobytes()}


@pytest.mark.parametrize("groups", [1, 2])
def test_no_setting_of_the_session_changes_a_bit_of_a_convolution(groups: int) -> None:
    weights = {"k": normal(16, 16 // groups, 3, 3) / 5, "b": normal(16)}
    text = f"g (float[b, 16, 12, 12] x) => (float[b, 16, 10, 10] y) {{ y = Conv <group={groups}> (x, k, b) }}"
    model, x = model_of(text, **weights), {"x": normal(2, 16, 12, 12)}
    settings = [
        {},
        {"optimization": "off"},
        {"optimization": "off", "intra_op_threads": 4},
        {"prepacking": False, "intra_op_threads": 2},
        {"summation": KSplit(slices=8, order="drawn", partials="fp64" if groups == 1 else "fp32")},
        {"summation": KPermute(order="drawn")},
    ]
    assert len({run(model, x, 1, **each).tobytes() for each in settings}) == 1


def test_the_same_function_is_computed_in_nearly_single_precision() -> None:
    model, x = dense(), {"x": normal(20, 96)}
    weight = numpy_helper.to_array(model.proto().graph.initializer[0])
    exact = x["x"].astype(np.float64) @ weight.astype(np.float64)
    assert np.abs(run(model, x) - exact).max() < 1e-5


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_gemm_of_any_form_is_the_same_function(data: st.DataObject) -> None:
    trans_a, trans_b = data.draw(st.booleans()), data.draw(st.booleans())
    alpha, beta = data.draw(st.sampled_from([1.0, 0.5, -2.0])), data.draw(st.sampled_from([1.0, 0.25]))
    left = data.draw(st.booleans())
    m, k, n = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    a, b = normal(*((k, m) if trans_a else (m, k))), normal(*((n, k) if trans_b else (k, n)))
    attributes = f"transA={int(trans_a)}, transB={int(trans_b)}, alpha={alpha}, beta={beta}"
    given_name, given_value, kept = ("b", b, {"a": a}) if left else ("a", a, {"b": b})
    shape = ", ".join(map(str, given_value.shape))
    text = f"g (float[{shape}] {given_name}) => (float[{m}, {n}] y) {{ y = Gemm <{attributes}> (a, b, c) }}"
    c = normal(n)

    found = run(model_of(text, **kept, c=c), {given_name: given_value})

    wide_a, wide_b = (each.astype(np.float64) for each in (a, b))
    exact = alpha * (wide_a.T if trans_a else wide_a) @ (wide_b.T if trans_b else wide_b) + beta * c
    assert np.abs(found - exact).max() < 1e-5


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (
            "g (float[2, 3, 5, 7] x, float[2, 3, 7, 4] z) => (float[2, 3, 5, 4] y) { y = MatMul(x, z) }",
            [(2, 3, 5, 7), (2, 3, 7, 4)],
        ),
        ("g (float[b, 3, 7] x) => (float[b, 3, 4] y) { y = MatMul(x, w) }", [(2, 3, 7)]),
        ("g (float[7] x) => (float[4] y) { y = MatMul(x, w) }", [(7,)]),
        ("g (float[2, 4, 7] x) => (float[2, 7, 7] y) { y = MatMul(w, x) }", [(2, 4, 7)]),
    ],
    ids=["attention", "three axes", "one axis", "weight on the left"],
)
def test_a_product_of_any_form_is_the_same_function(text: str, shapes: list[tuple[int, ...]], opset: int) -> None:
    w = normal(7, 4)
    model = model_of(text, opset=opset, **({"w": w} if "w" in text.split("{")[1] else {}))
    inputs = {spec.name: normal(*shape) for spec, shape in zip(model.inputs, shapes, strict=True)}

    wide = [inputs[spec.name].astype(np.float64) for spec in model.inputs]
    exact = wide[0] @ wide[1] if len(wide) == 2 else w @ wide[0] if "(w, x)" in text else wide[0] @ w
    found = run(model, inputs)
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() < 1e-5


def test_a_convolution_of_several_groups_is_the_same_function_as_coarsely_as_floats_allow() -> None:
    options = "strides=[2,2], pads=[1,1,1,1], group=2"
    text = f"g (float[b, 8, 9, 9] x) => (float[b, 4, 5, 5] y) {{ y = Conv <{options}> (x, k, b) }}"
    weights = {"k": normal(4, 4, 3, 3), "b": normal(4)}
    model, x = model_of(text, **weights), {"x": normal(2, 8, 9, 9)}
    plain = OnnxRuntimeEngine(model, NumericProfile()).run(x)["y"]
    assert np.abs(run(model, x) - plain).max() < 0.1


def test_a_convolution_of_one_group_is_the_same_function_in_nearly_single_precision() -> None:
    text = "g (float[b, 8, 9, 9] x) => (float[b, 4, 5, 5] y) { y = Conv <strides=[2,2], pads=[1,1,1,1]> (x, k, b) }"
    model, x = model_of(text, k=normal(4, 8, 3, 3), b=normal(4)), {"x": normal(2, 8, 9, 9)}
    plain = OnnxRuntimeEngine(model, NumericProfile()).run(x)["y"]
    assert np.abs(run(model, x) - plain).max() < 1e-5


def test_an_answer_does_not_depend_on_what_it_is_batched_with() -> None:
    model, x = dense(), normal(20, 96) * np.logspace(-3, 3, 20, dtype=np.float32)[:, None]
    together = run(model, {"x": x})
    assert [run(model, {"x": row[None]}).tobytes() for row in x] == [row[None].tobytes() for row in together]


def test_rows_of_zeros_stay_zeros() -> None:
    assert not run(dense(), {"x": np.zeros((2, 96), np.float32)}).any()


def test_nan_is_not_lost_on_the_way() -> None:
    x = normal(2, 96)
    x[1, 5] = np.nan
    found = run(dense(), {"x": x})
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[0]).all()


def test_what_is_computed_so_is_told() -> None:
    report = prepare(dense(), NumericProfile(precision="integers")).report
    assert (report.products_quantised, report.share_quantised) == (('MatMul that makes "y"',), 1.0)


@pytest.mark.parametrize(
    ("text", "opset", "fault"),
    [
        ("g (float[b, 96] x) => (float[b, 96] y) { y = Neg(x) }", 17, "integers finds no product in this model"),
        ("g (float[b, 96] x) => (float[b, 8] y) { y = MatMul(x, w) }", 10, "integers needs operator set 11"),
    ],
)
def test_a_model_without_products_or_of_an_old_operator_set_is_refused(text: str, opset: int, fault: str) -> None:
    weights = {"w": normal(96, 8)} if "w)" in text else {}
    with pytest.raises(ProfileError, match=fault):
        prepare(model_of(text, opset=opset, **weights), NumericProfile(precision="integers"))


def test_a_weight_that_a_gather_reads_too_stays_whole_for_it() -> None:
    text = "g (float[b, 6] x, int64[2] rows) => (float[b, 4] y, float[2, 4] z) { y = MatMul(x, w) z = Gather(w, rows) }"
    w = normal(6, 4)
    engine = OnnxRuntimeEngine(model_of(text, w=w), NumericProfile(precision="integers"))
    assert np.array_equal(engine.run({"x": normal(1, 6), "rows": np.int64([2, 5])})["z"], w[[2, 5]])
    assert onnx.load_from_string(engine.prepared.content).graph.input[0].name == "x"
