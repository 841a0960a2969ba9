"""Split the products of a graph along K; how their partial products are added is a matter of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx

from replicas.graph_walk import standard_opset
from replicas.ksplit.activations import ActivationProduct
from replicas.ksplit.additions import Addition
from replicas.ksplit.columns import finish_columns, lay_out, why_not_laid_out
from replicas.ksplit.constants import Array
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.epilogue import write_epilogue
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product
from replicas.ksplit.rewrite import Rewritable, RewriteResult, rewrite_products
from replicas.ksplit.rounding import Rounder, check_opset
from replicas.profile import PartialPrecision

FLOAT = onnx.TensorProto.FLOAT
# CumSum, and Pad with the lengths as an input.
CUT_BY_TENSORS_SINCE = 11


def split_products(
    proto: onnx.ModelProto,
    *,
    kind: str,
    slices: int,
    partials: PartialPrecision,
    addition: Callable[[NodeWriter, Rounder], Addition],
) -> RewriteResult:
    """Split every MatMul, Gemm and Conv of floats, at any depth; a Gemm and a Conv need a constant side.

    What is rounded to `partials`, to nearest even: each partial product once the runtime has computed it, and each
    sum after each addition. What is not: the products and sums inside a slice. The sum is then multiplied by
    alpha, and beta times the addend is added last, both in the precision of the graph; so is the bias of a Conv.

    In fp64 nothing is rounded on the way: sides of float32 are multiplied and added in double precision, and the sum
    is rounded once. The processor has no Conv in double precision: one of a single group is laid out as a product,
    whose K is the places of the kernel and at each the channels; others stay as built.

    K is cut as evenly as it goes, longer slices first; the K of a Conv is the input channels of a group. Where these
    are fewer than `slices`, K is the channels and the places of the kernel, and each partial convolution has zeros in
    the places of the others, so that infinities in what is convolved turn to NaN. A ConvTranspose is cut as a Conv is.

    Where only a run tells K, as in attention, it is cut then, and a K < `slices` is filled up with zeros. Where the
    graph tells such a K the product stays whole. The tensor that a product makes keeps its name. A product inside a
    Loop or Scan adds in one order in all iterations of a run.

    Args:
        proto: the model, functions put in place; not changed.
        kind: of the summation, for messages and for the names of new tensors.
        slices: S, at least 2.
        partials: "fp32", "tf32", "bf16", "fp16" or "fp64".
        addition: makes what adds S partial products.

    Raises:
        ProfileError: nothing in this model can be split, or a name that is needed is taken.
    """
    opset = standard_opset(proto)
    check_opset(opset, partials)

    def rewriter(writer: NodeWriter, _: object) -> _Splitter:
        rounder = Rounder(writer, partials)
        return _Splitter(writer, slices=slices, rounder=rounder, addition=addition(writer, rounder))

    return rewrite_products(
        proto,
        kind=kind,
        k_min=slices,
        by_places=True,
        k_at_run_time=opset >= CUT_BY_TENSORS_SINCE,
        rewriter=rewriter,
        why_not=_not_laid_out if partials == "fp64" else None,
    )


def _not_laid_out(product: Rewritable) -> str | None:
    return why_not_laid_out(product) if isinstance(product, Convolution) else None


class _Splitter:
    """Writes split products; parts of a weight that several products share are written once."""

    def __init__(self, writer: NodeWriter, *, slices: int, rounder: Rounder, addition: Addition) -> None:
        self._writer = writer
        self._slices = slices
        self._rounder = rounder
        self._addition = addition
        self.sums_rounded_once: list[str] = []
        self._weights: dict[tuple[str, bool, int], tuple[str, ...]] = {}

    @property
    def columns(self) -> int:
        """Of the order that the products read; 0 where they read none."""
        return self._addition.columns

    def write(self, product: Rewritable, row: int) -> None:
        """Write one product, which takes its order from the given row."""
        if isinstance(product, Convolution) and self._rounder.element_of_sums(FLOAT) != FLOAT:
            self._write_columns(product, row)
            return
        if isinstance(product, Convolution):
            partials = list(self._partial_convolutions(product))
            self._finish_convolution(product, self._addition.total(partials, row, FLOAT))
            return
        if isinstance(product, ActivationProduct):
            total = self._sum_of(self._products_of_activations(product), row, product.element)
            self._narrow(total, product.element, product.node.output[0])
            return
        element = _element(product)
        total = self._sum_of(self._partial_products(product), row, element)
        write_epilogue(self._writer, product, lambda output: self._narrow(total, element, output))

    def _write_columns(self, convolution: Convolution, row: int) -> None:
        """Write a convolution in double precision, laid out as a product."""
        columns = lay_out(self._writer, convolution)
        sizes = _slice_sizes(len(columns.weight), self._slices)
        operands = self._writer.split(columns.operand, sizes, axis=-1)
        weights = np.array_split(columns.weight, self._slices, axis=0)
        partials = [
            self._writer.add("MatMul", [operand, self._writer.constant(weight, "weight")])
            for operand, weight in zip(operands, weights, strict=True)
        ]
        total = self._addition.total(partials, row, onnx.TensorProto.DOUBLE)
        finish_columns(self._writer, convolution, self._narrow(total, FLOAT, ""))

    def _sum_of(self, partials: Iterator[str], row: int, element: int) -> str:
        return self._addition.total(list(partials), row, self._rounder.element_of_sums(element))

    def _widened(self, tensor: str, element: int) -> str:
        """A side of a product in the precision in which it is multiplied."""
        wide = self._rounder.element_of_sums(element)
        return tensor if wide == element else self._writer.cast(tensor, wide)

    def _narrow(self, total: str, element: int, output: str) -> str:
        """The sum without the axis in front, in the precision of the graph."""
        if self._rounder.element_of_sums(element) == element:
            return self._writer.squeeze(total, output)
        wide = self._writer.squeeze(total)
        self.sums_rounded_once.append(wide)
        return self._writer.add("Cast", [wide], output, to=element)

    def _partial_products(self, product: Product) -> Iterator[str]:
        sizes, weights = _slice_sizes(product.k, self._slices), self._weight_parts(product)
        operand = self._widened(product.operand, _element(product))
        operands = self._writer.split(operand, sizes, product.operand_axis)
        for part, weight in zip(operands, weights, strict=True):
            factor = self._writer.add("Transpose", [part], perm=[1, 0]) if product.operand_transposed else part
            yield self._writer.add("MatMul", [weight, factor] if product.weight_is_left else [factor, weight])

    def _weight_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.weight_name, product.weight_transposed, product.weight_axis)
        if key not in self._weights:
            is_wide = self._rounder.element_of_sums(_element(product)) == onnx.TensorProto.DOUBLE
            weight = product.weight.astype(np.float64) if is_wide else product.weight
            parts = np.array_split(weight, self._slices, axis=product.weight_axis)
            self._weights[key] = tuple(self._writer.constant(part, "weight") for part in parts)
        return self._weights[key]

    def _products_of_activations(self, product: ActivationProduct) -> Iterator[str]:
        writer = self._writer
        left, right = (self._widened(side, product.element) for side in product.node.input)
        if product.k:
            sizes = _slice_sizes(product.k, self._slices)
            lefts = writer.split(left, sizes, axis=-1)
            rights = writer.split(right, sizes, axis=product.right_axis)
        else:
            k = writer.add("Gather", [writer.add("Shape", [left]), writer.integers([-1])], axis=0)
            cut = self._sizes_at_run_time(k)
            left = self._at_least_as_long_as_slices(left, k, product.ranks[0], -1)
            right = self._at_least_as_long_as_slices(right, k, product.ranks[1], product.right_axis)
            lefts = writer.split_by(left, cut, self._slices, axis=-1)
            rights = writer.split_by(right, cut, self._slices, axis=product.right_axis)
        for each in zip(lefts, rights, strict=True):
            yield writer.add("MatMul", each)

    def _sizes_at_run_time(self, k: str) -> str:
        """What `_slice_sizes` gives for a K that only a run tells, and that is filled up to the number of slices."""
        writer, slices = self._writer, self._writer.integers([self._slices])
        k = writer.add("Where", [writer.add("Less", [k, slices]), slices, k])
        is_longer = writer.add("Less", [writer.integers(range(self._slices)), writer.add("Mod", [k, slices])])
        longer = writer.add("Cast", [is_longer], to=onnx.TensorProto.INT64)
        return writer.add("Add", [writer.add("Div", [k, slices]), longer])

    def _at_least_as_long_as_slices(self, side: str, k: str, rank: int, axis: int) -> str:
        """Fill a side up with zeros: the runtime's MatMul leaves some results of no elements unset."""
        writer = self._writer
        slices, none = writer.integers([self._slices]), writer.integers([0])
        missing = writer.add("Where", [writer.add("Less", [k, slices]), writer.add("Sub", [slices, k]), none])
        at_the_end = [0] * (2 * rank)
        at_the_end[axis] = 1
        return writer.add("Pad", [side, writer.add("Mul", [writer.integers(at_the_end), missing])])

    def _partial_convolutions(self, convolution: Convolution) -> Iterator[str]:
        writer, node = self._writer, convolution.node
        if convolution.k < self._slices:
            for weight in convolution.place_slices(self._slices):
                yield writer.like(node, [convolution.operand, writer.constant(weight, "weight")])
            return
        slices = list(convolution.channel_slices(self._slices))
        operands = self._channel_parts(convolution, [channels for channels, _ in slices])
        for operand, (_, weight) in zip(operands, slices, strict=True):
            yield writer.like(node, [operand, writer.constant(weight, "weight")])

    def _channel_parts(self, convolution: Convolution, slices: Sequence[Array]) -> tuple[str, ...]:
        """A slice of the input channels of each group; the groups stay apart."""
        writer, operand = self._writer, convolution.operand
        if convolution.groups == 1:
            return writer.split(operand, _slice_sizes(convolution.k, self._slices), axis=1)
        return tuple(writer.add("Gather", [operand, writer.integers(each.tolist())], axis=1) for each in slices)

    def _finish_convolution(self, convolution: Convolution, total: str) -> None:
        writer, result = self._writer, convolution.node.output[0]
        if not convolution.bias:
            writer.squeeze(total, result)
            return
        places = convolution.weight.ndim - 2
        bias = writer.add("Reshape", [convolution.bias, writer.integers([1, -1] + [1] * places)])
        writer.add("Add", [writer.squeeze(total), bias], output=result)


def _element(product: Product) -> int:
    is_double = product.weight.dtype == np.float64
    return onnx.TensorProto.DOUBLE if is_double else FLOAT


def _slice_sizes(k: int, slices: int) -> list[int]:
    """The lengths of np.array_split: as even as it goes, longer ones first.

    Example:
        >>> _slice_sizes(10, 4)
        [3, 3, 2, 2]
    """
    return [k // slices + (index < k % slices) for index in range(slices)]
