"""Put new nodes in the place of old ones, at any depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from replicas.graph_walk import Position, subgraphs


def put_in_place(
    graph: onnx.GraphProto, replaced: Mapping[Position, Sequence[onnx.NodeProto]], around: Position = ()
) -> None:
    """Replace nodes.

    Args:
        graph: changed, and so are the graphs inside its nodes.
        replaced: the new nodes, by where the old one stands.
        around: where the node stands that holds the graph, and which of its graphs it is; () for the main graph.
    """
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(graph.node):
        at = (*around, number)
        if at in replaced:
            nodes += replaced[at]
            continue
        for index, inner in enumerate(subgraphs(node)):
            put_in_place(inner, replaced, (*at, index))
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
