"""Which convolutions can be rewritten along their input channels, and what exactly each of them computes.

A convolution is a product too: each output is a sum over the input channels of its group and the places of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.constants import Array, ConstantValues


@dataclass(frozen=True, slots=True)
class Convolution:
    """One Conv with constant weights.

    Args:
        node: the node that it stands for.
        operand: name of what is convolved: batch, channels, places.
        weight: output channels, input channels of a group, places of the kernel.
        groups: how many groups the channels fall into.
        bias: name of what is added last, a number for each output channel, or "".
    """

    node: onnx.NodeProto
    operand: str
    weight: Array
    groups: int
    bias: str

    @property
    def k(self) -> int:
        """The input channels of a group."""
        return int(self.weight.shape[1])


def find_convolution(node: onnx.NodeProto, constants: ConstantValues, k_min: int) -> Convolution | str | None:
    """Read a node as a convolution that can be rewritten.

    Args:
        node: a node of a graph.
        constants: the values that the graph and those around it fix.
        k_min: how many input channels a group must have at least.

    Returns:
        The convolution; or why this one stays as it is; or None for a node that is no Conv.
    """
    if standard_domain(node.domain) != "" or node.op_type != "Conv":
        return None
    if not constants.is_constant(node.input[1]):
        return "its weight is not constant"
    weight = constants.value(node.input[1])
    if weight is None:
        return "the runtime could not compute its weight"
    if weight.dtype != np.float32:
        return f"its weight is {weight.dtype}; a convolution of float32 is rewritten"
    found = Convolution(
        node=node,
        operand=node.input[0],
        weight=weight,
        groups=next((each.i for each in node.attribute if each.name == "group"), 1),
        bias=node.input[2] if len(node.input) > 2 else "",
    )
    if found.k < k_min:
        return f"its groups have {found.k} input channels each, and at least {k_min} are needed"
    return found
