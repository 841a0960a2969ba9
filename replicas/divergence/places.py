"""What a watched run calls its tensors and nodes: by name, and inside a branch or a loop by the way there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from replicas.graph_walk import standard_domain


@dataclass(frozen=True, slots=True)
class Step:
    """One step into a node that holds graphs.

    Args:
        node: the first output of the If or Loop in the model: optimisation may lose the node's own name.
        branch: "then_branch", "else_branch" or "body".
        iteration: of a Loop, from 0; None for a branch.
    """

    node: str
    branch: str
    iteration: int | None = None

    def __str__(self) -> str:
        turn = "" if self.iteration is None else f"[{self.iteration}]"
        return f"{self.node}/{self.branch}{turn}"


@dataclass(frozen=True, slots=True)
class TensorKey:
    """One tensor of one run.

    Args:
        name: what the model calls it; what the optimised graph does, where the model knows no such tensor.
        place: the way to the graph that makes it; () for the main graph.
        is_copy: the same numbers came earlier under this name, in another layout or type: before a ReorderOutput or a
            Cast back.
    """

    name: str
    place: tuple[Step, ...] = ()
    is_copy: bool = False

    def __str__(self) -> str:
        return "/".join((*map(str, self.place), self.name))


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node, as a report names it.

    Args:
        name: its own, or what messages call a node without one: "Relu that makes "y"".
        op_type: its operator.
        domain: of the operator; "" is the standard one.
        place: the way to the graph that holds it.
    """

    name: str
    op_type: str
    domain: str = ""
    place: tuple[Step, ...] = ()

    @classmethod
    def of(cls, node: onnx.NodeProto) -> NodeName:
        """Read the name of a node of the main graph."""
        made = ", ".join(f'"{each}"' for each in node.output if each)
        own = node.name or (f"{node.op_type} that makes {made}" if made else f"{node.op_type} without a name")
        return cls(own, node.op_type, standard_domain(node.domain))

    @property
    def operator(self) -> str:
        """The operator with its domain, where that is not the standard one."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def __str__(self) -> str:
        own = self.name if self.name.startswith(f"{self.op_type} ") else f'{self.operator} "{self.name}"'
        return f"{own} in {'/'.join(map(str, self.place))}" if self.place else own


def describe_nodes(nodes: Iterable[NodeName]) -> str:
    """Name the nodes of a region: one in full, several by operator, none as what the optimiser made of them.

    Example:
        >>> describe_nodes([NodeName("fc1", "Gemm"), NodeName("act", "Relu"), NodeName("fc2", "Gemm")])
        '3 nodes (Gemm, Relu)'
    """
    nodes = tuple(nodes)
    if not nodes:
        return "a constant (folded)"
    if len(nodes) == 1:
        return str(nodes[0])
    return f"{len(nodes)} nodes ({', '.join(dict.fromkeys(node.operator for node in nodes))})"
