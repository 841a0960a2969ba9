"""How many multiply-adds the nodes that multiply matrices need: one rule for each operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import onnx

from replicas.shape_facts import Shape, TensorFact

# What an unknown dimension counts as.
DIMENSION_DEFAULT = 1


@dataclass(frozen=True, slots=True)
class NodeShapes:
    """A node with what is known of its tensors; anything unknown counts as one.

    Args:
        node: the node.
        facts: of the tensors in scope, by name.
    """

    node: onnx.NodeProto
    facts: Mapping[str, TensorFact]

    def input(self, index: int) -> Shape:
        """The shape of an input; () where there is none or its rank is unknown."""
        fact = self.facts.get(self.node.input[index]) if index < len(self.node.input) else None
        return fact.shape or () if fact else ()

    def output(self) -> Shape | None:
        """The shape of the first output, or None where its rank is unknown."""
        fact = self.facts.get(self.node.output[0]) if self.node.output else None
        return fact.shape if fact else None

    def attribute(self, name: str, default: int = 0) -> int:
        """A whole-number attribute."""
        return next((each.i for each in self.node.attribute if each.name == name), default)


def size(shape: Shape) -> int:
    """Elements of a shape, unknown dimensions counting as one.

    Example:
        >>> size((2, None, 3))
        6
    """
    product = 1
    for dimension in shape:
        product *= DIMENSION_DEFAULT if dimension is None else dimension
    return product


def _axis(shape: Shape, index: int) -> int:
    found = shape[index] if -len(shape) <= index < len(shape) else None
    return DIMENSION_DEFAULT if found is None else found


def _matmul(left: int, right: int) -> Callable[[NodeShapes], int]:
    def rule(at: NodeShapes) -> int:
        a, b = at.input(left), at.input(right)
        k = _axis(b, 0) if len(b) == 1 else max(_axis(a, -1), _axis(b, -2))
        output = at.output()
        if output is not None and None not in output:
            return size(output) * k
        rows = max(size(a) // _axis(a, -1) if _axis(a, -1) else 0, 1)
        return rows * k * (_axis(b, -1) if len(b) > 1 else 1)

    return rule


def _fused_matmul(at: NodeShapes) -> int:
    a, b = at.input(0), at.input(1)
    k = _axis(a, -2 if at.attribute("transA") else -1)
    n = _axis(b, -2 if at.attribute("transB") else -1)
    output = at.output()
    return size(output) * k if output is not None else size(a) * n


def _gemm(left: int, right: int) -> Callable[[NodeShapes], int]:
    def rule(at: NodeShapes) -> int:
        a, b = at.input(left), at.input(right)
        m, k = (_axis(a, 1), _axis(a, 0)) if at.attribute("transA") else (_axis(a, 0), _axis(a, 1))
        k_too, n = (_axis(b, 1), _axis(b, 0)) if at.attribute("transB") else (_axis(b, 0), _axis(b, 1))
        return m * max(k, k_too) * n

    return rule


def _conv(weight: int) -> Callable[[NodeShapes], int]:
    def rule(at: NodeShapes) -> int:
        shape = at.input(weight)
        per_output = size(shape[1:])
        output = at.output()
        return (size(output) if output is not None else size(at.input(0))) * per_output

    return rule


def _conv_transpose(at: NodeShapes) -> int:
    return size(at.input(0)) * size(at.input(1)[1:])


def _recurrent(at: NodeShapes) -> int:
    steps_and_batch = size(at.input(0)[:-1])
    return steps_and_batch * (size(at.input(1)) + size(at.input(2)))


def _einsum(at: NodeShapes) -> int:
    equation = next((each.s.decode() for each in at.node.attribute if each.name == "equation"), "")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    extents: dict[str, int] = {}
    for index, term in enumerate(terms):
        for letter, dimension in zip(reversed(term), reversed(at.input(index)), strict=False):
            extents[letter] = max(extents.get(letter, 1), DIMENSION_DEFAULT if dimension is None else dimension)
    return size(tuple(extents.values())) * max(len(terms) - 1, 1)


def _attention(at: NodeShapes) -> int:
    queries, keys = at.input(0), at.input(1)
    return 2 * size(queries) * _axis(keys, -2)  # queries x keys, then weights x values


def _packed_attention(at: NodeShapes) -> int:
    tokens, weights = at.input(0), at.input(1)
    projected = size(tokens[:-1]) * size(weights)
    width = _axis(weights, -1) // 3 or 1
    return projected + 2 * size(tokens[:-1]) * _axis(tokens, 1) * width


def _packed_weights(at: NodeShapes) -> int:
    return size(at.input(0)[:-1]) * max(at.attribute("K"), 1) * max(at.attribute("N"), 1)


def _linear(at: NodeShapes) -> int:
    coefficients = sum(
        len(each.floats) for each in at.node.attribute if each.name in ("coefficients", "support_vectors")
    )
    return _axis(at.input(0), 0) * coefficients


Rule: TypeAlias = Callable[[NodeShapes], int]

RULES: Mapping[tuple[str, str], Rule] = {
    ("", "MatMul"): _matmul(0, 1),
    ("", "MatMulInteger"): _matmul(0, 1),
    ("", "QLinearMatMul"): _matmul(0, 3),
    ("com.microsoft", "DynamicQuantizeMatMul"): _matmul(0, 1),
    ("com.microsoft", "MatMulIntegerToFloat"): _matmul(0, 1),
    ("com.microsoft", "FusedMatMul"): _fused_matmul,
    ("com.microsoft", "MatMulNBits"): _packed_weights,
    ("", "Gemm"): _gemm(0, 1),
    ("com.microsoft", "FusedGemm"): _gemm(0, 1),
    ("com.microsoft", "QGemm"): _gemm(0, 3),
    ("", "Conv"): _conv(1),
    ("", "ConvInteger"): _conv(1),
    ("", "QLinearConv"): _conv(3),
    ("com.microsoft", "FusedConv"): _conv(1),
    ("", "ConvTranspose"): _conv_transpose,
    ("", "LSTM"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "RNN"): _recurrent,
    ("", "Einsum"): _einsum,
    ("", "Attention"): _attention,
    ("com.microsoft", "MultiHeadAttention"): _attention,
    ("com.microsoft", "GroupQueryAttention"): _attention,
    ("com.microsoft", "Attention"): _packed_attention,
    ("com.microsoft", "QAttention"): _packed_attention,
    ("ai.onnx.ml", "LinearClassifier"): _linear,
    ("ai.onnx.ml", "LinearRegressor"): _linear,
    ("ai.onnx.ml", "SVMClassifier"): _linear,
    ("ai.onnx.ml", "SVMRegressor"): _linear,
}
