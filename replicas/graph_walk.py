"""Walk every node and every tensor of a model: the graph, subgraphs of If, Loop and Scan, and local functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import onnx

Position: TypeAlias = tuple[int, ...]
"""Where a node stands: its number in the main graph; then, for each graph on the way down, which of the graphs of that
node it is, and the number of the next node in it."""


@dataclass(frozen=True, slots=True)
class LocatedNode:
    """A node and where it stands.

    Args:
        node: the node itself, not a copy.
        place: for people: its name, or its operator and first output, with the graphs around it.
        constants: initializers and Constant nodes' tensors that are in scope, by name.
    """

    node: onnx.NodeProto
    place: str
    constants: Mapping[str, onnx.TensorProto]


def nodes_at_any_depth(proto: onnx.ModelProto) -> Iterator[LocatedNode]:
    """Every node of the main graph, of all subgraphs, and of all functions defined in the model."""
    yield from _nodes(proto.graph.node, proto.graph.initializer, around="", scope={})
    for function in proto.functions:
        yield from _nodes(function.node, (), around=f'function "{function.domain}::{function.name}", ', scope={})


def _nodes(
    nodes: Iterable[onnx.NodeProto],
    initializers: Iterable[onnx.TensorProto],
    around: str,
    scope: Mapping[str, onnx.TensorProto],
) -> Iterator[LocatedNode]:
    nodes = list(nodes)
    constants = dict(scope)
    constants.update((tensor.name, tensor) for tensor in initializers)
    constants.update((node.output[0], node.attribute[0].t) for node in nodes if is_plain_constant(node))
    for node in nodes:
        place = around + describe_node(node)
        yield LocatedNode(node=node, place=place, constants=constants)
        for subgraph in subgraphs(node):
            yield from _nodes(subgraph.node, subgraph.initializer, around=f"{place}, ", scope=constants)


def is_plain_constant(node: onnx.NodeProto) -> bool:
    """Whether a node is a Constant that holds one tensor."""
    return (
        node.op_type == "Constant"
        and len(node.output) == 1
        and len(node.attribute) == 1
        and node.attribute[0].name == "value"
        and node.attribute[0].HasField("t")
    )


def describe_node(node: onnx.NodeProto) -> str:
    """What a message calls a node: its name where it has one, else its operator and first output.

    Example:
        >>> describe_node(onnx.helper.make_node("Relu", ["x"], ["y"]))
        'Relu that makes "y"'
    """
    if node.name:
        return f'{node.op_type} "{node.name}"'
    return f'{node.op_type} that makes "{node.output[0]}"' if node.output else f"{node.op_type} without a name"


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node holds as attributes: the branches of If, the bodies of Loop and Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def graphs_at_any_depth(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every subgraph, those of functions too."""
    yield proto.graph
    for located in nodes_at_any_depth(proto):
        yield from subgraphs(located.node)


def tensors_at_any_depth(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model holds: initializers, sparse ones, and attributes of nodes, at any depth."""
    yield from _graph_tensors(proto.graph)
    for training in proto.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)
    for function in proto.functions:
        for node in function.node:
            yield from _attribute_tensors(node.attribute)
        yield from _attribute_tensors(function.attribute_proto)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for sparse in attribute.sparse_tensors:
            yield from (sparse.values, sparse.indices)
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def weights_at_any_depth(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Initializers and the tensors of Constant nodes, with the names that the graphs know them by, at any depth."""
    yield from _graph_weights(proto.graph)
    for function in proto.functions:
        yield from _node_weights(function.node)


def _graph_weights(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    yield from ((sparse.values.name, sparse.values) for sparse in graph.sparse_initializer)
    yield from _node_weights(graph.node)


def _node_weights(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        if is_plain_constant(node):
            yield node.output[0], node.attribute[0].t
        for subgraph in subgraphs(node):
            yield from _graph_weights(subgraph)


def opset_versions(proto: onnx.ModelProto) -> dict[str, int]:
    """The operator set versions that the model imports, by domain; the standard domain is ""."""
    return {standard_domain(each.domain): each.version for each in proto.opset_import}


def standard_opset(proto: onnx.ModelProto) -> int:
    """The version of the standard operator set; the newest for a model without it, in which nothing can be too old."""
    return opset_versions(proto).get("", onnx.defs.onnx_opset_version())


def standard_domain(domain: str) -> str:
    """One spelling for the standard domain, which files write as "" or "ai.onnx"."""
    return "" if domain == "ai.onnx" else domain
