"""A convolution as one matrix product: what each output sees of the input is laid out along K ("im2col").

The processor convolves floats alone. Laid out, a convolution is a product like any other, in any precision: each place
of the kernel is a slice of the padded input, and the slices stand side by side along the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as places_of

import numpy as np
import onnx
from onnx import helper

from replicas.ksplit.constants import Array
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.nodes import NodeWriter

TO_THE_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Columns:
    """A convolution laid out.

    Args:
        operand: name of the input's slices, float64: batch, places of the output, K.
        weight: float64 [K, output channels].
    """

    operand: str
    weight: Array


def why_not_laid_out(convolution: Convolution) -> str | None:
    """Why a convolution cannot be laid out; None where it can."""
    if convolution.is_transposed:
        return "it is transposed, and the processor has no convolution in double precision"
    if convolution.groups > 1:
        return f"it has {convolution.groups} groups, and the processor has no convolution in double precision"
    if _pads(convolution) is None:
        return "it pads by the size of its input, and the processor has no convolution in double precision"
    return None


def lay_out(writer: NodeWriter, convolution: Convolution) -> Columns:
    """Write the slices of a convolution's input, in double precision."""
    weight, rank = convolution.weight, convolution.weight.ndim - 2
    kernel = weight.shape[2:]
    strides, dilations = (_integers(convolution.node, name, [1] * rank) for name in ("strides", "dilations"))
    double = writer.cast(convolution.operand, onnx.TensorProto.DOUBLE)
    last = writer.add("Transpose", [double], perm=[0, *range(2, rank + 2), 1])
    padded = _padded(writer, last, _pads(convolution) or [0] * 2 * rank, rank)
    slices = []
    for place in places_of(*map(range, kernel)):
        starts = [at * dilation for at, dilation in zip(place, dilations, strict=True)]
        behind = [(size - 1 - at) * each for at, size, each in zip(place, kernel, dilations, strict=True)]
        ends = [-each if each else TO_THE_END for each in behind]
        axes = list(range(1, rank + 1))
        slices.append(writer.add("Slice", [padded, *map(writer.integers, (starts, ends, axes, strides))]))
    operand = slices[0] if len(slices) == 1 else writer.add("Concat", slices, axis=-1)
    # K as the slices stand: place by place, and at each the channels.
    matrix = weight.transpose(*range(2, rank + 2), 1, 0).reshape(-1, weight.shape[0])
    return Columns(operand, matrix.astype(np.float64))


def finish_columns(writer: NodeWriter, convolution: Convolution, total: str) -> None:
    """Add the bias to a product of columns, float32, and bring the channels back to where they belong."""
    rank = convolution.weight.ndim - 2
    if convolution.bias:
        total = writer.add("Add", [total, convolution.bias])
    back = [0, rank + 1, *range(1, rank + 1)]
    writer.add("Transpose", [total], convolution.node.output[0], perm=back)


def _padded(writer: NodeWriter, tensor: str, pads: Sequence[int], rank: int) -> str:
    if not any(pads):
        return tensor
    begins, ends = pads[:rank], pads[rank:]
    return writer.add("Pad", [tensor, writer.integers([0, *begins, 0, 0, *ends, 0])])


def _pads(convolution: Convolution) -> list[int] | None:
    """What is padded before and behind each place; None where the input's size decides it."""
    node, weight = convolution.node, convolution.weight
    rank = weight.ndim - 2
    how = next((helper.get_attribute_value(each).decode() for each in node.attribute if each.name == "auto_pad"), "")
    if how in ("", "NOTSET"):
        return _integers(node, "pads", [0] * 2 * rank)
    if how == "VALID":
        return [0] * 2 * rank
    if any(stride != 1 for stride in _integers(node, "strides", [1] * rank)):
        return None
    dilations = _integers(node, "dilations", [1] * rank)
    whole = [(size - 1) * dilation for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
    less = [each // 2 for each in whole]
    more = [each - half for each, half in zip(whole, less, strict=True)]
    return [*less, *more] if how == "SAME_UPPER" else [*more, *less]


def _integers(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == name), default)
