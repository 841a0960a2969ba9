"""The nodes that a run really executed, in order: the branch that was taken, a loop's body once for each iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from replicas.divergence.opened import OpenedBody, OpenedGraph, OpenedNode
from replicas.divergence.places import NodeName, Step, TensorKey
from replicas.outputs import Value

Place: TypeAlias = tuple[Step, ...]
Fetch: TypeAlias = Callable[[str], Value]

_COUNTERS = 2  # a Loop's own inputs: how often at most, and whether to begin


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """One node that ran.

    Args:
        name: for people, with its place.
        inputs: the tensors that its result depends on; of an If the branch's outputs too, of a Loop the iterations'.
        outputs: the tensors that it made.
    """

    name: NodeName
    inputs: tuple[TensorKey, ...]
    outputs: tuple[TensorKey, ...]


class Execution:
    """One run, put together from what it gave.

    Args:
        graph: the main graph.
        given: the tensors that are there before any node runs: inputs, and constants as far as they are wanted.
        fetched: each output of the opened graph.

    Attributes:
        nodes: those that ran, in order.
        values: the tensors that were given and made, in order.
    """

    def __init__(self, graph: OpenedGraph, given: Mapping[str, Value], fetched: Mapping[str, Value]) -> None:
        self.nodes: list[ExecutedNode] = []
        self.values: dict[TensorKey, Value] = {TensorKey(name): value for name, value in given.items()}
        self._made = set(self.values)
        self._run(graph, (), {name: TensorKey(name) for name in given}, fetched.get)

    def _run(self, graph: OpenedGraph, place: Place, scope: dict[str, TensorKey], fetch: Fetch) -> None:
        """Add the nodes of one graph; `scope` has the keys of what it can read, and gets those of what it makes."""
        for node in graph.nodes:
            inner = self._run_inside(node, place, scope, fetch)
            read = (*node.inputs, *(() if inner else node.captured))
            inputs = (*(scope[name] for name in read if name in scope), *inner)
            made = [name for name in node.outputs if name]
            scope.update((name, self._key(graph, name, place)) for name in made)
            outputs = tuple(scope[name] for name in made)
            self.nodes.append(ExecutedNode(replace(node.name, place=place), inputs, outputs))
            for name, key in zip(made, outputs, strict=True):
                value = fetch(graph.fetches[name]) if name in graph.fetches else None
                if value is not None:
                    self.values[key] = value

    def _key(self, graph: OpenedGraph, name: str, place: Place) -> TensorKey:
        key = TensorKey(graph.logical.get(name, name), place)
        if key in self._made:
            key = TensorKey(name, place, is_copy=True)
        self._made.add(key)
        return key

    def _run_inside(
        self, node: OpenedNode, place: Place, scope: dict[str, TensorKey], fetch: Fetch
    ) -> tuple[TensorKey, ...]:
        """Add what ran inside a node; give the keys of what its graphs gave."""
        if "body" in node.bodies:
            return self._run_loop(node, place, scope, fetch)
        condition = self.values.get(scope.get(node.inputs[0], TensorKey(""))) if node.bodies else None
        if condition is None:
            return ()
        branch = "then_branch" if np.asarray(condition).reshape(-1)[0] else "else_branch"
        body = node.bodies[branch]
        inner = dict(scope)
        inside = (*place, Step(node.anchor, branch))
        self._run(body.graph, inside, inner, _through(body, fetch))
        return _given(body, inside, inner)

    def _run_loop(
        self, node: OpenedNode, place: Place, scope: dict[str, TensorKey], fetch: Fetch
    ) -> tuple[TensorKey, ...]:
        body = node.bodies["body"]
        iterations = max((len(_turns(fetch(held))) for held in body.held_by.values()), default=0)
        own = 0 if node.name.op_type == "Scan" else _COUNTERS
        whole = len(node.inputs) - node.scanned
        carried = [scope.get(name, TensorKey(name, place)) for name in node.inputs[own:whole]]
        taken_apart = [scope.get(name, TensorKey(name, place)) for name in node.inputs[whole:]]
        gathered: list[TensorKey] = []
        for iteration in range(iterations):
            inside = (*place, Step(node.anchor, "body", iteration))
            counters = {name: TensorKey(name, inside) for name in body.graph.inputs[:own]}
            read = dict(zip(body.graph.inputs[own:], (*carried, *taken_apart), strict=True))
            inner = {**scope, **counters, **read}
            self._run(body.graph, inside, inner, _through(body, fetch, iteration))
            given = _given(body, inside, inner)[own and 1 :]  # a Loop's first says whether to go on
            carried, gathered = list(given[: len(carried)]), gathered + list(given[len(carried) :])
        return (*carried, *gathered) if iterations else ()


def _given(body: OpenedBody, place: Place, scope: Mapping[str, TensorKey]) -> tuple[TensorKey, ...]:
    return tuple(scope.get(name, TensorKey(name, place)) for name in body.graph.outputs)


def _through(body: OpenedBody, fetch: Fetch, iteration: int | None = None) -> Fetch:
    """Fetch what a branch or body made through the outputs of the node around it."""

    def fetch_inner(held: str) -> Value:
        value = fetch(body.held_by[held]) if held in body.held_by else None
        return value if iteration is None or value is None else np.asarray(_turns(value)[iteration])

    return fetch_inner


def _turns(value: Value) -> Sequence[Value]:
    """What a Loop or Scan handed out of one tensor, iteration by iteration."""
    assert isinstance(value, list | np.ndarray), "a sequence or a scan output"
    return value  # type: ignore[return-value]  # an array is a sequence of its rows
