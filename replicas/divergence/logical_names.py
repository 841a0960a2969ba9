"""Which tensor of the model a tensor of the optimised graph is, where layout or precision gave it another name.

The runtime keeps the names of the tensors that it still computes, with one exception: in the blocked layout of
convolutions (NCHWc) every tensor is called "reorder...", and only the node's name tells what the tensor was. This
follows onnxruntime's nchwc_transformer.cc: a node X_nchwc made the tensor X when it was converted; an addition (a
fourth input) and then an activation (an attribute) may have been fused into it later.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx

from replicas.graph_names import used_names
from replicas.graph_walk import graphs_at_any_depth, nodes_at_any_depth, standard_domain
from replicas.precision_fp64 import SUFFIX as FP64_SUFFIX

BLOCKED_DOMAIN = "com.microsoft.nchwc"
_CONVERTED = re.compile(r"^(?P<tensor>.+?)(_bn)?_nchwc(_token_\d+)?$")
_SUMS = ("Add", "Sum")
_INPUTS_WITH_A_SUMMAND = 4


@dataclass(frozen=True, slots=True)
class LogicalNames:
    """Names of one graph: for each tensor that the model calls otherwise, its name there.

    Args:
        names: by the name in the optimised graph.
        blocked: those in blocked layout, with how many channels they really have: what fills up a block is no part of
            the tensor. None where it could not be found out.
    """

    names: Mapping[str, str]
    blocked: Mapping[str, int | None]


class ModelNodes:
    """The nodes of the model as built, found by what they make and by what they read."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._makers: dict[str, onnx.NodeProto] = {}
        self._positions: dict[str, int] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._given = {each.name for graph in graphs_at_any_depth(proto) for each in graph.output}
        for position, located in enumerate(nodes_at_any_depth(proto), start=1):
            self._positions.update(dict.fromkeys(located.node.output, position))
            self._makers.update((name, located.node) for name in located.node.output if name)
            for name in located.node.input:
                self._readers.setdefault(name, []).append(located.node)

    def makes(self, tensor: str) -> bool:
        """Whether a node makes a tensor of that name."""
        return tensor in self._makers

    def position(self, tensor: str) -> int:
        """The place of the node that makes a tensor among all nodes, from 1; 0 where none does."""
        return self._positions.get(tensor, 0)

    def read_for(self, tensor: str, borders: Collection[str]) -> list[str]:
        """All that a tensor is made from, back to the borders, these left out; what is read first stands first."""
        seen: set[str] = set()
        ahead = [tensor]
        while ahead:
            name = ahead.pop()
            seen.add(name)
            if name in self._makers:
                ahead.extend(used_names([self._makers[name]]) - seen - set(borders))
        order = {name: number for number, name in enumerate(self._readers)}
        return sorted(seen, key=lambda name: order.get(name, len(order)))

    def before_identities(self, tensor: str) -> str:
        """The tensor that a chain of Identity nodes hands on under this name; its own name where there is none."""
        seen = {tensor}
        while tensor in self._makers and self._makers[tensor].op_type == "Identity":
            tensor = self._makers[tensor].input[0]
            if tensor in seen:
                break
            seen.add(tensor)
        return tensor

    def is_only_a_shape(self, tensor: str) -> bool:
        """Whether nothing reads a tensor but Reshape, as the shape to bring another into.

        Shapes may be written in several ways (-1 and 0 stand for what the reshaped tensor tells), and the optimiser
        writes them in its own: only what comes out of the Reshape says whether two mean the same.
        """
        readers = self._readers.get(tensor, [])
        return (
            bool(readers)
            and tensor not in self._given
            and all(node.op_type == "Reshape" and node.input[0] != tensor for node in readers)
        )

    def operator(self, tensor: str) -> str:
        """The operator that makes a tensor."""
        return self._makers[tensor].op_type

    def after(self, tensors: Iterable[str], operators: Iterable[str]) -> str | None:
        """What the one node of such an operator that reads all these tensors makes; None where there is no such one."""
        wanted, first, allowed = set(tensors), next(iter(tensors), ""), tuple(operators)
        found = {
            node.output[0]
            for node in self._readers.get(first, ())
            if node.op_type in allowed and wanted <= set(node.input)
        }
        return found.pop() if len(found) == 1 else None


def logical_names(graph: onnx.GraphProto, model: ModelNodes, channels: Mapping[str, int]) -> LogicalNames:
    """Read the names of one graph of an optimised model; its subgraphs are read on their own.

    Args:
        graph: as the runtime saved it.
        model: the nodes of the model as built.
        channels: of the tensors of the model, as far as they are known.
    """
    names: dict[str, str] = {}
    blocked: dict[str, int | None] = {}
    restored = {
        node.input[0]: node.output[0]
        for node in graph.node
        if node.domain == BLOCKED_DOMAIN and node.op_type == "ReorderOutput"
    }
    for node in graph.node:
        for tensor in node.output:
            base = tensor.removesuffix(FP64_SUFFIX)
            if base != tensor and model.makes(base) and not model.makes(tensor):
                names[tensor] = base
        if not _makes_blocked(node, blocked):
            continue
        tensor = node.output[0]
        found = restored.get(tensor) or _find(node, names, model)
        blocked[tensor] = channels.get(found or "")
        if found is not None and blocked[tensor] is not None:
            names[tensor] = found
    return LogicalNames(names, blocked)


def _makes_blocked(node: onnx.NodeProto, blocked: Mapping[str, int | None]) -> bool:
    if node.domain == BLOCKED_DOMAIN:
        return node.op_type != "ReorderOutput"
    # Elementwise nodes and Concat are left as they are and given blocked tensors.
    return standard_domain(node.domain) == "" and any(name in blocked for name in node.input)


def _find(node: onnx.NodeProto, names: Mapping[str, str], model: ModelNodes) -> str | None:
    if node.op_type == "ReorderInput":
        return str(node.input[0])
    if node.domain != BLOCKED_DOMAIN:
        return model.after([names.get(name, name) for name in node.input], [node.op_type])
    converted = _CONVERTED.match(node.name)
    tensor: str | None = converted["tensor"] if converted else None
    activation = next((each.s.decode() for each in node.attribute if each.name == "activation"), None)
    if tensor is None or not model.makes(tensor) or model.operator(tensor) == activation:
        return tensor
    if len(node.input) >= _INPUTS_WITH_A_SUMMAND and model.operator(tensor) not in _SUMS:
        tensor = model.after([tensor], _SUMS)
    return tensor if activation is None or tensor is None else model.after([tensor], [activation])
