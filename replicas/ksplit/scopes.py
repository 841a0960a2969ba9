"""Every node of a model, with what is known of the tensors that it may read: its graph's own and those around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from replicas.graph_walk import Position, describe_node, subgraphs
from replicas.ksplit.constants import ConstantValues
from replicas.shape_facts import TensorFact
from replicas.shapes import GraphFacts, infer_shapes_at_any_depth


@dataclass(frozen=True, slots=True)
class ScopedNode:
    """A node and what is known around it.

    Args:
        node: the node itself, not a copy.
        position: where it stands.
        place: what messages call it, with the nodes around it.
        constants: what is fixed before a run.
        facts: shapes and element types, as far as known.
    """

    node: onnx.NodeProto
    position: Position
    place: str
    constants: ConstantValues
    facts: Mapping[str, TensorFact]


def scoped_nodes(proto: onnx.ModelProto) -> Iterator[ScopedNode]:
    """Every node of the main graph and of the graphs inside its nodes; a node comes before those inside it.

    Args:
        proto: the model, functions put in place; it must not change while this goes on.
    """
    facts = infer_shapes_at_any_depth(proto)
    yield from _nodes(proto.graph, facts, {}, ConstantValues(proto), position=(), around="")


def _nodes(
    graph: onnx.GraphProto,
    own: GraphFacts,
    around_facts: Mapping[str, TensorFact],
    constants: ConstantValues,
    *,
    position: Position,
    around: str,
) -> Iterator[ScopedNode]:
    facts = {**around_facts, **own.tensors}
    for number, node in enumerate(graph.node):
        at, place = (*position, number), around + describe_node(node)
        yield ScopedNode(node, at, place, constants, facts)
        for index, inner in enumerate(subgraphs(node)):
            path = f"{node.output[0]}/{index}"
            yield from _nodes(
                inner,
                own.inside(node)[index],
                facts,
                constants.inside(inner, path),
                position=(*at, index),
                around=f"{place}, ",
            )
