"""Split the products of a graph along K; their partial products are added in an order given at run time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from replicas.graph_walk import opset_versions
from replicas.ksplit.activations import ActivationProduct
from replicas.ksplit.constants import Array
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.epilogue import write_epilogue
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product
from replicas.ksplit.rewrite import ORDER_INPUT, Rewritable, RewriteResult, rewrite_products
from replicas.ksplit.rounding import Rounder, check_opset
from replicas.profile import PartialPrecision

# CumSum, and Pad with the lengths as an input.
CUT_BY_TENSORS_SINCE = 11


def split_products(proto: onnx.ModelProto, *, slices: int, partials: PartialPrecision) -> RewriteResult:
    """Split every MatMul, Gemm and Conv of floats, at any depth; a Gemm and a Conv need a constant side.

    What is rounded to `partials`, to nearest even: each partial product once the runtime has computed it, and each
    running sum after each addition. What is not: the products and sums inside a slice. The sum is then multiplied by
    alpha, and beta times the addend is added last, both in the precision of the graph; so is the bias of a Conv.

    K is cut as evenly as it goes, longer slices first; the K of a Conv is the input channels of a group. Where these
    are fewer than `slices`, K is the channels and the places of the kernel, and each partial convolution has zeros in
    the places of the others, so that infinities in what is convolved turn to NaN. A ConvTranspose is cut as a Conv is.

    Where only a run tells K, as in attention, it is cut then, and a K < `slices` is filled up with zeros. Where the
    graph tells such a K the product stays whole. The tensor that a product makes keeps its name. A product inside a
    Loop or Scan adds in one order in all iterations of a run.

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
        by_places=True,
        k_at_run_time=opset >= CUT_BY_TENSORS_SINCE,
        rewriter=lambda writer, _: _Splitter(writer, slices=slices, partials=partials),
    )


class _Splitter:
    """Writes split products; parts of a weight that several products share are written once."""

    def __init__(self, writer: NodeWriter, *, slices: int, partials: PartialPrecision) -> None:
        self._writer = writer
        self.columns = slices
        self._rounder = Rounder(writer, partials)
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
        sizes, weights = _slice_sizes(product.k, self.columns), self._weight_parts(product)
        operands = self._writer.split(product.operand, sizes, product.operand_axis)
        for operand, weight in zip(operands, weights, strict=True):
            factor = self._writer.add("Transpose", [operand], perm=[1, 0]) if product.operand_transposed else operand
            yield self._writer.add("MatMul", [weight, factor] if product.weight_is_left else [factor, weight])

    def _weight_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.weight_name, product.weight_transposed, product.weight_axis)
        if key not in self._weights:
            parts = np.array_split(product.weight, self.columns, axis=product.weight_axis)
            self._weights[key] = tuple(self._writer.constant(part, "weight") for part in parts)
        return self._weights[key]

    def _products_of_activations(self, product: ActivationProduct) -> Iterator[str]:
        writer, (left, right) = self._writer, product.node.input
        if product.k:
            sizes = _slice_sizes(product.k, self.columns)
            lefts = writer.split(left, sizes, axis=-1)
            rights = writer.split(right, sizes, axis=product.right_axis)
        else:
            k = writer.add("Gather", [writer.add("Shape", [left]), writer.integers([-1])], axis=0)
            cut = self._sizes_at_run_time(k)
            left = self._at_least_as_long_as_slices(left, k, product.ranks[0], -1)
            right = self._at_least_as_long_as_slices(right, k, product.ranks[1], product.right_axis)
            lefts = writer.split_by(left, cut, self.columns, axis=-1)
            rights = writer.split_by(right, cut, self.columns, axis=product.right_axis)
        for each in zip(lefts, rights, strict=True):
            yield writer.add("MatMul", each)

    def _sizes_at_run_time(self, k: str) -> str:
        """What `_slice_sizes` gives for a K that only a run tells, and that is filled up to the number of slices."""
        writer, slices = self._writer, self._writer.integers([self.columns])
        k = writer.add("Where", [writer.add("Less", [k, slices]), slices, k])
        is_longer = writer.add("Less", [writer.integers(range(self.columns)), writer.add("Mod", [k, slices])])
        longer = writer.add("Cast", [is_longer], to=onnx.TensorProto.INT64)
        return writer.add("Add", [writer.add("Div", [k, slices]), longer])

    def _at_least_as_long_as_slices(self, side: str, k: str, rank: int, axis: int) -> str:
        """Fill a side up with zeros: the runtime's MatMul leaves some results of no elements unset."""
        writer = self._writer
        slices, none = writer.integers([self.columns]), writer.integers([0])
        missing = writer.add("Where", [writer.add("Less", [k, slices]), writer.add("Sub", [slices, k]), none])
        at_the_end = [0] * (2 * rank)
        at_the_end[axis] = 1
        return writer.add("Pad", [side, writer.add("Mul", [writer.integers(at_the_end), missing])])

    def _partial_convolutions(self, convolution: Convolution) -> Iterator[str]:
        writer, node = self._writer, convolution.node
        if convolution.k < self.columns:
            for weight in convolution.place_slices(self.columns):
                yield writer.like(node, [convolution.operand, writer.constant(weight, "weight")])
            return
        slices = list(convolution.channel_slices(self.columns))
        operands = self._channel_parts(convolution, [channels for channels, _ in slices])
        for operand, (_, weight) in zip(operands, slices, strict=True):
            yield writer.like(node, [operand, writer.constant(weight, "weight")])

    def _channel_parts(self, convolution: Convolution, slices: Sequence[Array]) -> tuple[str, ...]:
        """A slice of the input channels of each group; the groups stay apart."""
        writer, operand = self._writer, convolution.operand
        if convolution.groups == 1:
            return writer.split(operand, _slice_sizes(convolution.k, self.columns), axis=1)
        return tuple(writer.add("Gather", [operand, writer.integers(each.tolist())], axis=1) for each in slices)

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
