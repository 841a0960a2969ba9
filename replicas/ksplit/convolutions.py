"""Which convolutions can be rewritten along what they sum over, and what exactly each of them computes.

A convolution is a product too: each output is a sum over the input channels of its group and the places of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.constants import Array, ConstantValues


@dataclass(frozen=True, slots=True)
class Convolution:
    """One Conv or ConvTranspose with constant weights.

    Args:
        node: the node that it stands for.
        operand: name of what is convolved: batch, channels, places.
        weight: output channels, input channels of a group, places of the kernel; of a ConvTranspose input channels,
            output channels of a group, places.
        groups: how many groups the channels fall into.
        bias: name of what is added last, a number for each output channel, or "".
    """

    node: onnx.NodeProto
    operand: str
    weight: Array
    groups: int
    bias: str

    @property
    def is_transposed(self) -> bool:
        """Whether it is a ConvTranspose."""
        return self.node.op_type == "ConvTranspose"

    @property
    def k(self) -> int:
        """The input channels of a group."""
        return int(self.weight.shape[0]) // self.groups if self.is_transposed else int(self.weight.shape[1])

    @property
    def places(self) -> int:
        """The places of the kernel."""
        return prod(self.weight.shape[2:])

    def channel_slices(self, slices: int) -> Iterator[tuple[Array, Array]]:
        """Which input channels are in each slice, all groups together, and the weights of these alone."""
        channels = np.arange(self.groups * self.k).reshape(self.groups, self.k)
        for each in np.array_split(channels, slices, axis=1):
            chosen = each.reshape(-1)
            yield chosen, self.weight[chosen] if self.is_transposed else self.weight[:, each[0]]

    def place_slices(self, slices: int) -> Iterator[Array]:
        """The weights of each slice of channels and places, and zeros elsewhere."""
        outputs = self.weight.shape[1] if self.is_transposed else self.weight.shape[0]
        whole = (self.groups, self.k, outputs, self.places) if self.is_transposed else (outputs, self.k, self.places)
        for each in np.array_split(np.arange(self.k * self.places), slices):
            is_in = np.isin(np.arange(self.k * self.places), each).reshape(self.k, self.places)
            mask = is_in[:, None, :] if self.is_transposed else is_in
            yield np.where(mask, self.weight.reshape(whole), np.float32(0)).reshape(self.weight.shape)


def find_convolution(
    node: onnx.NodeProto, constants: ConstantValues, k_min: int, *, by_places: bool
) -> Convolution | str | None:
    """Read a node as a convolution that can be rewritten.

    Args:
        node: a node of a graph.
        constants: the values that the graph and those around it fix.
        k_min: how many elements each output must be a sum of, at least.
        by_places: whether one of fewer input channels can be cut along the places of its kernel, and whether one that
            is transposed can be rewritten.

    Returns:
        The convolution; or why this one stays as it is; or None for a node that is none.
    """
    operators = ("Conv", "ConvTranspose") if by_places else ("Conv",)
    if standard_domain(node.domain) != "" or node.op_type not in operators:
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
    if not by_places and found.k < k_min:
        return f"its groups have {found.k} input channels each, and at least {k_min} are needed"
    if found.k * found.places < k_min:
        return f"each output is a sum of {found.k * found.places}, and of at least {k_min} is needed"
    return found
