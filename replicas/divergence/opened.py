"""A graph with all its inner tensors made outputs, in the branches of If and the bodies of Loop and Scan too.

Tensors in blocked layout go through a ReorderOutput.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from replicas.divergence.handed_out import (
    PREFIX,
    SEQUENCES_IN_LOOPS_SINCE,
    as_scan_outputs,
    as_sequences,
    from_branches,
    sequence_of,
)
from replicas.divergence.logical_names import BLOCKED_DOMAIN, LogicalNames, ModelNodes, logical_names
from replicas.divergence.places import NodeName
from replicas.graph_names import fresh_name, names_in
from replicas.graph_walk import opset_versions, standard_domain, subgraphs
from replicas.profile import ProfileError
from replicas.runtime_types import ELEMENTS, runtime_types

BODIES: Mapping[str, tuple[str, ...]] = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
REPEATED = frozenset({"Loop", "Scan"})
INSIDE_REPEATED = "a Loop or Scan inside another"
"""Stands among operators for the permission to open the inner one too."""
SCAN_AS_IT_IS_SINCE = 9  # before, it had a batch axis
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
        anchor: what its graphs are found by in any form of the model: its first output, as the model's own node has
            it. Optimisation may lose a node's name, and call its output as an Identity behind it did.
        inputs: the tensors that it reads; "" for one left out.
        outputs: those that it makes.
        holds_graphs: whether it is an If, a Loop or the like.
        captured: those of the graphs around it that its own graphs read.
        scanned: how many of the inputs, the last, a Scan takes apart.
        bodies: its graphs by the name of the attribute; empty where it has none or none was opened.
    """

    name: NodeName
    anchor: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    holds_graphs: bool = False
    captured: tuple[str, ...] = ()
    scanned: int = 0
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
        operators: of "If", "Loop", "Scan" and `INSIDE_REPEATED` those whose graphs are opened too.

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
        self._opset = opset_versions(opened).get("", 1)
        self._operators = operators if self._opset >= SCAN_AS_IT_IS_SINCE else operators - {"Scan"}
        self._taken = names_in(opened.graph)
        self._types: dict[str, str] = {}
        self._repeated_around = 0

    def open(self) -> OpenedModel:
        graph = self._opened.graph
        inside = any(_opens(node, self._operators) for node in graph.node)
        types = runtime_types(self._opened) if inside else None
        as_they_are = {each.name: each.name for each in graph.output}
        opened = self._graph(graph, types, as_they_are, {}, self._operators)
        return OpenedModel(bytes(self._opened.SerializeToString()), opened)

    def _graph(
        self,
        graph: onnx.GraphProto,
        types: Mapping[str, str] | None,
        as_they_are: Mapping[str, str],
        around: Mapping[str, onnx.TensorProto],
        operators: frozenset[str],
    ) -> OpenedGraph:
        """Open one graph.

        Args:
            graph: changed in place.
            types: of its tensors and of all around it; None where nothing inside is opened, which needs none.
            as_they_are: the fetches that need no further output.
            around: the constants of the graphs around it.
            operators: whose graphs are opened.
        """
        known = logical_names(graph, self._model, self._channels)
        inputs, outputs = tuple(each.name for each in graph.input), tuple(each.name for each in graph.output)
        constants = {**around, **{tensor.name: tensor for tensor in graph.initializer}}
        fetches = dict(as_they_are)
        nodes = []
        for node in list(graph.node):
            nodes.append(self._node(node, graph, types, constants, operators))
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
        self,
        node: onnx.NodeProto,
        graph: onnx.GraphProto,
        types: Mapping[str, str] | None,
        constants: Mapping[str, onnx.TensorProto],
        operators: frozenset[str],
    ) -> OpenedNode:
        name, inputs, outputs = NodeName.of(node), tuple(node.input), tuple(node.output)
        graphs = tuple(subgraphs(node))
        captured = sorted(set[str]().union(*map(_captured, graphs)))
        bodies: dict[str, OpenedBody] = {}
        if types is not None and _opens(node, operators):
            bodies = self._bodies(node, types, constants, operators)
            self._hand_out(node, graph, bodies)
        made = next((each for each in outputs if each), name.name)
        anchor = self._model.before_identities(made)
        scanned = next((each.i for each in node.attribute if each.name == "num_scan_inputs"), 0)
        return OpenedNode(name, anchor, inputs, outputs, bool(graphs), tuple(captured), scanned, bodies)

    def _bodies(
        self,
        node: onnx.NodeProto,
        types: Mapping[str, str],
        constants: Mapping[str, onnx.TensorProto],
        operators: frozenset[str],
    ) -> dict[str, OpenedBody]:
        bodies: dict[str, OpenedBody] = {}
        is_repeated = node.op_type in REPEATED
        if is_repeated and INSIDE_REPEATED not in operators:
            operators = operators - REPEATED
        self._repeated_around += is_repeated
        for branch, graph in _graphs(node).items():
            given = len(graph.output)
            inner = self._inner_types(graph, types, constants)
            opened = self._graph(graph, {**types, **inner}, {}, constants, operators)
            added = [each.name for each in list(graph.output)[given:]]
            bodies[branch] = OpenedBody(opened, {name: fresh_name(PREFIX, self._taken) for name in added})
        self._repeated_around -= is_repeated
        return bodies

    def _hand_out(self, node: onnx.NodeProto, around: onnx.GraphProto, bodies: Mapping[str, OpenedBody]) -> None:
        graphs = _graphs(node)
        # A sequence cannot hold sequences: what an inner Loop makes leaves it stacked.
        is_outermost = not self._repeated_around
        in_sequences = node.op_type == "Loop" and is_outermost and self._opset >= SEQUENCES_IN_LOOPS_SINCE
        for body in bodies.values():
            for inner, outer in body.held_by.items():
                self._types[outer] = sequence_of(self._types[inner]) if in_sequences else self._types[inner]
        if node.op_type == "If":
            branches = [(graphs[branch], body.held_by) for branch, body in bodies.items()]
            from_branches(node, branches, self._types, self._taken)
        elif in_sequences:
            as_sequences(node, around, graphs["body"], bodies["body"].held_by, self._types, self._taken)
        else:
            as_scan_outputs(node, bodies["body"].held_by)

    def _inner_types(
        self, graph: onnx.GraphProto, types: Mapping[str, str], constants: Mapping[str, onnx.TensorProto]
    ) -> dict[str, str]:
        """The types of the tensors in a branch or body: the runtime is shown it as a graph of its own."""
        alone = onnx.ModelProto(ir_version=self._opened.ir_version, opset_import=self._opened.opset_import, graph=graph)
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


def _graphs(node: onnx.NodeProto) -> dict[str, onnx.GraphProto]:
    return {each.name: each.g for each in node.attribute if each.name in BODIES[node.op_type]}


def closed_nodes(graph: OpenedGraph) -> Iterator[NodeName]:
    """The nodes whose graphs were not opened, at any depth."""
    for node in graph.nodes:
        if node.holds_graphs and not node.bodies:
            yield node.name
        for body in node.bodies.values():
            yield from closed_nodes(body.graph)
