"""Compute in fp64 wherever onnxruntime's CPU provider has a kernel for it, and in fp32 between Casts elsewhere.

Each float32 tensor may exist twice: under its own name as float32, and under a new one as float64; either is made from
the other by a Cast, once, when somebody needs it. So a node that stays fp32 keeps its inputs and outputs by name, the
subgraphs of If, Loop and Scan read what they always read, and graph inputs and outputs keep their types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from replicas.fp64_kernels import FLOAT, node_in_fp64
from replicas.graph_names import drop_unused, fresh_name, names_in, used_names
from replicas.graph_walk import is_plain_constant, opset_versions, subgraphs
from replicas.runtime_types import runtime_types

SUFFIX = ".fp64"


@dataclass(frozen=True, slots=True)
class Fp64Result:
    """A model that computes in fp64 where it can.

    Args:
        proto: the model; inputs and outputs have the types they had.
        float_nodes: how many nodes take or make float32 tensors, or hold subgraphs.
        kept_positions: those that stayed fp32, by their place among the nodes of the graph that was given.
    """

    proto: onnx.ModelProto
    float_nodes: int
    kept_positions: tuple[int, ...]


def compute_in_fp64(proto: onnx.ModelProto) -> Fp64Result:
    """Give every float32 node that has an fp64 kernel float64 tensors, and put Casts around the others.

    An If, Loop or Scan stays fp32 with all that it holds.

    Args:
        proto: the model, functions put in place; not changed.

    Raises:
        ProfileError: the runtime cannot load the model.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    conversion = _Conversion(model)
    float_nodes = 0
    kept: list[int] = []
    for position, node in enumerate(model.graph.node):
        if not conversion.is_float_node(node):
            conversion.nodes.append(node)
            continue
        float_nodes += 1
        if not conversion.write_in_fp64(node):
            conversion.write_in_fp32(node)
            kept.append(position)
    conversion.require_float32(value.name for value in model.graph.output)
    del model.graph.node[:]
    model.graph.node.extend(conversion.nodes)
    model.graph.initializer.extend(conversion.initializers)
    drop_unused(model.graph)
    return Fp64Result(model, float_nodes, tuple(kept))


class _Conversion:
    """The nodes written so far, and under which names each float32 tensor of the old graph can be had."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._types = runtime_types(model)
        self._opsets = sorted(opset_versions(model).items())
        self._taken = names_in(model.graph)
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._float32 = set(self._tensors) | {value.name for value in model.graph.input}
        self._float64: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def is_float_node(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes on float32 tensors; a Constant merely holds one."""
        if is_plain_constant(node):
            self._tensors[node.output[0]] = node.attribute[0].t
            self._float32.add(node.output[0])
            return False
        floats = (self._types.get(name) == FLOAT for name in (*node.input, *node.output))
        return any(floats) or any(True for _ in subgraphs(node))

    def write_in_fp64(self, node: onnx.NodeProto) -> bool:
        """Write the node with float64 tensors; False, and nothing written, where it has no such kernel."""
        converted = node_in_fp64(node, self._types, self._opsets)
        if converted is None:
            return False
        for index, name in enumerate(node.input):
            if self._types.get(name) == FLOAT:
                converted.input[index] = self._double(name)
        for index, name in enumerate(node.output):
            if self._types.get(name) == FLOAT:
                converted.output[index] = self._float64[name] = fresh_name(name + SUFFIX, self._taken)
        self.nodes.append(converted)
        return True

    def write_in_fp32(self, node: onnx.NodeProto) -> None:
        """Write the node as it is, its inputs cast back to float32."""
        self.require_float32(used_names([node]))
        self._float32.update(node.output)
        self.nodes.append(node)

    def require_float32(self, names: Iterable[str]) -> None:
        """See that tensors exist as float32, under the names they had."""
        for name in sorted(names):
            if name in self._float64 and name not in self._float32:
                self.nodes.append(helper.make_node("Cast", [self._float64[name]], [name], to=onnx.TensorProto.FLOAT))
                self._float32.add(name)

    def _double(self, name: str) -> str:
        if name not in self._float64:
            double = self._float64[name] = fresh_name(name + SUFFIX, self._taken)
            if name in self._tensors:
                values = numpy_helper.to_array(self._tensors[name]).astype(np.float64)
                self.initializers.append(numpy_helper.from_array(values, double))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [double], to=onnx.TensorProto.DOUBLE))
        return self._float64[name]
