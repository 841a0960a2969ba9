"""Values that a graph fixes before it runs: initializers, Constant nodes, and whatever is computed from these alone.

A weight often reaches its product through Identity, Transpose, Cast and a scale, or DequantizeLinear. Such a chain is
computed by onnxruntime itself, so that its value is the one that the model would have used.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from replicas.graph_walk import is_plain_constant, subgraphs
from replicas.runtime_types import plain_session

Array: TypeAlias = NDArray[Any]


class ConstantValues:
    """The constant tensors of a main graph, computed when they are asked for and kept.

    Args:
        proto: the model, functions put in place. It is read while this object lives, and must not change.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._proto = proto
        self._tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._makers = {output: node for node in proto.graph.node for output in node.output if output}
        self._constant: dict[str, bool] = dict.fromkeys(self._tensors, True)
        self._values: dict[str, Array | None] = {}

    def is_constant(self, name: str) -> bool:
        """Whether nothing that a run supplies can change this tensor."""
        pending = [name]
        while pending:
            current = pending[-1]
            if current in self._constant:
                pending.pop()
                continue
            maker = self._makers.get(current)
            if maker is None or any(True for _ in subgraphs(maker)):
                self._constant[current] = False
                continue
            unknown = [each for each in maker.input if each and each not in self._constant]
            if unknown:
                pending += unknown
            else:
                self._constant[current] = all(self._constant[each] for each in maker.input if each)
        return self._constant[name]

    def value(self, name: str) -> Array | None:
        """The tensor's value, or None where it is not constant or the runtime cannot compute it."""
        if name not in self._values:
            self._values[name] = self._compute(name) if self.is_constant(name) else None
        return self._values[name]

    def _compute(self, name: str) -> Array | None:
        if name in self._tensors:
            return numpy_helper.to_array(self._tensors[name])
        maker = self._makers[name]
        if is_plain_constant(maker):
            return numpy_helper.to_array(maker.attribute[0].t)
        if maker.op_type == "Identity" and maker.domain in ("", "ai.onnx"):
            return self.value(maker.input[0])
        return self._run(name)

    def _run(self, name: str) -> Array | None:
        try:
            value = plain_session(self._chain(name)).run([name], {})[0]
        except Exception:  # onnxruntime's own share no other base class; the product stays whole, and that is reported
            return None
        return value if isinstance(value, np.ndarray) else None

    def _chain(self, name: str) -> bytes:
        wanted = {name}
        nodes = []
        for node in reversed(self._proto.graph.node):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        chain = onnx.ModelProto(ir_version=self._proto.ir_version)
        chain.opset_import.extend(self._proto.opset_import)
        chain.graph.name = "constant"
        chain.graph.node.extend(reversed(nodes))
        chain.graph.initializer.extend(tensor for each, tensor in self._tensors.items() if each in wanted)
        chain.graph.output.append(onnx.ValueInfoProto(name=name))
        return bytes(chain.SerializeToString())
