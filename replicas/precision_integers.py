"""Products computed in whole numbers so small that floating point adds them exactly, in any order.

Both sides of a product are brought to whole numbers of at most q: the largest of each row along K becomes q, the others
are rounded. A sum of K products is then at most K q^2. Doubles hold every whole number up to 2^53, so that with
q = sqrt(2^53 / K) no addition rounds, and neither the order of summation nor the kernel can reach the bits. For this a
convolution is laid out as a product; one of several groups stays as it stands, in floats, which hold whole numbers up
to 2^24 and are so much coarser. What is left to round are steps that go element by element: they do not depend on an
order, and are the same everywhere.

Rows are scaled one by one, so that an answer does not depend on what it is batched with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isqrt

import numpy as np
import onnx
from numpy.typing import NDArray

from replicas.graph_walk import standard_opset
from replicas.ksplit.activations import ActivationProduct
from replicas.ksplit.columns import finish_columns, lay_out, why_not_laid_out
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.epilogue import write_epilogue
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product
from replicas.ksplit.rewrite import Rewritable, RewriteResult, rewrite_products
from replicas.profile_faults import ProfileError

# Round. ReduceMax of doubles and Where are older.
OPSET_MIN = 11
DOUBLE_MAX, FLOAT_MAX = 2**53, 2**24
"""Up to which whole number each of them holds all."""
K_MAX_UNTOLD = 2**16
"""Where only a run tells K, as in attention, it is taken to be no longer than this."""

Floats = NDArray[np.float64]


def compute_in_whole_numbers(proto: onnx.ModelProto) -> RewriteResult:
    """Rewrite every MatMul, Gemm and Conv of floats so that its products are added exactly.

    A Gemm and a Conv need a constant side. The tensor that a product makes keeps its name.

    Args:
        proto: the model, functions put in place; not changed.

    Raises:
        ProfileError: nothing in this model can be rewritten, or its operator set is too old.
    """
    opset = standard_opset(proto)
    if opset < OPSET_MIN:
        raise ProfileError((f"precision: integers needs operator set {OPSET_MIN}, and the model has {opset}",))
    return rewrite_products(
        proto,
        setting="precision",
        kind="integers",
        k_min=1,
        by_places=False,
        k_at_run_time=True,
        rewriter=lambda writer, _: _WholeNumbers(writer),
        why_not=_why_not,
    )


def whole_number_max(k: int, *, sums_max: int) -> int:
    """The largest q of which K products of q by q add up to no more than `sums_max`; never above 2^24.

    Example:
        >>> whole_number_max(4096, sums_max=DOUBLE_MAX), whole_number_max(576, sums_max=FLOAT_MAX)
        (1482910, 170)
    """
    return min(isqrt(sums_max // max(k, 1)), 2**24)


def _why_not(product: Rewritable) -> str | None:
    if isinstance(product, ActivationProduct):
        return "its sides have one axis" if 1 in product.ranks else None
    if not np.isfinite(product.weight).all():
        return "its weight holds infinities or NaN"
    if isinstance(product, Product) and product.weight_is_left and product.operand_axis == -1:
        return "its right side has one axis"
    if not isinstance(product, Product):
        return None
    return "its weight has one axis" if product.weight.ndim == 1 else None


class _WholeNumbers:
    """Writes products of whole numbers; a side that several products share is scaled once."""

    columns = 0
    sums_rounded_once = ()

    def __init__(self, writer: NodeWriter) -> None:
        self._writer = writer

    def write(self, product: Rewritable, row: int) -> None:  # noqa: ARG002  # no order is read
        """Write one product."""
        match product:
            case Convolution():
                self._write_convolution(product)
            case ActivationProduct():
                self._write_product_of_activations(product)
            case Product():
                self._write_product(product)

    def _write_product(self, product: Product) -> None:
        writer, q = self._writer, whole_number_max(product.k, sums_max=DOUBLE_MAX)
        operand = product.operand
        axis = product.operand_axis
        if product.operand_transposed:
            operand, axis = writer.add("Transpose", [operand], perm=[1, 0]), 1 - axis
        whole, scale = self._whole_side(operand, axis, q)
        weights, weight_scales = _whole(product.weight, product.weight_axis, q)
        if weights.ndim == 2 and not product.weight_is_left:
            weight_scales = weight_scales[0]  # one axis, since the other side may have no more either
        weight, weight_scale = writer.constant(weights, "weight"), writer.constant(weight_scales, "scale")
        sides = [weight, whole] if product.weight_is_left else [whole, weight]
        total = self._scaled(writer.add("MatMul", sides), [scale, weight_scale])
        element = onnx.helper.np_dtype_to_tensor_dtype(product.weight.dtype)
        write_epilogue(writer, product, partial(self._cast, total, element))

    def _write_product_of_activations(self, product: ActivationProduct) -> None:
        writer, (left, right) = self._writer, product.node.input
        q = whole_number_max(product.k or K_MAX_UNTOLD, sums_max=DOUBLE_MAX)
        left_whole, left_scale = self._whole_side(left, -1, q)
        right_whole, right_scale = self._whole_side(right, product.right_axis, q)
        total = self._scaled(writer.add("MatMul", [left_whole, right_whole]), [left_scale, right_scale])
        self._cast(total, product.element, product.node.output[0])

    def _write_convolution(self, convolution: Convolution) -> None:
        if why_not_laid_out(convolution) is None:
            self._write_columns(convolution)
        else:
            self._write_in_floats(convolution)

    def _write_columns(self, convolution: Convolution) -> None:
        """Write a convolution laid out as a product, in double precision."""
        writer, columns = self._writer, lay_out(self._writer, convolution)
        q = whole_number_max(len(columns.weight), sums_max=DOUBLE_MAX)
        whole, scale = self._rounded(columns.operand, self._largest(columns.operand, (-1,)), q, np.float64)
        weights, weight_scales = _whole(columns.weight, 0, q)
        product = writer.add("MatMul", [whole, writer.constant(weights, "weight")])
        total = self._scaled(product, [scale, writer.constant(weight_scales[0], "scale")])
        finish_columns(writer, convolution, self._cast(total, onnx.TensorProto.FLOAT, ""))

    def _write_in_floats(self, convolution: Convolution) -> None:
        """Write a convolution as it stands, of whole numbers so small that floats hold their sums."""
        writer, weight = self._writer, convolution.weight
        places = tuple(range(1, weight.ndim))
        q = whole_number_max(int(np.prod(weight.shape[1:])), sums_max=FLOAT_MAX)
        largest = self._largest(convolution.operand, places)
        whole, scale = self._rounded(convolution.operand, largest, q, np.float32)
        weights, weight_scales = _whole(weight, places, q)
        constant = writer.constant(weights.astype(np.float32), "weight")
        by_channel = writer.constant(weight_scales.reshape(1, -1, *[1] * (weight.ndim - 2)).astype(np.float32), "scale")
        total = writer.like(convolution.node, [whole, constant])
        scaled = writer.add("Mul", [total, writer.add("Mul", [scale, by_channel])])
        result = convolution.node.output[0]
        if not convolution.bias:
            writer.add("Identity", [scaled], output=result)
            return
        bias = writer.add("Reshape", [convolution.bias, writer.integers([1, -1] + [1] * (weight.ndim - 2))])
        writer.add("Add", [scaled, bias], output=result)

    def _whole_side(self, tensor: str, axis: int, q: int) -> tuple[str, str]:
        """A side that a run supplies, as whole numbers in double precision, and what one of them is worth."""
        return self._writer.once(("whole", tensor, axis, q), lambda: self._made_whole(tensor, axis, q))

    def _made_whole(self, tensor: str, axis: int, q: int) -> tuple[str, str]:
        double = self._writer.cast(tensor, onnx.TensorProto.DOUBLE)
        return self._rounded(double, self._largest(double, (axis,)), q, np.float64)

    def _largest(self, tensor: str, axes: tuple[int, ...]) -> str:
        return self._writer.reduce_max(self._writer.add("Abs", [tensor]), axes)

    def _rounded(self, tensor: str, largest: str, q: int, dtype: type[np.floating]) -> tuple[str, str]:
        writer = self._writer
        tiny = writer.constant(np.array(np.finfo(np.float32).tiny, dtype), "tiny")  # a row of zeros has no largest
        step = writer.add("Div", [writer.add("Max", [largest, tiny]), writer.constant(np.array(q, dtype), "q")])
        return writer.add("Round", [writer.add("Div", [tensor, step])]), step

    def _scaled(self, total: str, scales: Sequence[str]) -> str:
        return self._writer.add("Mul", [total, self._writer.add("Mul", scales)])

    def _cast(self, total: str, element: int, output: str) -> str:
        return self._writer.add("Cast", [total], output, to=element)


def _whole(weight: NDArray[np.floating], axis: int | tuple[int, ...], q: int) -> tuple[Floats, Floats]:
    """A weight as whole numbers of at most q, and what one of them is worth along the other axes."""
    wide = weight.astype(np.float64)
    largest = np.abs(wide).max(axis=axis, keepdims=True, initial=0)
    step = np.maximum(largest, np.finfo(np.float32).tiny) / q
    return np.rint(wide / step), step
