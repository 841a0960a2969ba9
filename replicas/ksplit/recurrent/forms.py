"""Which recurrent operators can be opened, and what exactly each of them computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.recurrent.activations import Activation, read_activations
from replicas.shape_facts import TensorFact

# Range, and Clip with its bounds as inputs.
OPSET_MIN = 11
INPUTS = ("x", "weights", "recurrence", "bias", "lengths", "initial_h", "initial_c", "peepholes")
# How many gates an operator has, and what applies to them where the layer names no activations.
GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS: Mapping[str, Sequence[str]] = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "GRU": ("Sigmoid", "Tanh"),
    "RNN": ("Tanh",),
}
DIRECTIONS: Mapping[str, Sequence[str]] = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}


@dataclass(frozen=True, slots=True)
class Direction:
    """One of the one or two passes of a layer.

    Args:
        index: its place in the weights, states and outputs.
        name: "forward" or "reverse".
        activations: those of the gates, in ONNX's order.
    """

    index: int
    name: str
    activations: tuple[Activation, ...]


@dataclass(frozen=True, slots=True)
class RecurrentLayer:
    """One LSTM, GRU or RNN.

    Args:
        node: the node that it stands for.
        inputs: names of its tensors, by the keys of `INPUTS`; those that it has.
        hidden: H, the elements of its state.
        directions: its passes.
        clip: bound of what enters an activation, on both sides; None for no bound.
        couples_gates: an LSTM whose forget gate is 1 less its input gate.
        resets_after: a GRU that multiplies by its reset gate after the recurrent product (linear_before_reset).
    """

    node: onnx.NodeProto
    inputs: Mapping[str, str]
    hidden: int
    directions: tuple[Direction, ...]
    clip: float | None
    couples_gates: bool
    resets_after: bool

    @property
    def gates(self) -> int:
        """How many gates there are."""
        return GATES[self.node.op_type]


def find_recurrent_layer(
    node: onnx.NodeProto, facts: Mapping[str, TensorFact], *, opset: int, k_min: int
) -> RecurrentLayer | str | None:
    """Read a node as a layer that can be opened.

    Args:
        node: a node of a graph.
        facts: shapes and element types, as far as known.
        opset: version of the standard operator set.
        k_min: of its input and its state one must have as many elements: otherwise no product inside is rewritten.

    Returns:
        The layer; or why this one stays as it is; or None for a node that is no LSTM, GRU or RNN.
    """
    if standard_domain(node.domain) != "" or node.op_type not in GATES:
        return None
    if opset < OPSET_MIN:
        return f"to open it needs operator set {OPSET_MIN}, and the model has {opset}"
    inputs = {key: name for key, name in zip(INPUTS, node.input, strict=False) if name}
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    weights = facts.get(inputs["weights"])
    if weights is None or weights.element != onnx.TensorProto.FLOAT:
        return "its weights are not known to be float32"
    hidden = attributes.get("hidden_size", 0)
    if hidden < 1:
        return "it states no hidden_size, without which the runtime does not run it"
    width = (weights.shape[-1] or 0) if weights.shape else 0
    if 0 < width < k_min and hidden < k_min:
        return f"K is {width} for its input and {hidden} for its state, and at least {k_min} is needed"
    if attributes.get("layout", 0):
        return "its layout is 1, which the runtime does not run"
    clip = attributes.get("clip")
    if clip is not None and not clip > 0:
        return f"its clip is {clip:g}; above 0 is opened"
    directions = _directions(node.op_type, attributes)
    if isinstance(directions, str):
        return directions
    return RecurrentLayer(
        node=node,
        inputs=inputs,
        hidden=hidden,
        directions=directions,
        clip=clip,
        couples_gates=bool(attributes.get("input_forget", 0)),
        resets_after=bool(attributes.get("linear_before_reset", 0)),
    )


def _directions(operator: str, attributes: Mapping[str, Any]) -> tuple[Direction, ...] | str:
    names = DIRECTIONS.get(_text(attributes.get("direction", "forward")))
    if names is None:
        return "its direction is unknown"
    defaults = ACTIVATIONS[operator]
    wanted = [_text(each) for each in attributes.get("activations", [])] or [*defaults] * len(names)
    if len(wanted) != len(defaults) * len(names):
        return f"it names {len(wanted)} activations; {len(defaults) * len(names)} are needed"
    alphas, betas = attributes.get("activation_alpha", []), attributes.get("activation_beta", [])
    found = read_activations(wanted, alphas, betas)
    if isinstance(found, str):
        return found
    if operator == "RNN" and any(each.attributes for each in found):
        return f"its activation {found[0].operator} takes parameters, which the runtime reads in its own way"
    each_has = len(defaults)
    return tuple(
        Direction(index, name, found[index * each_has : (index + 1) * each_has]) for index, name in enumerate(names)
    )


def _text(found: str | bytes) -> str:
    return found.decode() if isinstance(found, bytes) else found
