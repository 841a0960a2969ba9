"""The first node at which two watched runs of one input differ.

An origin is a node whose inputs are bit-equal and an output is not. Where a profile fused nodes or rewrote them, the
tensors between are in one graph only; then the origin is a region: in each graph, all nodes between the last tensors
that both have, which are equal, and the first that both have and that differs. Tensors are matched by name. Names that
the runtime or a rewrite made up count only where the graphs are equal up to the stage that made them.

Numbers of different types, as fp64 against fp32, are compared after an exact widening, under the name of the model's
tensor and before any Cast back: a Cast would hide a difference that the next node computes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from replicas.differences import Difference, first_difference
from replicas.divergence.logical_names import ModelNodes
from replicas.divergence.places import NodeName, TensorKey, describe_nodes
from replicas.divergence.watch import Watch, Watched
from replicas.outputs import Outputs, Value, canonical, outputs_digest

__all__ = ["Divergence", "Unsaid", "first_divergence"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two runs part.

    Attributes:
        tensor: the first that differs though all it was made from is equal.
        nodes_a: what made it in the first run: one node, or all nodes of a region in order of execution; none where
            the optimiser had computed it beforehand.
        nodes_b: the same in the second run.
        weight: the weight that differs, where the profiles compute with different weights and `tensor` is made from
            it; then element and values are the weight's. None where it was the arithmetic.
        element: index of the first element that differs, in row-major order.
        index: the same as one number for each axis.
        values: exactly, as hex.
        ulps: representable numbers from one to the other, in the wider type of the two; 0 is the sign of a zero, None
            are values that are no finite floats.
        others: how many other origins there are, every other weight that differs among them.
        reaches_outputs: whether the outputs differ as well.
        steps_of: the wider type, where the two have different ones and `ulps` counts its numbers.
    """

    tensor: TensorKey
    nodes_a: tuple[NodeName, ...]
    nodes_b: tuple[NodeName, ...]
    weight: str | None
    element: int
    index: tuple[int, ...]
    values: tuple[str, str]
    ulps: int | None
    others: int
    reaches_outputs: bool
    steps_of: str | None = None

    @property
    def is_region(self) -> bool:
        """Whether one run has something else than one node there."""
        return len(self.nodes_a) != 1 or len(self.nodes_b) != 1

    @property
    def is_sign_of_zero(self) -> bool:
        """Whether the element is a zero in both runs, with another sign."""
        return self.ulps == 0

    def __str__(self) -> str:
        nodes = describe_nodes(self.nodes_a)
        if self.nodes_a != self.nodes_b:
            nodes += f" against {describe_nodes(self.nodes_b)}"
        where = f'tensor "{self.tensor}", made by {nodes}, element {self.element}'
        if self.weight is not None:
            where = f'weight "{self.weight}" differs, element {self.element}'
        return f"{where}: {self.values[0]} and {self.values[1]}{self._distance()}{self._rest()}"

    def _distance(self) -> str:
        kind = f" of {self.steps_of}" if self.steps_of is not None else ""
        match self.ulps:
            case None:
                return ""
            case 0:
                return ", which differ in the sign of zero"
            case 1:
                return f", 1 step{kind} apart"
            case _:
                return f", {self.ulps:,} steps{kind} apart"

    def _rest(self) -> str:
        others = f"; {self.others} other{'s' if self.others > 1 else ''}" if self.others else ""
        return others if self.reaches_outputs else f"{others}; the outputs are equal all the same"


@dataclass(frozen=True, slots=True)
class Unsaid:
    """Nothing can be said about where two runs part, and why."""

    reason: str


def first_divergence(a: Watched, b: Watched) -> Divergence | Unsaid | None:
    """Find the first origin, in the order of the model's nodes; None where no tensor differs.

    Raises:
        ValueError: the runs had different inputs.

    Example:
        >>> from onnx.parser import parse_model
        >>> from replicas.divergence.watch import watch
        >>> from replicas.model import Model
        >>> from replicas.profile import NumericProfile
        >>> text = '<ir_version: 9, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { t = Neg(x) y = Exp(t) }'
        >>> model = Model.from_bytes(parse_model(text).SerializeToString(), name="exp")
        >>> profiles = NumericProfile(), NumericProfile(precision="fp64")
        >>> found = first_divergence(*(watch(model, each, {"x": np.float32([1])}) for each in profiles))
        >>> print(found)
        tensor "y", made by Exp that makes "y" against Exp that makes "y.fp64", element 0: ...
    """
    if outputs_digest(Outputs.of(a.inputs)) != outputs_digest(Outputs.of(b.inputs)):
        raise ValueError(f"{a.subject} and {b.subject} were watched on different inputs")
    for watched in (a, b):
        if watched.unfaithful is not None:
            return Unsaid(f"{watched.subject}: {watched.unfaithful}")
    return _Comparison(a, b).first()


@dataclass(frozen=True, slots=True)
class _Region:
    """The nodes between a tensor and the last common tensors before it, by number in order of execution."""

    nodes: tuple[int, ...]
    borders: frozenset[TensorKey]


class _Graph:
    """The nodes of one run, found by what they made."""

    def __init__(self, watched: Watched) -> None:
        self._nodes = watched.nodes
        self._values = watched.values
        self._makers = {key: number for number, node in enumerate(watched.nodes) for key in node.outputs}

    def in_model_order(self, model: ModelNodes) -> list[TensorKey]:
        """What was given and made, nodes in the model's order as far as what they read allows.

        The runtime may execute nodes that do not depend on each other in another order than the model has them.
        """
        ranks = {key: model.position(key.name) for key in self._values if key not in self._makers}
        for node in self._nodes:
            before = (ranks.get(key, 0) for key in node.inputs)
            own = (model.position(key.name) for key in node.outputs)
            rank = max(*before, *own, 0, 0)  # never before what it reads
            ranks.update(dict.fromkeys(node.outputs, rank))
        return sorted(ranks, key=lambda key: ranks[key])

    def region(self, key: TensorKey, common: frozenset[TensorKey]) -> _Region:
        """Walk back from a tensor to the common ones."""
        nodes: set[int] = set()
        borders: set[TensorKey] = set()
        ahead = [key]
        while ahead:
            number = self._makers.get(ahead.pop())
            if number is None or number in nodes:
                continue
            nodes.add(number)
            for read in self._nodes[number].inputs:
                (borders.add if read in common else ahead.append)(read)
        return _Region(tuple(sorted(nodes)), frozenset(borders))

    def names(self, region: _Region) -> tuple[NodeName, ...]:
        return tuple(self._nodes[number].name for number in region.nodes)


@dataclass(frozen=True, slots=True)
class _Origin:
    tensor: TensorKey
    a: _Region
    b: _Region
    weight: str | None


class _Comparison:
    """Two faithful runs of one input."""

    def __init__(self, a: Watched, b: Watched) -> None:
        self._a, self._b = a, b
        self._graphs = _Graph(a), _Graph(b)
        names = _names_that_match(a, b)
        self._common = frozenset(key for key in a.values if key in b.values and key.name in names)
        self._are_equal = cache(self._is_equal)
        self._unlike_weights = _unlike_weights(a.watch, b.watch)
        self._model = a.watch.model_nodes
        self._common_names = frozenset(key.name for key in self._common)

    def first(self) -> Divergence | Unsaid | None:
        reaches_outputs = outputs_digest(self._a.outputs) != outputs_digest(self._b.outputs)
        origins = self._origins()
        if not origins:
            if not reaches_outputs:
                return None
            return Unsaid(f"the outputs of {self._a.subject} and {self._b.subject} differ, and no tensor before them")
        first, *others = origins
        mine, other = self._values_at(first)
        difference = _difference(mine, other)
        assert difference is not None, "an origin differs"
        shape = mine.shape if isinstance(mine, np.ndarray) and mine.size else (1,)
        index = np.unravel_index(difference.element, shape)
        return Divergence(
            tensor=first.tensor,
            nodes_a=self._graphs[0].names(first.a),
            nodes_b=self._graphs[1].names(first.b),
            weight=first.weight,
            element=difference.element,
            index=tuple(int(each) for each in index),
            values=(difference.values[0], difference.values[1]),
            ulps=difference.steps,
            others=len(others),
            reaches_outputs=reaches_outputs,
            steps_of=_wider_type(mine, other),
        )

    def _origins(self) -> list[_Origin]:
        """All origins in order; a region or a weight that shows in several tensors is one of them."""
        found: dict[object, _Origin] = {}
        for key in self._graphs[0].in_model_order(self._model):
            if key not in self._common or self._are_equal(key):
                continue
            a, b = (graph.region(key, self._common) for graph in self._graphs)
            weights = self._unlike_weights_of(key)
            for weight in weights:
                found.setdefault(weight, _Origin(key, a, b, weight))
            if not weights and all(self._are_equal(border) for border in a.borders | b.borders):
                found.setdefault((a.nodes, b.nodes), _Origin(key, a, b, None))
        return list(found.values())

    def _is_equal(self, key: TensorKey) -> bool:
        return self._model.is_only_a_shape(key.name) or _difference(self._a.values[key], self._b.values[key]) is None

    def _unlike_weights_of(self, key: TensorKey) -> list[str]:
        """The differing weights that the model makes a tensor from, the common tensors before it aside."""
        if not self._unlike_weights:
            return []
        return [name for name in self._model.read_for(key.name, self._common_names) if name in self._unlike_weights]

    def _values_at(self, origin: _Origin) -> tuple[Value, Value]:
        if origin.weight is not None:
            return self._unlike_weights[origin.weight]
        return self._a.values[origin.tensor], self._b.values[origin.tensor]


def _names_that_match(a: Watched, b: Watched) -> frozenset[str]:
    """The tensor names that mean the same in both graphs: those of the last stage up to which they are equal."""
    if _same_order(a, b):
        digests = {stage.digest for stage in b.watch.stages}
        for stage in a.watch.stages:
            if stage.digest in digests:
                return stage.names
    return a.watch.stages[-1].names & b.watch.stages[-1].names


def _same_order(a: Watched, b: Watched) -> bool:
    """Whether partial products stand in the same order: in another one, equal names mean other summands."""
    if a.order is None or b.order is None:
        return a.order is b.order
    return np.array_equal(a.order, b.order)


def _unlike_weights(a: Watch, b: Watch) -> Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    if a.weights_source == b.weights_source:
        return {}
    unlike = {}
    for name in a.weights.keys() & b.weights.keys():
        values = numpy_helper.to_array(a.weights[name]), numpy_helper.to_array(b.weights[name])
        if _difference(*values) is not None:
            unlike[name] = values
    return unlike


def _difference(mine: Value, other: Value) -> Difference | None:
    """How one tensor differs between two runs; None where it is equal to the last bit."""
    if isinstance(mine, np.ndarray) and isinstance(other, np.ndarray):
        mine, other = _widened(mine, other)
        if mine.dtype == other.dtype and mine.shape == other.shape and mine.tobytes() == other.tobytes():
            return None
    elif canonical(mine) == canonical(other):
        return None
    return first_difference([Outputs.of({"": mine}), Outputs.of({"": other})])


def _wider_type(mine: Value, other: Value) -> str | None:
    """The type in which two floats are compared; None where both have it."""
    if not isinstance(mine, np.ndarray) or not isinstance(other, np.ndarray) or mine.dtype == other.dtype:
        return None
    return str(_widened(mine, other)[0].dtype)


def _widened(mine: npt.NDArray[Any], other: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Bring floats of two types into the wider one, which holds both exactly."""
    if mine.dtype == other.dtype or {mine.dtype.kind, other.dtype.kind} != {"f"}:
        return mine, other
    wide = np.promote_types(mine.dtype, other.dtype)
    return mine.astype(wide), other.astype(wide)
