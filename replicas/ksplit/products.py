"""Which products can be rewritten along K, and what exactly each of them computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.constants import Array, ConstantValues
from replicas.shape_facts import TensorFact

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True)
class Product:
    """One product with a constant side, told without regard to the operator it came from.

    It computes `alpha * (operand x weight) + beta * addend`, or `weight x operand` where the weight stands left.

    Args:
        node: the node that it stands for.
        operand: name of the side that a run supplies.
        operand_axis: the axis of the operand that is K; negative from the end.
        operand_transposed: the operand is to be transposed first (Gemm's transA or transB); it has two axes.
        weight: the constant side, transposed already where the node says so.
        weight_name: where the value came from, told from all others; products of one weight share its slices.
        weight_transposed: whether `weight` was transposed.
        weight_is_left: the weight is the left side.
        alpha: factor of the product.
        beta: factor of the addend.
        addend: name of what is added after the sum, or "".
    """

    node: onnx.NodeProto
    operand: str
    operand_axis: int
    operand_transposed: bool
    weight: Array
    weight_name: str
    weight_transposed: bool
    weight_is_left: bool
    alpha: float = 1.0
    beta: float = 1.0
    addend: str = ""

    @property
    def weight_axis(self) -> int:
        """The axis of the weight that is K."""
        if self.weight_is_left or self.weight.ndim == 1:
            return self.weight.ndim - 1
        return self.weight.ndim - 2

    @property
    def k(self) -> int:
        """The length of the axis that is summed over."""
        return int(self.weight.shape[self.weight_axis])


def find_product(
    node: onnx.NodeProto, constants: ConstantValues, facts: Mapping[str, TensorFact], k_min: int
) -> Product | str | None:
    """Read a node as a product that can be rewritten.

    Args:
        node: a node of a graph.
        constants: the values that the graph and those around it fix.
        facts: shapes, as far as known: a weight on the left needs the rank of the other side.
        k_min: how many elements along K it must have at least.

    Returns:
        The product; or why this product stays as it is; or None for a node that is no MatMul and no Gemm.
    """
    if standard_domain(node.domain) != "" or node.op_type not in ("MatMul", "Gemm"):
        return None
    left, right = node.input[0], node.input[1]
    constant = [constants.is_constant(left), constants.is_constant(right)]
    if not any(constant):
        return "no side is constant"
    if all(constant):
        return "both sides are constant, so that no run multiplies them"
    weight_is_left = constant[0]
    weight_name = left if weight_is_left else right
    weight = constants.value(weight_name)
    if weight is None:
        return "the runtime could not compute its weight"
    if weight.dtype not in FLOATS:
        return f"its weight is {weight.dtype}; float32 and float64 are rewritten"
    product = _gemm if node.op_type == "Gemm" else _matmul
    found = product(node, weight, constants.full_name(weight_name), weight_is_left, facts)
    if isinstance(found, Product) and found.k < k_min:
        return f"K is {found.k}, and at least {k_min} is needed"
    return found


def _matmul(
    node: onnx.NodeProto, weight: Array, weight_name: str, weight_is_left: bool, facts: Mapping[str, TensorFact]
) -> Product | str:
    operand = node.input[1] if weight_is_left else node.input[0]
    axis = -1
    if weight_is_left:
        fact = facts.get(operand)
        if fact is None or fact.shape is None:
            return "its weight stands left, and the rank of the other side is unknown"
        axis = -1 if len(fact.shape) == 1 else -2
    if weight.ndim == 0:
        return "its weight is a scalar"
    return Product(
        node=node,
        operand=operand,
        operand_axis=axis,
        operand_transposed=False,
        weight=weight,
        weight_name=weight_name,
        weight_transposed=False,
        weight_is_left=weight_is_left,
    )


def _gemm(
    node: onnx.NodeProto, weight: Array, weight_name: str, weight_is_left: bool, _: Mapping[str, TensorFact]
) -> Product | str:
    if weight.ndim != 2:
        return f"its weight has {weight.ndim} axes; a Gemm takes 2"
    floats = {each.name: each.f for each in node.attribute if each.type == onnx.AttributeProto.FLOAT}
    flags = {each.name: bool(each.i) for each in node.attribute if each.type == onnx.AttributeProto.INT}
    transposed = (flags.get("transA", False), flags.get("transB", False))
    alpha, beta = floats.get("alpha", 1.0), floats.get("beta", 1.0)
    if alpha == 0.0:
        return "its alpha is 0, so that nothing is multiplied"
    weight_transposed, operand_transposed = transposed if weight_is_left else transposed[::-1]
    # K is the last axis of what stands left and the first of what stands right; a transposition swaps the two.
    k_is_first = weight_is_left != operand_transposed
    has_addend = len(node.input) > 2 and node.input[2] != "" and beta != 0.0
    return Product(
        node=node,
        operand=node.input[1] if weight_is_left else node.input[0],
        operand_axis=0 if k_is_first else 1,
        operand_transposed=operand_transposed,
        weight=weight.T if weight_transposed else weight,
        weight_name=weight_name,
        weight_transposed=weight_transposed,
        weight_is_left=weight_is_left,
        alpha=alpha,
        beta=beta,
        addend=node.input[2] if has_addend else "",
    )
