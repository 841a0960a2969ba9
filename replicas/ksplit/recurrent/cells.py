"""One step of a recurrent layer: from the projected input and the old state to the new state.

Gates stand in ONNX's order: input, output, forget and cell of an LSTM; update, reset and hidden of a GRU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.recurrent.activations import Activation
from replicas.ksplit.recurrent.forms import Direction, RecurrentLayer


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What a step reads beside its input and its state; written once, outside of the step.

    Args:
        weights: for each recurrent product of a step, H x (gates that it makes at once) H.
        reset_bias: what a GRU that resets after its product adds to it first, or "".
        peepholes: of the input, output and forget gate; empty where there are none.
    """

    weights: tuple[str, ...]
    reset_bias: str
    peepholes: tuple[str, ...]


def write_step(
    writer: NodeWriter,
    layer: RecurrentLayer,
    direction: Direction,
    recurrence: Recurrence,
    projected: str,
    state: Mapping[str, str],
) -> dict[str, str]:
    """Write one step.

    Args:
        writer: where the nodes go.
        layer: which layer.
        direction: which of its passes.
        recurrence: what all steps share.
        projected: the input of the step times the input weights, biases added: batch x (gates) H.
        state: the old state, batch x H: "h", and "c" for an LSTM.

    Returns:
        The new state, by the same keys.
    """
    cell = _Cell(writer, layer, direction, recurrence)
    steps = {"LSTM": cell.lstm, "GRU": cell.gru, "RNN": cell.rnn}
    return steps[layer.node.op_type](projected, state)


class _Cell:
    def __init__(self, writer: NodeWriter, layer: RecurrentLayer, direction: Direction, recurrence: Recurrence) -> None:
        self._writer = writer
        self._layer = layer
        self._activations = direction.activations
        self._recurrence = recurrence

    def rnn(self, projected: str, state: Mapping[str, str]) -> dict[str, str]:
        return {"h": self._activate(self._activations[0], self._add(projected, self._product(state["h"], 0)))}

    def lstm(self, projected: str, state: Mapping[str, str]) -> dict[str, str]:
        f, g, h = self._activations
        input_gate, output_gate, forget_gate, cell = self._gates(self._add(projected, self._product(state["h"], 0)), 4)
        admitted = self._activate(f, self._peep(input_gate, state["c"], 0))
        if self._layer.couples_gates:
            kept = self._one_less(admitted)
        else:
            kept = self._activate(f, self._peep(forget_gate, state["c"], 2))
        new_c = self._add(self._times(kept, state["c"]), self._times(admitted, self._activate(g, cell)))
        shown = self._activate(f, self._peep(output_gate, new_c, 1))
        return {"h": self._times(shown, h.write(self._writer, new_c)), "c": new_c}

    def gru(self, projected: str, state: Mapping[str, str]) -> dict[str, str]:
        f, g = self._activations
        update_in, reset_in, hidden_in = self._gates(projected, 3)
        if self._layer.resets_after:
            update, reset, hidden = self._gates(self._product(state["h"], 0), 3)
        else:
            update, reset = self._gates(self._product(state["h"], 0), 2)
        reset = self._activate(f, self._add(reset_in, reset))
        if not self._layer.resets_after:
            hidden = self._product(self._times(reset, state["h"]), 1)
        elif self._recurrence.reset_bias:
            hidden = self._times(reset, self._add(hidden, self._recurrence.reset_bias))
        else:
            hidden = self._times(reset, hidden)
        hidden = self._activate(g, self._add(hidden_in, hidden))
        update = self._activate(f, self._add(update_in, update))
        return {"h": self._add(self._times(self._one_less(update), hidden), self._times(update, state["h"]))}

    def _product(self, h: str, index: int) -> str:
        output = self._writer.fresh("recurrence")
        return self._writer.add("MatMul", [h, self._recurrence.weights[index]], output)

    def _gates(self, tensor: str, count: int) -> tuple[str, ...]:
        return self._writer.split_evenly(tensor, count, axis=-1)

    def _peep(self, gate: str, c: str, index: int) -> str:
        peepholes = self._recurrence.peepholes
        return self._add(gate, self._times(c, peepholes[index])) if peepholes else gate

    def _activate(self, activation: Activation, tensor: str) -> str:
        clip = self._layer.clip
        if clip is not None:
            low, high = (self._writer.constant(np.array(bound, np.float32), "bound") for bound in (-clip, clip))
            tensor = self._writer.add("Clip", [tensor, low, high])
        return activation.write(self._writer, tensor)

    def _one_less(self, tensor: str) -> str:
        return self._writer.add("Sub", [self._writer.constant(np.array(1, np.float32), "one"), tensor])

    def _add(self, left: str, right: str) -> str:
        return self._writer.add("Add", [left, right])

    def _times(self, left: str, right: str) -> str:
        return self._writer.add("Mul", [left, right])
