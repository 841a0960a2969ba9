"""How partial products are added: as they stand, in a tree, in double precision; and split-K that follows the batch."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model

from replicas.engine import OnnxRuntimeEngine
from replicas.model import Model
from replicas.prepare import prepare
from replicas.profile import KSplit, NumericProfile, Optimization, ProfileError, Summation, Tree

Array = NDArray[Any]
LEVELS: list[Optimization] = ["off", "basic", "extended", "all"]
X = np.random.default_rng(1).standard_normal((50, 64)).astype(np.float32)
W = np.random.default_rng(2).standard_normal((64, 3)).astype(np.float32)


def one_product(weight: Array = W) -> Model:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[b, k] x) => (float[b, n] y) { y = MatMul(x, w) }'
    proto = parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return Model.from_bytes(proto.SerializeToString(), name="product")


def answer(summation: Summation, x: Array = X, *, order: Array | None = None, **settings: Any) -> Array:
    profile = NumericProfile(summation=summation, **settings)
    value = OnnxRuntimeEngine(one_product(), profile).run({"x": x}, order)["y"]
    assert isinstance(value, np.ndarray)
    return value


def partial_products(slices: int) -> list[Array]:
    """What the runtime gives for each slice by itself."""
    parts = np.array_split(np.arange(64), slices)
    engines = [OnnxRuntimeEngine(one_product(W[part]), NumericProfile()) for part in parts]
    return [engine.run({"x": X[:, part]})["y"] for engine, part in zip(engines, parts, strict=True)]  # type: ignore[misc]


@pytest.mark.parametrize("optimization", LEVELS)
def test_a_prescribed_order_adds_slice_after_slice_at_every_level(optimization: Optimization) -> None:
    total, *rest = partial_products(8)
    for each in rest:
        total = total + each

    found = answer(KSplit(slices=8, order="prescribed"), optimization=optimization)

    assert found.tobytes() == total.tobytes()


def test_a_prescribed_order_reads_no_order_and_so_is_the_same_for_all_replicas() -> None:
    engine = OnnxRuntimeEngine(one_product(), NumericProfile(summation=KSplit(slices=8, order="prescribed")))
    assert engine.order_shape is None


@pytest.mark.parametrize("optimization", LEVELS)
def test_a_tree_adds_neighbours_and_then_the_sums_of_neighbours_at_every_level(optimization: Optimization) -> None:
    sums = partial_products(16)
    while len(sums) > 1:
        sums = [one + other for one, other in zip(sums[::2], sums[1::2], strict=True)]

    assert answer(Tree(shards=4), optimization=optimization).tobytes() == sums[0].tobytes()


def test_a_tree_gives_the_same_bits_for_every_number_of_shards_and_a_chain_does_not() -> None:
    trees = {answer(Tree(shards=shards)).tobytes() for shards in (1, 2, 4, 8, 16)}
    chains = {answer(KSplit(slices=slices, order="prescribed")).tobytes() for slices in (2, 4, 8, 16)}

    assert (len(trees), len(chains)) == (1, 4)


def test_shards_compute_apart_what_a_tree_puts_together() -> None:
    # One node Concat for each shard, which holds its leaves alone: the trees of several shards are not one graph.
    prepared = [prepare(one_product(), NumericProfile(summation=Tree(shards=each))).content for each in (1, 4)]
    counts = [sum(node.op_type == "Concat" for node in onnx.load_from_string(each).graph.node) for each in prepared]
    assert counts == [1, 4]


def test_sums_in_double_precision_are_rounded_once() -> None:
    order = np.array([[3, 1, 0, 2]])
    found = answer(KSplit(slices=4, partials="fp64"), order=order)

    exact = (X.astype(np.float64) @ W.astype(np.float64)).astype(np.float32)
    assert found.dtype == np.float32
    # A sum so close to the middle of two floats that another order goes the other way: none here.
    assert np.array_equal(found, exact)


def test_sums_in_double_precision_hide_the_order_that_single_precision_shows() -> None:
    orders = [np.array([order]) for order in permutations(range(4))]
    single = {answer(KSplit(slices=4), order=order).tobytes() for order in orders}
    double = {answer(KSplit(slices=4, partials="fp64"), order=order).tobytes() for order in orders}
    assert (len(single), len(double)) == (12, 1)


def test_double_precision_does_not_hide_every_order() -> None:
    # 1 + 2^-24 lies in the middle of two floats; whether it is left depends on what double precision adds to it first.
    weight = np.array([[1.0], [2.0**-24], [2.0**-53], [2.0**-53]], np.float32)
    engine = OnnxRuntimeEngine(one_product(weight), NumericProfile(summation=KSplit(slices=4, partials="fp64")))
    x = {"x": np.ones((1, 4), np.float32)}
    orders = [np.array([order]) for order in permutations(range(4))]
    found = {float(engine.run(x, order)["y"][0, 0]) for order in orders}  # type: ignore[index,arg-type]
    assert found == {1.0, 1.0 + 2.0**-23}


CONVOLUTIONS = {
    "plain": ((2, 5, 9, 8), (4, 5, 3, 2), ""),
    "padded": ((2, 5, 9, 8), (4, 5, 3, 2), "pads=[1,2,0,1]"),
    "strided and dilated": ((1, 5, 13, 12), (4, 5, 3, 2), "strides=[2,3], dilations=[2,1], pads=[2,1,1,0]"),
    "one place": ((1, 16, 5, 5), (4, 16, 1, 1), "strides=[2,2]"),
    "one axis": ((2, 5, 20), (4, 5, 5), "dilations=[2], pads=[3,1]"),
    "three axes": ((1, 4, 5, 6, 7), (3, 4, 2, 3, 2), "strides=[1,2,1]"),
    "same, more behind": ((1, 5, 7, 7), (4, 5, 2, 4), 'auto_pad="SAME_UPPER"'),
    "same, more before": ((1, 5, 7, 7), (4, 5, 2, 4), 'auto_pad="SAME_LOWER"'),
    "valid": ((1, 5, 7, 7), (4, 5, 3, 3), 'auto_pad="VALID", strides=[2,2]'),
}


def convolution(x: tuple[int, ...], k: tuple[int, ...], options: str, *, has_bias: bool) -> Model:
    shape, bias = ", ".join(map(str, x)), ", b" if has_bias else ""
    text = f"g (float[{shape}] x) => (float y) {{ y = Conv <{options}> (x, k{bias}) }}"
    proto = parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text.replace("<>", "")}')
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    rng = np.random.default_rng(4)
    weights = {"k": rng.standard_normal(k), **({"b": rng.standard_normal(k[0])} if has_bias else {})}
    proto.graph.initializer.extend(
        numpy_helper.from_array(each.astype(np.float32), name) for name, each in weights.items()
    )
    return Model.from_bytes(proto.SerializeToString(), name="convolution")


@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("form", CONVOLUTIONS)
def test_a_convolution_laid_out_in_double_precision_is_the_same_function(form: str, has_bias: bool) -> None:
    shape, kernel, options = CONVOLUTIONS[form]
    model = convolution(shape, kernel, options, has_bias=has_bias)
    x = {"x": np.random.default_rng(5).standard_normal(shape).astype(np.float32)}
    plain = OnnxRuntimeEngine(model, NumericProfile()).run(x)["y"]

    engine = OnnxRuntimeEngine(model, NumericProfile(summation=KSplit(slices=4, partials="fp64")))
    found = engine.run(x, np.array([[2, 0, 3, 1]]))["y"]

    assert isinstance(plain, np.ndarray)
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == (plain.shape, np.float32)
    assert np.abs(found - plain).max() < 2e-5
    assert len(engine.report.preparation.sums_rounded_once) == 1


def test_what_cannot_be_laid_out_stays_as_built_and_is_named() -> None:
    """Several groups, and padding that the size of the input decides."""
    profile = NumericProfile(summation=KSplit(slices=2, partials="fp64"))
    grouped = convolution((1, 4, 5, 5), (4, 2, 3, 3), "group=2", has_bias=False)
    by_size = convolution((1, 4, 5, 5), (4, 4, 3, 3), 'auto_pad="SAME_UPPER", strides=[2,2]', has_bias=False)
    for model, reason in ((grouped, "it has 2 groups"), (by_size, "it pads by the size of its input")):
        with pytest.raises(ProfileError, match=f"{reason}, and the processor has no convolution in double precision"):
            prepare(model, profile)


@pytest.mark.parametrize(("size", "like"), [(1, 8), (2, 4), (4, 2)])
def test_split_k_by_batch_makes_fewer_slices_for_more_requests(size: int, like: int) -> None:
    by_batch = NumericProfile(summation=KSplit(slices=8, by_batch=True), batch_size=size)
    plain = NumericProfile(summation=KSplit(slices=like))
    assert prepare(one_product(), by_batch).content == prepare(one_product(), plain).content


def test_split_k_by_batch_splits_nothing_once_the_batch_fills_the_chip(tmp_path: Path) -> None:
    full = NumericProfile(summation=KSplit(slices=8, by_batch=True), batch_size=8)
    assert prepare(one_product(), full).content == one_product().content
