"""Indices are bounded by the tables that they pick from, however they get there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastbit.inputs.bounds import Bound, Categories, find_bounds
from lastbit.inputs.dimensions import settle_shapes
from replicas.model import Model

Node = tuple[str, list[str], list[str], dict[str, Any]]


def bounds(model: Model) -> dict[str, Bound | Categories]:
    """Bounds with default sizes: a batch of 1, and 8."""
    return find_bounds(model.proto(), settle_shapes(model.inputs, {}).shapes)


def ends(model: Model, name: str = "ids") -> tuple[int, int] | None:
    """Least and greatest value of an input, or None."""
    found = bounds(model).get(name)
    assert found is None or isinstance(found, Bound)
    return found and (found.low, found.high)


def test_an_index_stays_inside_the_table(embed: Callable[..., Model]) -> None:
    assert ends(embed(rows="ids")) == (0, 4)


@pytest.mark.parametrize(
    "path",
    [
        [("Identity", ["ids"], ["rows"], {})],
        [("Cast", ["ids"], ["rows"], {"to": TensorProto.INT32})],
        [("Reshape", ["ids", "flat"], ["rows"], {})],
        [("Unsqueeze", ["ids", "axes"], ["a"], {}), ("Squeeze", ["a", "axes"], ["rows"], {})],
        [("Slice", ["ids", "zero", "one"], ["rows"], {})],
        [("Transpose", ["ids"], ["a"], {"perm": [1, 0]}), ("Flatten", ["a"], ["rows"], {})],
        [("Split", ["ids"], ["other", "rows"], {"axis": 1})],
        [("Concat", ["more", "ids"], ["rows"], {"axis": 1})],
        [("Gather", ["ids", "one"], ["rows"], {"axis": 1})],
    ],
    ids=lambda path: "-".join(node[0] for node in path),
)
def test_an_index_is_followed_through_what_only_moves_it(embed: Callable[..., Model], path: list[Node]) -> None:
    constants = {
        "flat": np.array([-1]),
        "axes": np.array([0]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "more": np.array([[0]]),
    }
    assert ends(embed(*path, constants=constants)) == (0, 4)


def test_a_float_that_is_cast_to_an_index_is_bounded_too(embed: Callable[..., Model]) -> None:
    assert ends(embed(("Cast", ["ids"], ["rows"], {"to": TensorProto.INT64}), dtype="float32")) == (0, 4)


def test_constants_added_on_the_way_are_taken_off_the_bound(embed: Callable[..., Model]) -> None:
    constants = {"offsets": np.array([1, 2]), "one": np.array(1)}
    assert ends(embed(("Add", ["offsets", "ids"], ["rows"], {}), shape=("batch", 2), constants=constants)) == (-1, 2)
    assert ends(embed(("Sub", ["ids", "one"], ["rows"], {}), constants=constants)) == (1, 5)


def test_arithmetic_that_is_not_followed_leaves_an_input_unbounded(embed: Callable[..., Model]) -> None:
    assert ends(embed(("Mul", ["ids", "ids"], ["rows"], {}))) is None


def test_the_smallest_of_several_tables_bounds(build: Callable[..., Model]) -> None:
    tables = {"wide": np.zeros((9, 1), np.float32), "narrow": np.zeros((3, 1), np.float32)}
    nodes = [
        ("Gather", ["wide", "ids"], ["a"], {}),
        ("Gather", ["narrow", "ids"], ["b"], {}),
        ("Add", ["a", "b"], ["c"], {}),
    ]
    assert ends(build({"ids": ("int64", ["n"])}, nodes, tables)) == (0, 2)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (("Gather", ["table", "ids"], ["y"], {"axis": 1}), (0, 2)),
        (("Gather", ["table", "ids"], ["y"], {"axis": -1}), (0, 2)),
        (("GatherElements", ["table", "ids"], ["y"], {"axis": 1}), (0, 2)),
        (("GatherND", ["table", "ids"], ["y"], {}), (0, 2)),
        (("TopK", ["table", "ids"], ["y", "places"], {}), (0, 3)),
        (("NegativeLogLikelihoodLoss", ["scores", "ids"], ["y"], {}), (0, 2)),
        (("OneHot", ["ids", "depth", "on_off"], ["y"], {}), (0, 5)),
        (("ai.onnx.ml::ArrayFeatureExtractor", ["table", "ids"], ["y"], {}), (0, 2)),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)
def test_each_operator_that_indexes_bounds_by_its_own_rule(
    build: Callable[..., Model], node: Node, expected: tuple[int, int]
) -> None:
    constants = {
        "table": np.zeros((7, 3), np.float32),
        "scores": np.zeros((1, 3, 2), np.float32),
        "depth": np.array(6),
        "on_off": np.array([0, 1], np.float32),
    }
    assert ends(build({"ids": ("int64", [1, 2])}, [node], constants)) == expected


def test_a_table_that_is_an_input_counts_with_its_settled_size(build: Callable[..., Model]) -> None:
    inputs = {"table": ("float32", ["rows", 2]), "ids": ("int64", ["n"]), "far": ("float32", [3, "rows"])}
    nodes = [("Transpose", ["far"], ["turned"], {}), ("Gather", ["turned", "ids"], ["y"], {})]
    assert ends(build(inputs, nodes)) == (0, 0)  # "rows" leads an input, so it is a batch of 1


def test_an_index_used_inside_a_branch_is_bounded() -> None:
    def branch(name: str, rows: int) -> onnx.GraphProto:
        table = numpy_helper.from_array(np.zeros(rows, np.float32), f"{name}_table")
        gather = helper.make_node("Gather", [f"{name}_table", "ids"], [f"{name}_y"])
        return helper.make_graph([gather], name, [], [helper.make_tensor_value_info(f"{name}_y", 1, [2])], [table])

    choose = helper.make_node("If", ["flag"], ["y"], then_branch=branch("then", 6), else_branch=branch("other", 4))
    inputs = [
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [2]),
    ]
    graph = helper.make_graph([choose], "branches", inputs, [helper.make_tensor_value_info("y", 1, [2])])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    assert ends(Model.from_bytes(model.SerializeToString(), name="branches")) == (0, 3)


def test_an_index_used_inside_a_function_is_bounded() -> None:
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Gather", ["t", "i"], ["o"])]
    function = helper.make_function("own", "Embed", ["t", "i"], ["o"], body, opsets)
    call = helper.make_node("Embed", ["table", "ids"], ["y"], domain="own")
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [2])
    table = numpy_helper.from_array(np.zeros(4, np.float32), "table")
    graph = helper.make_graph([call], "called", [ids], [helper.make_tensor_value_info("y", 1, [2])], [table])
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[*opsets, helper.make_opsetid("own", 1)], functions=[function]
    )
    assert ends(Model.from_bytes(model.SerializeToString(), name="called")) == (0, 3)


def test_categories_of_an_encoder_are_the_values_of_its_input(build: Callable[..., Model]) -> None:
    encoder = ("ai.onnx.ml::OneHotEncoder", ["city"], ["y"], {"cats_strings": ["Bern", "Oslo"], "zeros": 0})
    found = bounds(build({"city": ("string", ["n", 1])}, [encoder]))["city"]
    assert isinstance(found, Categories)
    assert found.values == ("Bern", "Oslo")
