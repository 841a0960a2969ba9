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
    """The constant tensors of a graph, computed when they are asked for and kept.

    Args:
        proto: the model, functions put in place. It is read while this object lives, and must not change.
        graph: one of its graphs; the main graph where none is given.
        outer: the constants of the graph around it.
        path: what tells the graph from all others of the model; "" for the main graph.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        graph: onnx.GraphProto | None = None,
        outer: ConstantValues | None = None,
        path: str = "",
    ) -> None:
        self._proto = proto
        self._graph = proto.graph if graph is None else graph
        self._outer = outer
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in self._graph.initializer}
        self._makers = {output: node for node in self._graph.node for output in node.output if output}
        self._constant = dict.fromkeys((value.name for value in self._graph.input), False)
        self._constant |= dict.fromkeys(self._tensors, True)
        self._own = self._constant.keys() | self._makers.keys()
        self._values: dict[str, Array | None] = {}

    def inside(self, graph: onnx.GraphProto, path: str) -> ConstantValues:
        """The constants of a graph that a node of this one holds; `path` tells it from the others here."""
        return ConstantValues(self._proto, graph, self, f"{self._path}{path}/")

    def full_name(self, name: str) -> str:
        """A name that no other tensor of the model has: branches may call theirs alike."""
        return f"{self._path}{name}" if name in self._own or self._outer is None else self._outer.full_name(name)

    def is_constant(self, name: str) -> bool:
        """Whether nothing that a run supplies can change this tensor."""
        if name not in self._own:
            return self._outer is not None and self._outer.is_constant(name)
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
            unknown = [each for each in maker.input if each in self._own and each not in self._constant]
            if unknown:
                pending += unknown
            else:
                self._constant[current] = all(self._is_known_constant(each) for each in maker.input if each)
        return self._constant[name]

    def _is_known_constant(self, name: str) -> bool:
        return self._constant[name] if name in self._own else self.is_constant(name)

    def value(self, name: str) -> Array | None:
        """The tensor's value, or None where it is not constant or the runtime cannot compute it."""
        if name not in self._own:
            return None if self._outer is None else self._outer.value(name)
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
            chain = self._chain(name)
            value = None if chain is None else plain_session(chain).run([name], {})[0]
        except Exception:  # onnxruntime's own share no other base class; the product stays whole, and that is reported
            return None
        return value if isinstance(value, np.ndarray) else None

    def _chain(self, name: str) -> bytes | None:
        """A model that computes a tensor; what it needs of the graphs around is held as a tensor there."""
        wanted = {name}
        nodes = []
        for node in reversed(self._graph.node):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        chain = onnx.ModelProto(ir_version=self._proto.ir_version)
        chain.opset_import.extend(self._proto.opset_import)
        chain.graph.name = "constant"
        chain.graph.node.extend(reversed(nodes))
        chain.graph.initializer.extend(tensor for each, tensor in self._tensors.items() if each in wanted)
        for each in sorted(wanted - self._own - {""}):
            value = self.value(each)
            if value is None:
                return None
            chain.graph.initializer.append(numpy_helper.from_array(value, each))
        chain.graph.output.append(onnx.ValueInfoProto(name=name))
        return bytes(chain.SerializeToString())
