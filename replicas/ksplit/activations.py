"""Which products of two tensors that a run computes can be rewritten along K: those inside attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.constants import ConstantValues
from replicas.shape_facts import TensorFact

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class ActivationProduct:
    """One MatMul of which neither side is constant. The last axis of the left side is K.

    Args:
        node: the node that it stands for.
        right_axis: the axis of the right side that is K, from the end.
        ranks: how many axes the left and the right side have.
        element: the element type of both sides.
        k: the length of the axis that is summed over; 0 where only a run tells.
    """

    node: onnx.NodeProto
    right_axis: int
    ranks: tuple[int, int]
    element: int
    k: int


def find_activation_product(
    node: onnx.NodeProto, constants: ConstantValues, facts: Mapping[str, TensorFact], *, k_min: int, k_at_run_time: bool
) -> ActivationProduct | str | None:
    """Read a node as a product of two tensors that a run computes.

    Args:
        node: a node of a graph.
        constants: the values that the graph and those around it fix.
        facts: shapes and element types, as far as known.
        k_min: a product with fewer elements along K than this stays as it is.
        k_at_run_time: whether K may be left to the run.

    Returns:
        The product; or why this one stays as it is; or None for a node that is no MatMul, or has a constant side.
    """
    if standard_domain(node.domain) != "" or node.op_type != "MatMul" or any(map(constants.is_constant, node.input)):
        return None
    left, right = (facts.get(name) for name in node.input)
    if left is None or right is None or not left.shape or not right.shape:
        return "no side is constant, and the rank of one is unknown"
    if left.element not in FLOATS:
        return "no side is constant, and they are no floats"
    right_axis = -1 if len(right.shape) == 1 else -2
    k = left.shape[-1] or right.shape[right_axis] or 0
    if not k and not k_at_run_time:
        return "no side is constant, and only a run tells K"
    if 0 < k < k_min:
        return f"K is {k}, and at least {k_min} is needed"
    return ActivationProduct(node, right_axis, (len(left.shape), len(right.shape)), left.element, k)
