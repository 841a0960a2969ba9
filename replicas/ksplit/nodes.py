"""Write nodes into a graph: fresh names, and each operator in the form that the model's operator set knows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from replicas.graph_names import fresh_name

T = TypeVar("T")

AXES_ARE_INPUTS_SINCE = 13
REDUCE_AXES_ARE_INPUTS_SINCE = 18
SPLIT_COUNTS_ITS_OUTPUTS_SINCE = 18


class NodeWriter:
    """Collects new nodes and initializers, one name for one tensor.

    Args:
        opset: version of the standard operator set.
        taken: names that the model uses already.
        prefix: what every new name begins with.
    """

    def __init__(self, *, opset: int, taken: set[str], prefix: str) -> None:
        self._opset = opset
        self._taken = taken
        self._prefix = prefix
        self._integers: dict[tuple[int, ...], str] = {}
        self._written: dict[Hashable, Any] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    @contextmanager
    def graph(self) -> Iterator[list[onnx.NodeProto]]:
        """Collect the nodes of one graph apart; it shares initializers with the graphs around it, and nothing else."""
        around = self.nodes, self._written
        self.nodes, self._written = [], {}
        try:
            yield self.nodes
        finally:
            self.nodes, self._written = around

    def once(self, key: Hashable, write: Callable[[], T]) -> T:
        """What was written under that key in this graph; written now if it is the first time."""
        if key not in self._written:
            self._written[key] = write()
        written: T = self._written[key]
        return written

    def fresh(self, what: str) -> str:
        """A name that nothing in the model bears."""
        return fresh_name(self._prefix + what, self._taken)

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append a node with one output, and return that output's name."""
        output = output or self.fresh(operator.lower())
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{output}/{operator}", **attributes))
        return output

    def like(self, node: onnx.NodeProto, inputs: Sequence[str]) -> str:
        """Append a node with the operator and attributes of another, and return its first output's name."""
        output = self.fresh(node.op_type.lower())
        self.nodes.append(helper.make_node(node.op_type, inputs, [output], name=f"{output}/{node.op_type}"))
        self.nodes[-1].attribute.extend(node.attribute)
        return output

    def constant(self, values: NDArray[Any], what: str) -> str:
        """Append an initializer, and return its name."""
        name = self.fresh(what)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """A vector of whole numbers as an initializer; equal ones are one."""
        key = tuple(values)
        if key not in self._integers:
            self._integers[key] = self.constant(np.array(key, dtype=np.int64), "integers")
        return self._integers[key]

    def scalar(self, value: int) -> str:
        """A whole number without axes as an initializer."""
        return self.constant(np.array(value, dtype=np.int64), "integer")

    def split(self, tensor: str, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
        """Cut a tensor along an axis into parts of the given sizes; equal parts are cut once."""
        return self.once(("split", tensor, tuple(sizes), axis), lambda: self._cut(tensor, sizes, axis))

    def cast(self, tensor: str, element: int) -> str:
        """A tensor in another element type; cast once for all that read it."""
        return self.once(("cast", tensor, element), lambda: self.add("Cast", [tensor], to=element))

    def _cut(self, tensor: str, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
        if self._opset >= AXES_ARE_INPUTS_SINCE:
            return self.split_by(tensor, self.integers(sizes), len(sizes), axis)
        return self._split([tensor], len(sizes), axis=axis, split=list(sizes))

    def split_evenly(self, tensor: str, parts: int, axis: int) -> tuple[str, ...]:
        """Cut a tensor into equal parts. Inference knows their shapes in subgraphs too, where it reads no sizes."""
        counted = {"num_outputs": parts} if self._opset >= SPLIT_COUNTS_ITS_OUTPUTS_SINCE else {}
        return self._split([tensor], parts, axis=axis, **counted)

    def split_by(self, tensor: str, sizes: str, parts: int, axis: int) -> tuple[str, ...]:
        """Cut a tensor along an axis into parts whose sizes are a tensor too; from operator set 11 on."""
        if self._opset >= AXES_ARE_INPUTS_SINCE:
            return self._split([tensor, sizes], parts, axis=axis)
        ends = self.add("CumSum", [sizes, self.scalar(0)])
        starts = self.add("Sub", [ends, sizes])
        bounds = [
            [self.add("Gather", [each, self.integers([part])]) for each in (starts, ends)] for part in range(parts)
        ]
        return tuple(self.add("Slice", [tensor, *each, self.integers([axis])]) for each in bounds)

    def _split(self, inputs: Sequence[str], parts: int, **attributes: Any) -> tuple[str, ...]:
        outputs = [self.fresh("part") for _ in range(parts)]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=f"{outputs[0]}/Split", **attributes))
        return tuple(outputs)

    def reduce_max(self, tensor: str, axes: Sequence[int]) -> str:
        """The largest along some axes, each of which stays with length 1."""
        if self._opset >= REDUCE_AXES_ARE_INPUTS_SINCE:
            return self.add("ReduceMax", [tensor, self.integers(axes)], keepdims=1)
        return self.add("ReduceMax", [tensor], axes=list(axes), keepdims=1)

    def dynamic_quantize(self, tensor: str) -> tuple[str, str, str]:
        """Quantise a tensor by its own range on each run: whole numbers of 8 bits, their scale and zero point."""
        whole, scale, zero_point = (self.fresh(what) for what in ("operand", "operand_scale", "operand_zero_point"))
        node = helper.make_node("DynamicQuantizeLinear", [tensor], [whole, scale, zero_point])
        node.name = f"{whole}/DynamicQuantizeLinear"
        self.nodes.append(node)
        return whole, scale, zero_point

    def unsqueeze(self, tensor: str, axis: int = 0, output: str = "") -> str:
        """Put an axis of length 1 in front, or further back."""
        return self._one_axis("Unsqueeze", tensor, axis, output)

    def squeeze(self, tensor: str, output: str = "") -> str:
        """Take the first axis, of length 1, away."""
        return self._one_axis("Squeeze", tensor, 0, output)

    def _one_axis(self, operator: str, tensor: str, axis: int, output: str) -> str:
        if self._opset >= AXES_ARE_INPUTS_SINCE:
            return self.add(operator, [tensor, self.integers([axis])], output)
        return self.add(operator, [tensor], output, axes=[axis])
