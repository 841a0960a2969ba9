"""Operators that hold products inside, opened into plain operators before the products of a graph are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from replicas.graph_names import names_in
from replicas.graph_walk import opset_versions
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
    """Open every recurrent operator, at any depth, that can be opened exactly.

    Args:
        proto: the model, functions put in place; not changed.
        k_min: an operator whose products all have fewer elements along K stays closed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    opset = opset_versions(model).get("", 1)
    found = [(at, find_recurrent_layer(at.node, at.facts, opset=opset, k_min=k_min)) for at in scoped_nodes(model)]
    layers = {at.position: layer for at, layer in found if isinstance(layer, RecurrentLayer)}
    taken = names_in(model.graph)
    written = {at: write_layer(layer, opset=opset, taken=taken) for at, layer in layers.items()}
    put_in_place(model.graph, {at: writer.nodes for at, writer in written.items()})
    for writer in written.values():
        model.graph.initializer.extend(writer.initializers)
    return Opened(model, tuple((at.place, reason) for at, reason in found if isinstance(reason, str)))
