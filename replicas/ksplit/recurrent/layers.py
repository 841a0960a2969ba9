"""Write a recurrent layer as plain operators: what comes before its steps, the Scan over them, and its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.recurrent.cells import Recurrence, write_step
from replicas.ksplit.recurrent.forms import Direction, RecurrentLayer

_STATES = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
# The state of a sequence without any step is 0 as the runtime's kernels have it, save that of RNN.
_EMPTY_IS_ZERO = ("LSTM", "GRU")


def write_layer(layer: RecurrentLayer, *, opset: int, taken: set[str]) -> NodeWriter:
    """Write a layer; the tensors that it makes keep their names.

    Args:
        layer: what to write.
        opset: version of the standard operator set.
        taken: names that the model uses already; new ones join them.

    Returns:
        Its nodes, for its own graph, and its initializers, for the main graph.
    """
    label = layer.node.name or next(name for name in layer.node.output if name)
    joined = NodeWriter(opset=opset, taken=taken, prefix=f"{label}/")
    passes = []
    for direction in layer.directions:
        writer = NodeWriter(opset=opset, taken=taken, prefix=f"{label}/{direction.name}/")
        passes.append(_Pass(writer, layer, direction).write())
        joined.nodes += writer.nodes
        joined.initializers += writer.initializers
    for name, parts, axis in zip(layer.node.output, zip(*passes, strict=True), (1, 0, 0), strict=False):
        if name:
            _join(joined, parts, axis, name)
    return joined


def _join(writer: NodeWriter, parts: Sequence[str], axis: int, output: str) -> None:
    """Give what the passes made an axis of directions, and its name."""
    if len(parts) == 1:
        writer.unsqueeze(parts[0], axis, output)
    else:
        writer.add("Concat", [writer.unsqueeze(each, axis) for each in parts], output, axis=axis)


class _Pass:
    """Writes one direction of a layer."""

    def __init__(self, writer: NodeWriter, layer: RecurrentLayer, direction: Direction) -> None:
        self._writer = writer
        self._layer = layer
        self._direction = direction
        self._states = _STATES[layer.node.op_type]

    def write(self) -> tuple[str, ...]:
        """Write the pass, and name what it makes: the state h of all steps, then the last state h, and c of an LSTM."""
        writer, layer = self._writer, self._layer
        input_bias, reset_bias = self._biases()
        weights = writer.add("Transpose", [self._own("weights")], perm=[1, 0])
        projected = writer.add("MatMul", [layer.inputs["x"], weights], writer.fresh("input"))
        if input_bias:
            projected = writer.add("Add", [projected, input_bias])
        recurrence = Recurrence(self._recurrent_weights(), reset_bias, self._peepholes())
        lasts, steps = self._scan(projected, recurrence)
        if "lengths" in layer.inputs and layer.node.op_type in _EMPTY_IS_ZERO:
            has_steps = writer.add("Less", [self._integer(0), self._column(layer.inputs["lengths"])])
            lasts = tuple(writer.add("Where", [has_steps, last, self._zero()]) for last in lasts)
        return (steps, *lasts)

    def _own(self, key: str) -> str:
        """The part of an input that is this direction's."""
        return self._writer.add("Gather", [self._layer.inputs[key], self._writer.scalar(self._direction.index)], axis=0)

    def _biases(self) -> tuple[str, str]:
        """What is added to the projected input, and what a GRU adds inside its reset: names, or ""."""
        writer, layer = self._writer, self._layer
        if "bias" not in layer.inputs:
            return "", ""
        of_input, of_recurrence = writer.split_evenly(self._own("bias"), 2, axis=0)
        if not layer.resets_after:
            return writer.add("Add", [of_input, of_recurrence]), ""
        outside, inside = writer.split(of_recurrence, [2 * layer.hidden, layer.hidden], axis=0)
        zeros = writer.constant(np.zeros(layer.hidden, np.float32), "zeros")
        return writer.add("Add", [of_input, writer.add("Concat", [outside, zeros], axis=0)]), inside

    def _recurrent_weights(self) -> tuple[str, ...]:
        writer, layer = self._writer, self._layer
        weights = writer.add("Transpose", [self._own("recurrence")], perm=[1, 0])
        if layer.node.op_type != "GRU" or layer.resets_after:
            return (weights,)
        return writer.split(weights, [2 * layer.hidden, layer.hidden], axis=1)

    def _peepholes(self) -> tuple[str, ...]:
        if "peepholes" not in self._layer.inputs:
            return ()
        return self._writer.split_evenly(self._own("peepholes"), 3, axis=0)

    def _scan(self, projected: str, recurrence: Recurrence) -> tuple[tuple[str, ...], str]:
        """Run over the steps; give the last states, and h of each step."""
        writer, layer = self._writer, self._layer
        inputs = [*(self._initial(state) for state in self._states), projected]
        if "lengths" in layer.inputs:
            inputs.append(self._is_in_sequence())
        scanned = len(inputs) - len(self._states)
        outputs = [*(writer.fresh(f"last_{state}") for state in self._states), writer.fresh("steps")]
        node = helper.make_node("Scan", inputs, outputs, name=writer.fresh("scan"), num_scan_inputs=scanned)
        if self._direction.name == "reverse":
            node.attribute.append(helper.make_attribute("scan_input_directions", [1] * scanned))
            node.attribute.append(helper.make_attribute("scan_output_directions", [1]))
        node.attribute.append(helper.make_attribute("body", self._body(recurrence)))
        writer.nodes.append(node)
        return tuple(outputs[:-1]), outputs[-1]

    def _body(self, recurrence: Recurrence) -> onnx.GraphProto:
        writer, layer = self._writer, self._layer
        old = {state: writer.fresh(f"old_{state}") for state in self._states}
        projected, is_in_sequence = writer.fresh("projected"), writer.fresh("is_in_sequence")
        inputs = [_floats(name, layer.hidden) for name in old.values()]
        inputs.append(_floats(projected, layer.gates * layer.hidden))
        with writer.graph() as nodes:
            new = write_step(writer, layer, self._direction, recurrence, projected, old)
            shown = new["h"]
            if "lengths" in layer.inputs:
                inputs.append(helper.make_tensor_value_info(is_in_sequence, onnx.TensorProto.BOOL, [None, 1]))
                shown = writer.add("Where", [is_in_sequence, new["h"], self._zero()])
                new = {state: writer.add("Where", [is_in_sequence, new[state], old[state]]) for state in self._states}
            # A name may be given out once: so h gets another one, and so do states that might be h itself.
            outputs = [writer.add("Identity", [name]) for name in (*new.values(), shown)]
            return helper.make_graph(
                list(nodes), writer.fresh("step"), inputs, [_floats(name, layer.hidden) for name in outputs]
            )

    def _initial(self, state: str) -> str:
        if f"initial_{state}" in self._layer.inputs:
            return self._own(f"initial_{state}")
        writer = self._writer
        shape = writer.add("Shape", [self._layer.inputs["x"]])
        batch = writer.add("Gather", [shape, writer.integers([1])], axis=0)
        shape = writer.add("Concat", [batch, writer.integers([self._layer.hidden])], axis=0)
        zero = helper.make_tensor("zero", onnx.TensorProto.FLOAT, [1], [0.0])
        return writer.add("ConstantOfShape", [shape], value=zero)

    def _is_in_sequence(self) -> str:
        """For each step and each sequence of the batch, whether the sequence has that step; an axis of 1 behind."""
        writer = self._writer
        shape = writer.add("Shape", [self._layer.inputs["x"]])
        count = writer.add("Gather", [shape, writer.scalar(0)], axis=0)
        steps = writer.add("Range", [writer.scalar(0), count, writer.scalar(1)])
        steps = writer.add("Cast", [steps], to=onnx.TensorProto.INT32)
        steps = writer.add("Reshape", [steps, writer.integers([-1, 1, 1])])
        return writer.add("Less", [steps, self._column(self._layer.inputs["lengths"])])

    def _column(self, lengths: str) -> str:
        return self._writer.add("Reshape", [lengths, self._writer.integers([-1, 1])])

    def _integer(self, value: int) -> str:
        return self._writer.constant(np.array(value, np.int32), "integer")

    def _zero(self) -> str:
        return self._writer.constant(np.array(0, np.float32), "zero")


def _floats(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, width])
