"""What a run of a model costs, counted from its graph: simulated compute time never comes from a stopwatch.

Units: a multiply-add is two operations, a comparison in a tree one, and every other node one for each element that
it makes. Dimensions that stay unknown count as 1, a tensor of unknown rank as many elements as the largest input of
its node. Of the branches of an If the dearer counts; a Loop counts as often as it says, or once where that is
computed; a Scan counts for each step of its sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import onnx
from onnx import inliner

from replicas.graph_walk import Position, describe_node, standard_domain, subgraphs
from replicas.model import Model
from replicas.product_costs import DIMENSION_DEFAULT, RULES, NodeShapes, size
from replicas.shape_facts import TensorFact
from replicas.shapes import GraphFacts, constants_of, infer_shapes_at_any_depth, tensor_fact
from replicas.tree_costs import TREE_OPERATORS, comparisons_per_row

NANOSECONDS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The cost of one node, with all that runs inside it.

    Args:
        place: what a message calls the node, without the nodes around it.
        multiply_adds: those of matrix products and convolutions alone.
        operations: all, multiply-adds counted twice; at least 1.
        inner: the nodes of each graph that it holds, each counted once.
        times: how often its graphs run.
    """

    place: str
    multiply_adds: int
    operations: int
    inner: tuple[tuple[NodeCost, ...], ...] = ()
    times: int = 1


def operations(model: Model, input_shapes: Mapping[str, Sequence[int]]) -> int:
    """Operations of one run of the model, at least 1.

    Args:
        model: the model as built; profiles change how numbers are rounded, not how much work is simulated.
        input_shapes: the concrete shape of each input; the graph's own for those left out.

    Example:
        >>> from onnx.parser import parse_model
        >>> text = '<ir_version: 9, opset_import: ["" : 17]> g (float[1, 4] x, float[4, 3] w) => (float[1, 3] y)'
        >>> model = Model.from_bytes(parse_model(text + "{ y = MatMul(x, w) }").SerializeToString(), name="product")
        >>> operations(model, {"x": (10, 4)})
        240
    """
    costs = node_costs(model.proto(), input_shapes)
    return max(sum(cost.operations for cost in costs), 1)


@lru_cache(maxsize=1024)  # asked for at each execution
def compute_ns(operations: int, operations_per_second: int | float) -> int:
    """Simulated time of so many operations, in whole nanoseconds, at least 1.

    Raises:
        ValueError: a count below 0 or a speed that is not positive.

    Example:
        >>> compute_ns(2_000_000, operations_per_second=1e9)
        2000000
    """
    if operations < 0:
        raise ValueError(f"operations: {operations} is no count; at least 0")
    if not operations_per_second > 0:
        raise ValueError(f"operations_per_second: {operations_per_second} is no speed; above 0")
    return max(round(operations * NANOSECONDS_PER_SECOND / operations_per_second), 1)


def node_costs(proto: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None) -> tuple[NodeCost, ...]:
    """The cost of each node of the main graph, in graph order.

    A model with functions of its own is counted with these put in place, so that its nodes are more than the file's.
    """
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    return _graph_costs(proto.graph, infer_shapes_at_any_depth(proto, input_shapes), around={}, scalars={})


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one node without graphs of its own adds to the multiply-adds of a whole model.

    Args:
        position: where it stands.
        place: what a message calls it, with the nodes around it.
        multiply_adds: of one run of it.
        counted: of one run of the model. Those of the branches of an If that count: none in a cheaper one.
    """

    position: Position
    place: str
    multiply_adds: int
    counted: int


def part_costs(costs: Sequence[NodeCost]) -> tuple[PartCost, ...]:
    """The nodes at any depth that hold no graph; together they count what the nodes of the main graph do."""
    return tuple(_parts(costs, (), "", 1))


def _parts(costs: Sequence[NodeCost], position: Position, around: str, times: int) -> Iterator[PartCost]:
    for number, cost in enumerate(costs):
        at, place = (*position, number), around + cost.place
        if not cost.inner:
            yield PartCost(at, place, cost.multiply_adds, times * cost.multiply_adds)
        sums = [sum(each.multiply_adds for each in graph) for graph in cost.inner]
        for index, graph in enumerate(cost.inner):
            within = times * cost.times if index == sums.index(max(sums)) else 0
            yield from _parts(graph, (*at, index), f"{place}, ", within)


def _graph_costs(
    graph: onnx.GraphProto, own: GraphFacts, around: Mapping[str, TensorFact], scalars: Mapping[str, int]
) -> tuple[NodeCost, ...]:
    """Cost the nodes in order. `scalars` are known whole numbers by name: the trip counts of loops are among them."""
    facts = {**around, **own.tensors}
    held = {tensor.name: tensor for tensor in graph.initializer}
    held.update((node.output[0], node.attribute[0].t) for node in constants_of(graph))
    facts.update((name, tensor_fact(tensor)) for name, tensor in held.items())
    scalars = {**scalars, **{name: _scalar(tensor) for name, tensor in held.items() if _is_whole_scalar(tensor)}}
    costs = []
    for node in graph.node:
        inner = [
            _graph_costs(each, own.inside(node)[index], facts, scalars) for index, each in enumerate(subgraphs(node))
        ]
        costs.append(_with_graphs(node, inner, facts, scalars) if inner else _node_cost(node, facts))
        made = _elements_made(node, facts)
        for output in node.output:
            if output not in facts or facts[output].shape is None:
                facts[output] = TensorFact(onnx.TensorProto.UNDEFINED, (made,))
    return tuple(costs)


def _with_graphs(
    node: onnx.NodeProto,
    inner: Sequence[tuple[NodeCost, ...]],
    facts: Mapping[str, TensorFact],
    scalars: Mapping[str, int],
) -> NodeCost:
    times = _repetitions(node, facts, scalars)
    multiply_adds = times * max(sum(cost.multiply_adds for cost in costs) for costs in inner)
    within = times * max(sum(cost.operations for cost in costs) for costs in inner)
    return NodeCost(describe_node(node), multiply_adds, max(within, 1), tuple(inner), times)


def _node_cost(node: onnx.NodeProto, facts: Mapping[str, TensorFact]) -> NodeCost:
    place = describe_node(node)
    domain = standard_domain(node.domain)
    shapes = NodeShapes(node, facts)
    if domain == "ai.onnx.ml" and node.op_type in TREE_OPERATORS:
        rows = shapes.input(0)[:1]
        return NodeCost(place, 0, max(size(rows) * comparisons_per_row(node), 1))
    rule = RULES.get((domain, node.op_type))
    if rule is None:
        return NodeCost(place, 0, max(_elements_made(node, facts), 1))
    multiply_adds = rule(shapes)
    return NodeCost(place, multiply_adds, max(2 * multiply_adds, 1))


def _repetitions(node: onnx.NodeProto, facts: Mapping[str, TensorFact], scalars: Mapping[str, int]) -> int:
    if node.op_type == "Loop":
        return scalars.get(node.input[0], DIMENSION_DEFAULT) if node.input else DIMENSION_DEFAULT
    if node.op_type == "Scan":
        sequences = next((each.i for each in node.attribute if each.name == "num_scan_inputs"), 1)
        fact = facts.get(node.input[-sequences]) if len(node.input) >= sequences > 0 else None
        # A fact without an element type is a guess at how many elements there are, and tells no steps.
        return size((fact.shape or ())[:1]) if fact and fact.element else DIMENSION_DEFAULT
    return 1


def _elements_made(node: onnx.NodeProto, facts: Mapping[str, TensorFact]) -> int:
    known = [facts[name].shape for name in node.output if name in facts]
    if any(shape is not None for shape in known):
        return sum(size(shape) for shape in known if shape is not None)
    return max((size(facts[name].shape or ()) for name in node.input if name in facts), default=DIMENSION_DEFAULT)


def _is_whole_scalar(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) and size(tuple(tensor.dims)) == 1


def _scalar(tensor: onnx.TensorProto) -> int:
    return int(onnx.numpy_helper.to_array(tensor).reshape(-1)[0])
