"""Which values an input may take because of what the graph does with it: rows of a table to pick, known categories.

A value is followed forward from each input through operators that move elements about without changing them (Reshape,
Cast, Slice, ...) and through the addition of constants, to operators that use it as an index. What passes through
anything else is left unbounded. A table's size comes from shape inference with all input shapes settled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper, inliner, numpy_helper, shape_inference

from lastbit.inputs.index_uses import CATEGORY_ATTRIBUTES, INDEX_USES, MOVES, IndexUse
from replicas.graph_walk import describe_node, standard_domain, subgraphs


@dataclass(frozen=True, slots=True)
class Bound:
    """Integers that an input may hold, both ends included.

    Args:
        low, high: the ends.
        reason: for people: what bounds it.
    """

    low: int
    high: int
    reason: str


@dataclass(frozen=True, slots=True)
class Categories:
    """The only values that an input is known to have a meaning for: integers, or strings."""

    values: tuple[int, ...] | tuple[str, ...]
    reason: str


def find_bounds(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Bound | Categories]:
    """What bounds each input of a model; inputs that nothing bounds are left out.

    Args:
        proto: the model; it is changed.
        shapes: the settled shape of each input.
    """
    proto = inliner.inline_local_functions(proto) if proto.functions else proto
    graph = _Graph(_with_inferred_shapes(proto, shapes).graph)
    found = {name: graph.bound(name) for name in shapes}
    return {name: bound for name, bound in found.items() if bound is not None}


def _with_inferred_shapes(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        if value.name in shapes:
            tensor.shape.CopyFrom(helper.make_tensor_type_proto(tensor.elem_type, shapes[value.name]).tensor_type.shape)
    try:
        return shape_inference.infer_shapes(proto, data_prop=True)
    except (shape_inference.InferenceError, ValueError):
        # Shapes that contradict each other: the trial run says so with the runtime's words. ValueError: over 2 GiB.
        return proto


@dataclass(frozen=True, slots=True)
class _Trail:
    """A value that holds elements of an input, each plus a constant in low_shift..high_shift."""

    name: str
    low_shift: int = 0
    high_shift: int = 0


class _Graph:
    """A graph with its subgraphs, indexed by what consumes a value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._consumers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        self._shapes: dict[str, tuple[int | None, ...]] = {}
        self._constants: dict[str, onnx.TensorProto] = {}
        self._add(graph)

    def _add(self, graph: onnx.GraphProto) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                self._shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
        for tensor in graph.initializer:
            self._constants[tensor.name] = tensor
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self._constants[node.output[0]] = node.attribute[0].t
            for position, name in enumerate(node.input):
                self._consumers.setdefault(name, []).append((node, position))
            for subgraph in subgraphs(node):
                self._add(subgraph)
        self._shapes.update({name: tuple(tensor.dims) for name, tensor in self._constants.items()})

    def bound(self, name: str) -> Bound | Categories | None:
        """The tightest of all bounds on the elements of a value."""
        bounds: list[Bound] = []
        for trail, node, position in self._uses(name):
            operator = standard_domain(node.domain), node.op_type
            if position == 0 and operator in CATEGORY_ATTRIBUTES and trail.low_shift == trail.high_shift == 0:
                values = _category_values(node, CATEGORY_ATTRIBUTES[operator])
                if values:
                    return Categories(values, f"known to {describe_node(node)}")
            use = INDEX_USES.get((*operator, position))
            rows = self._rows(node, use) if use else None
            if use and rows:
                reason = f'picks one of {rows} along "{node.input[use.table]}"' if use.table is not None else "a depth"
                bounds.append(Bound(-trail.low_shift, rows - 1 - trail.high_shift, reason))
        if not bounds:
            return None
        tightest = min(bounds, key=lambda bound: bound.high)
        return Bound(max(bound.low for bound in bounds), tightest.high, tightest.reason)

    def _uses(self, name: str) -> Iterator[tuple[_Trail, onnx.NodeProto, int]]:
        """Each place where elements of a value arrive, with the constants added on the way."""
        waiting, seen = [_Trail(name)], {_Trail(name)}
        while waiting:
            trail = waiting.pop()
            for node, position in self._consumers.get(trail.name, ()):
                yield trail, node, position
                for further in self._moved(trail, node, position):
                    if further not in seen:
                        seen.add(further)
                        waiting.append(further)

    def _moved(self, trail: _Trail, node: onnx.NodeProto, position: int) -> Iterator[_Trail]:
        """The outputs of a node that hold the elements that came in at `position`."""
        if standard_domain(node.domain) not in ("", "ai.onnx.ml"):
            return
        moves = MOVES.get(node.op_type)
        if moves is not None and (moves == "all" or position in moves):
            yield from (_Trail(output, trail.low_shift, trail.high_shift) for output in node.output)
        if node.op_type == "Add" or (node.op_type == "Sub" and position == 0):
            added = self._constants.get(node.input[1 - position])
            if added is not None and added.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
                values = numpy_helper.to_array(added) * (1 if node.op_type == "Add" else -1)
                if values.size:
                    yield _Trail(
                        node.output[0], trail.low_shift + int(values.min()), trail.high_shift + int(values.max())
                    )

    def _rows(self, node: onnx.NodeProto, use: IndexUse) -> int | None:
        """How many rows an index may pick from, where that is known and not none."""
        if use.table is None:
            depth = self._constants.get(node.input[1])
            return int(numpy_helper.to_array(depth).reshape(-1)[0]) if depth is not None else None
        table = self._shapes.get(node.input[use.table]) if use.table < len(node.input) else None
        if not table:
            return None
        if use.axis == "last of indices":
            indices = self._shapes.get(node.input[1])
            batch = _attribute(node, "batch_dims", 0)
            picked = table[batch : batch + (indices[-1] or 0)] if indices else ()
            sizes = [size for size in picked if size is not None]
            return min(sizes) if sizes and len(sizes) == len(picked) else None
        axis = _attribute(node, use.axis, use.default) if isinstance(use.axis, str) else use.axis
        size = table[axis] if -len(table) <= axis < len(table) else None
        return None if size is None else size + use.beyond or None


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((each.i for each in node.attribute if each.name == name), default)


def _category_values(node: onnx.NodeProto, names: tuple[str, ...]) -> tuple[int, ...] | tuple[str, ...]:
    for each in node.attribute:
        if each.name in names and each.ints:
            return tuple(each.ints)
        if each.name in names and each.strings:
            return tuple(text.decode() for text in each.strings)
    return ()
