"""Names that a graph uses at any depth, new ones that it does not, and what nothing uses any more."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from replicas.graph_walk import subgraphs


def names_in(graph: onnx.GraphProto) -> set[str]:
    """Every tensor name that occurs in a graph or in its subgraphs."""
    names = {each.name for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
    names.update(sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        names.update((*node.input, *node.output))
        for subgraph in subgraphs(node):
            names |= names_in(subgraph)
    return names


def used_names(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names that nodes read, in their subgraphs too."""
    used: set[str] = set()
    for node in nodes:
        used.update(node.input)
        for subgraph in subgraphs(node):
            used |= used_names(subgraph.node)
            used.update(each.name for each in subgraph.output)
    return used


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initializers that no output needs, in subgraphs too: a split weight would else be kept twice.

    An initializer that is listed as an input as well goes from both, or a run would have to supply it.
    """
    needed = {each.name for each in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            for subgraph in subgraphs(node):
                drop_unused(subgraph)
            kept.append(node)
            needed |= used_names([node])
    dropped = {tensor.name for tensor in graph.initializer if tensor.name not in needed}
    initializers = [tensor for tensor in graph.initializer if tensor.name not in dropped]
    inputs = [value for value in graph.input if value.name not in dropped]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(initializers)
    graph.input.extend(inputs)


def fresh_name(wanted: str, taken: set[str]) -> str:
    """A name that is not among those taken, which it then joins.

    Numbers are searched by halves: a graph opened for watching takes thousands of one name.

    Example:
        >>> fresh_name("y", {"x", "y"})
        'y.2'
    """
    used, free = 0, 1
    while _numbered(wanted, free) in taken:
        used, free = free, 2 * free
    while free - used > 1:
        middle = (used + free) // 2
        if _numbered(wanted, middle) in taken:
            used = middle
        else:
            free = middle
    name = _numbered(wanted, free)
    taken.add(name)
    return name


def _numbered(wanted: str, number: int) -> str:
    return wanted if number == 1 else f"{wanted}.{number}"
