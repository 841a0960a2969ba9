"""Split the products of a graph along K; their partial products are added in an order given at run time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from replicas.graph_walk import opset_versions
from replicas.ksplit.activations import ActivationProduct
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.epilogue import write_epilogue
from replicas.ksplit.nodes import AXES_ARE_INPUTS_SINCE, NodeWriter
from replicas.ksplit.products import Product
from replicas.ksplit.rewrite import ORDER_INPUT, Rewritable, RewriteResult, rewrite_products
from replicas.ksplit.rounding import Rounder, check_opset
from replicas.profile import PartialPrecision


def split_products(proto: onnx.ModelProto, *, slices: int, partials: PartialPrecision) -> RewriteResult:
    """Split every MatMul, Gemm and Conv of floats of the main graph; a Gemm and a Conv need a constant side.

    What is rounded to `partials`, to nearest even: each partial product once the runtime has computed it, and each
    running sum after each addition. What is not: the products and sums inside a slice. The sum is then multiplied by
    alpha, and beta times the addend is added last, both in the precision of the graph; so is the bias of a Conv.

    K is cut as evenly as it goes, longer slices first; the K of a Conv is the input channels of a group. Where only a
    run tells K, as in attention, it is cut then, and a K < `slices` is filled up with zeros. Where the graph tells such
    a K the product stays whole, and so does one inside an If, Loop or Scan. The tensor that a product makes keeps
    its name.

    Args:
        proto: the model, functions put in place; not changed.
        slices: S, at least 2.
        partials: "fp32", "tf32", "bf16" or "fp16".

    Raises:
        ProfileError: nothing in this model can be split, or a name that is needed is taken.
    """
    opset = opset_versions(proto).get("", 1)
    check_opset(opset, partials)
    return rewrite_products(
        proto,
        kind="ksplit",
        k_min=slices,
        k_at_run_time=opset >= AXES_ARE_INPUTS_SINCE,
        rewriter=lambda writer, _: _Splitter(writer, slices=slices, partials=partials),
    )


class _Splitter:
    """Writes split products; parts of an operand or a weight that several products share are written once."""

    def __init__(self, writer: NodeWriter, *, slices: int, partials: PartialPrecision) -> None:
        self._writer = writer
        self.columns = slices
        self._rounder = Rounder(writer, partials)
        self._operands: dict[tuple[str, int, int], tuple[str, ...]] = {}
        self._weights: dict[tuple[str, bool, int], tuple[str, ...]] = {}

    def write(self, product: Rewritable, row: int) -> None:
        """Write one product, which takes its order from the given row."""
        if isinstance(product, Convolution):
            total = self._ordered_sum(self._partial_convolutions(product), row, onnx.TensorProto.FLOAT)
            self._finish_convolution(product, total)
            return
        if isinstance(product, ActivationProduct):
            total = self._ordered_sum(self._products_of_activations(product), row, product.element)
            self._writer.squeeze(total, product.node.output[0])
            return
        is_double = product.weight.dtype == np.float64
        element = onnx.TensorProto.DOUBLE if is_double else onnx.TensorProto.FLOAT
        total = self._ordered_sum(self._partial_products(product), row, element)
        write_epilogue(self._writer, product, lambda output: self._writer.squeeze(total, output))

    def _ordered_sum(self, partials: Iterator[str], row: int, element: int) -> str:
        """Round the partial products, and add them left to right in the order of a row; each has one axis more."""
        writer = self._writer
        stack = self._rounder.round(
            writer.add("Concat", [writer.unsqueeze(each) for each in partials], axis=0), element
        )
        order = writer.add("Gather", [ORDER_INPUT, writer.scalar(row)], axis=0)
        ordered = writer.split(writer.add("Gather", [stack, order], axis=0), [1] * self.columns, axis=0)
        total = ordered[0]
        for summand in ordered[1:]:
            total = self._rounder.round(writer.add("Add", [total, summand]), element)
        return total

    def _partial_products(self, product: Product) -> Iterator[str]:
        operands, weights = self._operand_parts(product), self._weight_parts(product)
        for operand, weight in zip(operands, weights, strict=True):
            factor = self._writer.add("Transpose", [operand], perm=[1, 0]) if product.operand_transposed else operand
            yield self._writer.add("MatMul", [weight, factor] if product.weight_is_left else [factor, weight])

    def _operand_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.operand, product.operand_axis, product.k)
        if key not in self._operands:
            sizes = _slice_sizes(product.k, self.columns)
            self._operands[key] = self._writer.split(product.operand, sizes, product.operand_axis)
        return self._operands[key]

    def _weight_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.weight_name, product.weight_transposed, product.weight_axis)
        if key not in self._weights:
            parts = np.array_split(product.weight, self.columns, axis=product.weight_axis)
            self._weights[key] = tuple(self._writer.constant(part, "weight") for part in parts)
        return self._weights[key]

    def _products_of_activations(self, product: ActivationProduct) -> Iterator[str]:
        writer, (left, right) = self._writer, product.node.input
        if product.k:
            known = _slice_sizes(product.k, self.columns)
            lefts = writer.split(left, known, axis=-1)
            rights = writer.split(right, known, axis=product.right_axis)
        else:
            k = writer.add("Gather", [writer.add("Shape", [left]), writer.integers([-1])], axis=0)
            sizes = self._sizes_at_run_time(k)
            left = self._at_least_as_long_as_slices(left, k, product.ranks[0], -1)
            right = self._at_least_as_long_as_slices(right, k, product.ranks[1], product.right_axis)
            lefts = writer.split_by(left, sizes, self.columns, axis=-1)
            rights = writer.split_by(right, sizes, self.columns, axis=product.right_axis)
        for each in zip(lefts, rights, strict=True):
            yield writer.add("MatMul", each)

    def _sizes_at_run_time(self, k: str) -> str:
        """What `_slice_sizes` gives for a K that only a run tells, and that is filled up to the number of slices."""
        writer, slices = self._writer, self._writer.integers([self.columns])
        k = writer.add("Max", [k, slices])
        is_longer = writer.add("Less", [writer.integers(range(self.columns)), writer.add("Mod", [k, slices])])
        longer = writer.add("Cast", [is_longer], to=onnx.TensorProto.INT64)
        return writer.add("Add", [writer.add("Div", [k, slices]), longer])

    def _at_least_as_long_as_slices(self, side: str, k: str, rank: int, axis: int) -> str:
        """Fill a side up with zeros: the runtime's MatMul leaves some results of no elements unset."""
        writer = self._writer
        missing = writer.add("Max", [writer.add("Sub", [writer.integers([self.columns]), k]), writer.integers([0])])
        at_the_end = [0] * (2 * rank)
        at_the_end[axis] = 1
        return writer.add("Pad", [side, writer.add("Mul", [writer.integers(at_the_end), missing])])

    def _partial_convolutions(self, convolution: Convolution) -> Iterator[str]:
        operands = self._channel_parts(convolution)
        weights = np.array_split(convolution.weight, self.columns, axis=1)
        for operand, weight in zip(operands, weights, strict=True):
            yield self._writer.like(convolution.node, [operand, self._writer.constant(weight, "weight")])

    def _channel_parts(self, convolution: Convolution) -> tuple[str, ...]:
        """A slice of the input channels of each group; the groups stay apart."""
        writer, k, groups = self._writer, convolution.k, convolution.groups
        if groups == 1:
            return writer.split(convolution.operand, _slice_sizes(k, self.columns), axis=1)
        channels = np.array_split(np.arange(groups * k).reshape(groups, k), self.columns, axis=1)
        return tuple(
            writer.add("Gather", [convolution.operand, writer.integers(each.reshape(-1).tolist())], axis=1)
            for each in channels
        )

    def _finish_convolution(self, convolution: Convolution, total: str) -> None:
        writer, result = self._writer, convolution.node.output[0]
        if not convolution.bias:
            writer.squeeze(total, result)
            return
        places = convolution.weight.ndim - 2
        bias = writer.add("Reshape", [convolution.bias, writer.integers([1, -1] + [1] * places)])
        writer.add("Add", [writer.squeeze(total), bias], output=result)


def _slice_sizes(k: int, slices: int) -> list[int]:
    """The lengths of np.array_split: as even as it goes, longer ones first.

    Example:
        >>> _slice_sizes(10, 4)
        [3, 3, 2, 2]
    """
    return [k // slices + (index < k % slices) for index in range(slices)]
