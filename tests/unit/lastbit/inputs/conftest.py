"""Small models to make inputs for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from replicas.model import Model

Shape = Sequence[int | str | None] | None
Build = Callable[..., Model]

ELEMENTS = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "bfloat16": TensorProto.BFLOAT16,
    "string": TensorProto.STRING,
}


@pytest.fixture
def build() -> Build:
    """Build a model from nodes `(operator, inputs, outputs, attributes)`; the last output is the graph's."""

    def build_model(
        inputs: Mapping[str, tuple[str, Shape]],
        nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]],
        constants: Mapping[str, Any] | None = None,
        output: str = "float32",
        name: str = "small",
    ) -> Model:
        made = []
        for index, (operator, ins, outs, attributes) in enumerate(nodes):
            domain, _, kind = operator.rpartition("::")
            made.append(helper.make_node(kind, ins, outs, name=f"{kind}{index}", domain=domain, **attributes))
        graph = helper.make_graph(
            made,
            name,
            [helper.make_tensor_value_info(key, ELEMENTS[dtype], shape) for key, (dtype, shape) in inputs.items()],
            [helper.make_tensor_value_info(nodes[-1][2][0], ELEMENTS[output], None)],
            [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        # A model must tell the shape of its output; here it follows from the inputs.
        model = shape_inference.infer_shapes(helper.make_model(graph, ir_version=8, opset_imports=opsets))
        return Model.from_bytes(model.SerializeToString(), name=name)

    return build_model


@pytest.fixture
def embed(build: Build) -> Callable[..., Model]:
    """A model that picks rows of a table of 5 with what comes out of `path`, a chain from `ids` to `rows`."""

    def embed_model(
        *path: tuple[str, list[str], list[str], dict[str, Any]],
        dtype: str = "int64",
        shape: Shape = ("batch", "length"),
        constants: Mapping[str, Any] | None = None,
        rows: str = "rows",
    ) -> Model:
        table = np.arange(10, dtype=np.float32).reshape(5, 2)
        gather = ("Gather", ["table", rows], ["picked"], {})
        return build({"ids": (dtype, shape)}, [*path, gather], {"table": table, **(constants or {})})

    return embed_model
