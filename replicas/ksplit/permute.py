"""Permute the K dimension of the products of a graph, on both sides, in an order given at run time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from replicas.graph_walk import standard_opset
from replicas.ksplit.activations import ActivationProduct
from replicas.ksplit.convolutions import Convolution
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.rewrite import ORDER_INPUT, Rewritable, RewriteResult, rewrite_products
from replicas.profile import ProfileError

K_MIN = 2
# Compress, and Less of whole numbers.
OPSET_MIN = 9


def permute_products(proto: onnx.ModelProto) -> RewriteResult:
    """Gather both sides of every MatMul, Gemm and Conv of floats along K, in the order of its own row.

    A Gemm and a Conv need a constant side, and a MatMul of two tensors that a run computes a K that the graph tells.

    The K of a Conv is the input channels of a group; all groups of one Conv take the same order.

    The order has as many columns as the longest K. A shorter product reads the same kind of row and passes over what it
    does not have: of the row 3 0 4 1 2, a product with K = 3 takes 0 1 2. So each row is a permutation of all columns,
    and one drawn evenly orders a shorter product evenly too.

    The node itself stays, and the kernel is the runtime's own; only, a weight that is gathered on each run cannot be
    laid out anew beforehand, as `prepacking` would. A product of K = 1 stays as built. One inside an If, Loop or Scan
    is permuted too, in one order in all iterations of a run.

    Args:
        proto: the model, functions put in place; not changed.

    Raises:
        ProfileError: nothing in this model can be permuted, its operator set is too old, or a name is taken.
    """
    opset = standard_opset(proto)
    if opset < OPSET_MIN:
        raise ProfileError((f"summation: kpermute needs operator set {OPSET_MIN}, and the model has {opset}",))
    return rewrite_products(
        proto, kind="kpermute", k_min=K_MIN, by_places=False, k_at_run_time=False, rewriter=_Permuter
    )


class _Permuter:
    """Writes products whose sides are gathered along K."""

    sums_rounded_once = ()

    def __init__(self, writer: NodeWriter, products: Sequence[Rewritable]) -> None:
        self._writer = writer
        self.columns = max(product.k for product in products)

    def write(self, product: Rewritable, row: int) -> None:
        """Write one product, which takes its order from the given row."""
        writer, order = self._writer, self._order(product.k, row)
        permuted = onnx.NodeProto()
        permuted.CopyFrom(product.node)
        orders, axes = [order, order], _axes(product)
        if isinstance(product, Convolution):
            orders[0] = self._of_all_groups(order, product)
        for side in (0, 1):
            permuted.input[side] = writer.add("Gather", [product.node.input[side], orders[side]], axis=axes[side])
        writer.nodes.append(permuted)

    def _of_all_groups(self, order: str, convolution: Convolution) -> str:
        """The order of one group's channels, repeated for each group from its first channel on."""
        if convolution.groups == 1:
            return order
        writer = self._writer
        first_channels = np.arange(convolution.groups)[:, None] * convolution.k
        by_group = writer.add("Add", [writer.constant(first_channels, "first_channels"), order])
        return writer.add("Reshape", [by_group, writer.integers([-1])])

    def _order(self, k: int, row: int) -> str:
        writer = self._writer
        order = writer.add("Gather", [ORDER_INPUT, writer.scalar(row)], axis=0)
        if k == self.columns:
            return order
        return writer.add("Compress", [order, writer.add("Less", [order, writer.scalar(k)])], axis=0)


def _axes(product: Rewritable) -> tuple[int, int]:
    """The axes that are K in the tensors that the node reads: left and right, or operand and weight of a Conv."""
    if isinstance(product, Convolution):
        return 1, 1
    if isinstance(product, ActivationProduct):
        return -1, product.right_axis
    weight_axis = 1 - product.weight_axis if product.weight_transposed else product.weight_axis
    return (weight_axis, product.operand_axis) if product.weight_is_left else (product.operand_axis, weight_axis)
