"""Small models such as users bring, written as ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

TYPES = {
    "float32": T.FLOAT,
    "float16": T.FLOAT16,
    "float64": T.DOUBLE,
    "int32": T.INT32,
    "int64": T.INT64,
    "bool": T.BOOL,
    "string": T.STRING,
}

Values = Mapping[str, tuple[str, Sequence[int | str | None]]]


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Values,
    outputs: Values,
    weights: Mapping[str, Any] | None = None,
) -> Path:
    """A graph as a file."""
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        _infos(inputs),
        _infos(outputs),
        [from_array(name, w) for name, w in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def _infos(values: Values) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, (dtype, shape) in values.items()]


def from_array(name: str, value: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def weights(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """Weights with no structure, the same each time."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def dense(path: Path, *, dtype: str = "float32", shape: Sequence[int | str | None] = (1, 8)) -> Path:
    """x times a matrix, of any float type."""
    return write(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (dtype, shape)},
        {"y": (dtype, (*shape[:-1], 6))},
        {"w": weights(8, 6, dtype=dtype)},
    )


def tokens(path: Path) -> Path:
    """Token ids that pick rows of a table of 11, over a free batch and length."""
    return write(
        path,
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        ],
        {"ids": ("int64", ("batch", "length"))},
        {"logits": ("float32", ("batch", 11))},
        {"table": weights(11, 8), "w": weights(8, 11), "axes": np.int64([1])},
    )


def several(path: Path) -> Path:
    """Two inputs of different types, two outputs."""
    return write(
        path,
        [
            helper.make_node("Cast", ["n"], ["m"], to=T.FLOAT),
            helper.make_node("Add", ["x", "m"], ["sum"]),
            helper.make_node("ArgMax", ["sum"], ["label"], axis=-1, keepdims=0),
        ],
        {"x": ("float32", (1, 4)), "n": ("int32", (1, 4))},
        {"sum": ("float32", (1, 4)), "label": ("int64", (1,))},
    )


def strings(path: Path) -> Path:
    """A string that is handed back."""
    return write(path, [helper.make_node("Identity", ["s"], ["t"])], {"s": ("string", (2,))}, {"t": ("string", (2,))})


def scalar(path: Path) -> Path:
    """A number without a shape."""
    return write(path, [helper.make_node("Exp", ["x"], ["y"])], {"x": ("float32", ())}, {"y": ("float32", ())})


def mask(path: Path) -> Path:
    """Truth values in and out."""
    return write(path, [helper.make_node("Not", ["b"], ["c"])], {"b": ("bool", (3,))}, {"c": ("bool", (3,))})


def branches(path: Path) -> Path:
    """An If whose branches are graphs of their own."""

    def branch(operator: str) -> onnx.GraphProto:
        node = helper.make_node(operator, ["x"], [f"y_{operator}"])
        return helper.make_graph([node], operator, [], _infos({f"y_{operator}": ("float32", (4,))}))

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Exp"))
    return write(path, [node], {"c": ("bool", ()), "x": ("float32", (4,))}, {"y": ("float32", (4,))})


def random(path: Path) -> Path:
    """A model that draws random numbers."""
    node = helper.make_node("RandomNormalLike", ["x"], ["noise"], seed=1.0)
    return write(
        path, [node, helper.make_node("Add", ["x", "noise"], ["y"])], {"x": ("float32", (4,))}, {"y": ("float32", (4,))}
    )


def external(path: Path, location: str) -> Path:
    """A model whose weights are said to lie elsewhere."""
    dense(path)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = T.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(model.SerializeToString())
    return path
