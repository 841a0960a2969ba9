"""Operators that hold products inside, opened into plain operators before the products of a graph are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import inliner

from replicas.graph_names import names_in
from replicas.graph_walk import Position, nodes_at_any_depth, standard_domain, standard_opset
from replicas.ksplit.einsums import MatrixEinsum, find_matrix_einsum, write_matrix_einsum
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.placing import put_in_place
from replicas.ksplit.recurrent import RecurrentLayer, find_recurrent_layer, write_layer
from replicas.ksplit.scopes import scoped_nodes


@dataclass(frozen=True, slots=True)
class Opened:
    """A model whose operators are opened.

    Args:
        proto: the model.
        left: operators that stay closed, each with the reason.
    """

    proto: onnx.ModelProto
    left: tuple[tuple[str, str], ...]


def open_operators(proto: onnx.ModelProto, k_min: int) -> Opened:
    """Open Attention, Einsums that are matrix products, and recurrent operators that can be opened exactly.

    At any depth. The tensors that they make keep their names.

    Args:
        proto: the model, functions put in place; not changed.
        k_min: an operator whose products all have fewer elements along K stays closed.
    """
    model = _with_attention_written_out(proto)
    opset, taken = standard_opset(model), names_in(model.graph)
    written: dict[Position, NodeWriter] = {}
    left = []
    for at in scoped_nodes(model):
        layer = find_recurrent_layer(at.node, at.facts, opset=opset, k_min=k_min)
        einsum = find_matrix_einsum(at.node, at.facts, k_min)
        if isinstance(layer, RecurrentLayer):
            written[at.position] = write_layer(layer, opset=opset, taken=taken)
        elif isinstance(einsum, MatrixEinsum):
            written[at.position] = write_matrix_einsum(einsum, opset=opset, taken=taken)
        elif (reason := layer or einsum) is not None:
            left.append((at.place, reason))
    put_in_place(model.graph, {at: writer.nodes for at, writer in written.items()})
    for writer in written.values():
        model.graph.initializer.extend(writer.initializers)
    return Opened(model, tuple(left))


def _with_attention_written_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which ONNX's own definition of Attention, which is a function, stands in the place of each."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    nodes = (located.node for located in nodes_at_any_depth(model))
    if any(node.op_type == "Attention" and standard_domain(node.domain) == "" for node in nodes):
        model = inliner.inline_selected_functions(model, [("", "Attention")], inline_schema_functions=True)
    return model
