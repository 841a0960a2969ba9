"""A graph with all its inner tensors made outputs, in the branches of If and the bodies of Loop too.

A branch gets an output for each tensor of the other one as well, empty, since the two must have equally many. A tensor
inside a Loop comes out once an iteration, as a scan output. Tensors in blocked layout go through a ReorderOutput.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from replicas.divergence.logical_names import BLOCKED_DOMAIN, LogicalNames, ModelNodes, logical_names
from replicas.divergence.places import NodeName
from replicas.graph_names import fresh_name, names_in
from replicas.graph_walk import standard_domain, subgraphs
from replicas.profile import ProfileError
from replicas.runtime_types import ELEMENTS, runtime_types

PREFIX = "lastbit.watched"
BODIES: Mapping[str, tuple[str, ...]] = {"If": ("then_branch", "else_branch"), "Loop": ("body",)}
# What NumPy has no type for cannot be handed out; the comparison goes on behind it.
FETCHABLE = frozenset(
    f"tensor({name})"
    for name in (
        *("float", "double", "float16", "bool", "string"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
)


@dataclass(frozen=True, slots=True)
class OpenedBody:
    """A branch or a body.

    Args:
        graph: what is in it.
        held_by: for each output added to it, the output of the If or Loop in which it leaves.
    """

    graph: OpenedGraph
    held_by: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenedNode:
    """A node as it was before outputs were added, and its graphs as they are opened.

    Args:
        name: for people.
        inputs: the tensors that it reads; "" for one left out.
        outputs: those that it makes.
        captured: those of the graphs around it that its own graphs read.
        bodies: its graphs by the name of the attribute; empty where it has none or none was opened.
    """

    name: NodeName
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captured: tuple[str, ...] = ()
    bodies: Mapping[str, OpenedBody] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedGraph:
    """A graph in which every tensor can be fetched.

    Args:
        nodes: in the order of execution.
        inputs: what it is given.
        outputs: what it gave before outputs were added.
        fetches: for each tensor made in it, the output that holds it.
        logical: what the model calls those tensors that have another name here.
    """

    nodes: tuple[OpenedNode, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fetches: Mapping[str, str]
    logical: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model that hands out its inner tensors.

    Args:
        content: serialised.
        graph: what is in it.
    """

    content: bytes
    graph: OpenedGraph


def open_graph(
    optimised: onnx.ModelProto, model: ModelNodes, channels: Mapping[str, int], operators: frozenset[str]
) -> OpenedModel:
    """Make every tensor of an optimised graph an output.

    Args:
        optimised: as the runtime saved it; not changed.
        model: the nodes of the model as built, which tell what blocked tensors are.
        channels: of the tensors of the model, as far as they are known.
        operators: "If", "Loop" or both: those whose graphs are opened too.

    Raises:
        ProfileError: the runtime states no types for what is inside.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(optimised)
    return _Opener(opened, model, channels, operators).open()


class _Opener:
    """Opens the graphs of one model in place."""

    def __init__(
        self, opened: onnx.ModelProto, model: ModelNodes, channels: Mapping[str, int], operators: frozenset[str]
    ) -> None:
        self._opened = opened
        self._model = model
        self._channels = channels
        self._operators = operators
        self._taken = names_in(opened.graph)
        self._types: dict[str, str] = {}

    def open(self) -> OpenedModel:
        graph = self._opened.graph
        inside = any(_opens(node, self._operators) for node in graph.node)
        types = runtime_types(self._opened) if inside else None
        opened = self._graph(graph, types, dict.fromkeys(each.name for each in graph.output), {})
        return OpenedModel(bytes(self._opened.SerializeToString()), opened)

    def _graph(
        self,
        graph: onnx.GraphProto,
        types: Mapping[str, str] | None,
        fetchable_as_they_are: Iterable[str],
        around: Mapping[str, onnx.TensorProto],
    ) -> OpenedGraph:
        """Open one graph. `types` are those of its tensors and of all around it, where they are needed."""
        known = logical_names(graph, self._model, self._channels)
        inputs, outputs = tuple(each.name for each in graph.input), tuple(each.name for each in graph.output)
        constants = {**around, **{tensor.name: tensor for tensor in graph.initializer}}
        fetches = {name: name for name in fetchable_as_they_are}
        nodes = []
        for node in list(graph.node):
            nodes.append(self._node(node, types, constants))
            for body in nodes[-1].bodies.values():
                graph.output.extend(onnx.ValueInfoProto(name=name) for name in body.held_by.values())
            for tensor in nodes[-1].outputs:
                if tensor and tensor not in fetches and (types is None or types.get(tensor) in FETCHABLE):
                    held = self._output(graph, tensor, known, outputs)
                    if held is not None:
                        fetches[tensor] = held
                        self._types[held] = "" if types is None else types[tensor]
        return OpenedGraph(tuple(nodes), inputs, outputs, fetches, known.names)

    def _output(self, graph: onnx.GraphProto, tensor: str, known: LogicalNames, outputs: tuple[str, ...]) -> str | None:
        """Add an output that holds a tensor, and give its name; None where its layout cannot be undone."""
        held = tensor
        if tensor in known.blocked:
            channels = known.blocked[tensor]
            if channels is None:
                return None
            held = fresh_name(PREFIX, self._taken)
            undo = helper.make_node("ReorderOutput", [tensor], [held], domain=BLOCKED_DOMAIN, channels=channels)
            graph.node.append(undo)
        elif tensor in outputs:
            held = fresh_name(PREFIX, self._taken)
            graph.node.append(helper.make_node("Identity", [tensor], [held]))
        graph.output.append(onnx.ValueInfoProto(name=held))
        return held

    def _node(
        self, node: onnx.NodeProto, types: Mapping[str, str] | None, constants: Mapping[str, onnx.TensorProto]
    ) -> OpenedNode:
        inputs, outputs = tuple(node.input), tuple(node.output)
        inner: set[str] = set()
        for graph in subgraphs(node):
            inner |= _captured(graph)
        bodies: dict[str, OpenedBody] = {}
        if types is not None and _opens(node, self._operators):
            bodies = self._bodies(node, types, constants)
        return OpenedNode(NodeName.of(_named(node, outputs)), inputs, outputs, tuple(sorted(inner)), bodies)

    def _bodies(
        self, node: onnx.NodeProto, types: Mapping[str, str], constants: Mapping[str, onnx.TensorProto]
    ) -> dict[str, OpenedBody]:
        graphs = {each.name: each.g for each in node.attribute if each.name in BODIES[node.op_type]}
        bodies: dict[str, OpenedBody] = {}
        for branch, graph in graphs.items():
            given = len(graph.output)
            inner = self._inner_types(graph, types, constants)
            opened = self._graph(graph, {**types, **inner}, (), constants)
            added = [each.name for each in list(graph.output)[given:]]
            held_by = {name: fresh_name(PREFIX, self._taken) for name in added}
            self._types.update((outer, self._types[name]) for name, outer in held_by.items())
            bodies[branch] = OpenedBody(opened, held_by)
        all_held = [body.held_by for body in bodies.values()]
        for branch, graph in graphs.items():
            self._fill_up(graph, all_held, bodies[branch].held_by)
        node.output.extend(name for held_by in all_held for name in held_by.values())
        return bodies

    def _fill_up(self, graph: onnx.GraphProto, all_held: list[Mapping[str, str]], own: Mapping[str, str]) -> None:
        """Put the outputs of a branch in the order of the node's, with empty ones where they are another branch's."""
        given = list(graph.output)[: len(graph.output) - len(own)]
        names: list[str] = []
        for held_by in all_held:
            for inner, outer in held_by.items():
                names.append(inner if held_by is own else self._empty(graph, self._types[outer]))
        del graph.output[:]
        graph.output.extend(given)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)

    def _empty(self, graph: onnx.GraphProto, kind: str) -> str:
        name = fresh_name(PREFIX, self._taken)
        nothing = helper.make_tensor(name, ELEMENTS[kind], [0], [])
        graph.node.append(helper.make_node("Constant", [], [name], value=nothing))
        return name

    def _inner_types(
        self, graph: onnx.GraphProto, types: Mapping[str, str], constants: Mapping[str, onnx.TensorProto]
    ) -> dict[str, str]:
        """The types of the tensors in a branch or body: the runtime is shown it as a graph of its own."""
        alone = onnx.ModelProto()
        alone.CopyFrom(self._opened)
        alone.graph.CopyFrom(graph)
        for name in sorted(_captured(graph)):
            if name in constants:
                alone.graph.initializer.append(constants[name])
            elif types.get(name) in ELEMENTS:
                value = onnx.ValueInfoProto(name=name)
                value.type.tensor_type.elem_type = ELEMENTS[types[name]]
                alone.graph.input.append(value)
            else:
                raise ProfileError((f'the type of "{name}" is unknown, which a graph of {graph.name} reads',))
        return runtime_types(alone)


def _opens(node: onnx.NodeProto, operators: frozenset[str]) -> bool:
    return standard_domain(node.domain) == "" and node.op_type in operators


def _captured(graph: onnx.GraphProto) -> set[str]:
    """The names that a graph, or one inside it, reads from around itself."""
    made = {name for node in graph.node for name in node.output}
    made.update(each.name for each in (*graph.input, *graph.initializer))
    read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    for node in graph.node:
        for inner in subgraphs(node):
            read |= _captured(inner)
    return read - made - {""}


def _named(node: onnx.NodeProto, outputs: tuple[str, ...]) -> onnx.NodeProto:
    return onnx.NodeProto(name=node.name, op_type=node.op_type, domain=node.domain, output=outputs)


def control_flow(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes that hold graphs, at any depth."""
    for node in graph.node:
        for index, inner in enumerate(subgraphs(node)):
            if index == 0:
                yield node
            yield from control_flow(inner)
