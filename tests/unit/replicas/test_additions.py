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
from replicas.profile import KSplit, NumericProfile, Optimization, Summation, Tree

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


def test_a_convolution_stays_as_built_where_sums_are_in_double_precision() -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 8, 4, 4] x) => (float[b, n] y)'
    proto = parse_model(text + "{ c = Conv(x, k) f = Flatten(c) y = MatMul(f, w) }")
    kernel = np.ones((4, 8, 4, 4), np.float32)
    proto.graph.initializer.extend([numpy_helper.from_array(kernel, "k"), numpy_helper.from_array(W[:4], "w")])
    model = Model.from_bytes(proto.SerializeToString(), name="mixed")

    report = prepare(model, NumericProfile(summation=KSplit(slices=2, partials="fp64"))).report

    assert report.products_reordered == ('MatMul that makes "y"',)
    assert report.products_left_as_built == (
        ('Conv that makes "c"', "the processor has no convolution in double precision"),
    )


@pytest.mark.parametrize(("size", "like"), [(1, 8), (2, 4), (4, 2)])
def test_split_k_by_batch_makes_fewer_slices_for_more_requests(size: int, like: int) -> None:
    by_batch = NumericProfile(summation=KSplit(slices=8, by_batch=True), batch_size=size)
    plain = NumericProfile(summation=KSplit(slices=like))
    assert prepare(one_product(), by_batch).content == prepare(one_product(), plain).content


def test_split_k_by_batch_splits_nothing_once_the_batch_fills_the_chip(tmp_path: Path) -> None:
    full = NumericProfile(summation=KSplit(slices=8, by_batch=True), batch_size=8)
    assert prepare(one_product(), full).content == one_product().content
