"""Einsums of two tensors that are matrix products, written as a MatMul between Transposes and Reshapes.

Each letter of an equation is one of four: of the batch (both sides and the result), of the rows (left side and
result), of the columns (right side and result), or summed over (both sides alone).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx

from replicas.graph_walk import standard_domain
from replicas.ksplit.activations import FLOATS
from replicas.ksplit.nodes import NodeWriter
from replicas.shape_facts import Shape, TensorFact

_SIDES = 2


@dataclass(frozen=True, slots=True)
class MatrixEinsum:
    """One Einsum that is a matrix product.

    Args:
        node: the node that it stands for.
        left, right, result: the letters of its tensors.
        sizes: of the letters, as far as known.
    """

    node: onnx.NodeProto
    left: str
    right: str
    result: str
    sizes: Mapping[str, int]

    @property
    def batch(self) -> str:
        """Letters of both sides and the result."""
        return "".join(each for each in self.left if each in self.right and each in self.result)

    @property
    def rows(self) -> str:
        """Letters of the left side and the result."""
        return "".join(each for each in self.left if each not in self.right)

    @property
    def columns(self) -> str:
        """Letters of the right side and the result."""
        return "".join(each for each in self.right if each not in self.left)

    @property
    def summed(self) -> str:
        """Letters that are summed over."""
        return "".join(each for each in self.left if each in self.right and each not in self.result)

    def knows(self, letters: str) -> bool:
        """Whether the sizes of letters are known."""
        return all(each in self.sizes for each in letters)


def find_matrix_einsum(node: onnx.NodeProto, facts: Mapping[str, TensorFact], k_min: int) -> MatrixEinsum | str | None:
    """Read a node as an Einsum that is a matrix product.

    Args:
        node: a node of a graph.
        facts: shapes and element types, as far as known.
        k_min: an Einsum that sums over fewer elements, as far as known, stays as it is.

    Returns:
        The Einsum; or why this one stays as it is; or None for a node that is no Einsum, or sums over nothing.
    """
    if standard_domain(node.domain) != "" or node.op_type != "Einsum":
        return None
    equation = next((each.s.decode() for each in node.attribute if each.name == "equation"), "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    sides = terms.split(",")
    if not arrow or len(sides) != _SIDES or not all(each.isalpha() for each in sides) or not f"{result}a".isalpha():
        return f'its equation "{equation}" is not of two sides and a result in letters'
    left, right = sides
    if any(len(set(each)) != len(each) for each in (left, right, result)):
        return f'its equation "{equation}" takes a diagonal'
    if set(result) != (set(left) ^ set(right)) | (set(result) & set(left) & set(right)):
        return f'its equation "{equation}" sums over an axis of one side'
    sizes = _sizes([facts.get(name) for name in node.input], sides)
    found = None if sizes is None else MatrixEinsum(node, left, right, result, sizes)
    if found is None or not _can_be_written(found):
        return f'its equation "{equation}" is no plain matrix product of axes whose lengths are known'
    if not found.summed:
        return None
    elements = [facts[name].element if name in facts else onnx.TensorProto.UNDEFINED for name in node.input]
    if not set(elements) <= set(FLOATS):
        return "its sides are not known to be float32 or float64"
    k = prod(found.sizes.get(each, 0) for each in found.summed)
    return f"K is {k}, and at least {k_min} is needed" if 0 < k < k_min else found


def _sizes(facts: Sequence[TensorFact | None], sides: Sequence[str]) -> dict[str, int] | None:
    """The lengths of the letters that are known; None where the two sides know different ones."""
    sizes: dict[str, int] = {}
    for fact, letters in zip(facts, sides, strict=True):
        shape: Shape = (fact.shape if fact is not None else None) or ()
        for letter, length in zip(letters, shape, strict=False):  # a shape of another rank is refused by the runtime
            if length is not None and sizes.setdefault(letter, length) != length:
                return None
    return sizes


def _can_be_written(einsum: MatrixEinsum) -> bool:
    """Whether axes need only be merged where their lengths are known. Rows lead, and so need no merging."""
    if einsum.batch and (len(einsum.rows) != 1 or len(einsum.columns) != 1):
        return False
    merges = len(einsum.summed) > 1 or len(einsum.columns) > 1
    return not merges or einsum.knows(einsum.summed + einsum.columns)


def write_matrix_einsum(einsum: MatrixEinsum, *, opset: int, taken: set[str]) -> NodeWriter:
    """Write an Einsum; the tensor that it makes keeps its name.

    Args:
        einsum: what to write.
        opset: version of the standard operator set.
        taken: names that the model uses already; new ones join them.

    Returns:
        Its nodes, for its own graph, and its initializers, for the main graph.
    """
    output = einsum.node.output[0]
    writer = NodeWriter(opset=opset, taken=taken, prefix=f"{einsum.node.name or output}/")
    batch, rows, columns, summed = einsum.batch, einsum.rows, einsum.columns, einsum.summed
    left = _transposed(writer, einsum.node.input[0], einsum.left, batch + rows + summed)
    right = _transposed(writer, einsum.node.input[1], einsum.right, batch + summed + columns)
    merged_k, merged_n = (prod(einsum.sizes.get(each, 0) for each in letters) for letters in (summed, columns))
    if len(summed) > 1:
        left = writer.add("Reshape", [left, writer.integers([0] * len(batch + rows) + [merged_k])])
    if len(summed) > 1 or len(columns) > 1:
        width = [merged_n] if columns else []
        right = writer.add("Reshape", [right, writer.integers([0] * len(batch) + [merged_k, *width])])
    product = writer.add("MatMul", [left, right], writer.fresh("product"))
    if len(columns) > 1:
        lengths = [einsum.sizes[each] for each in columns]
        product = writer.add("Reshape", [product, writer.integers([0] * len(rows) + lengths)])
    order = [(batch + rows + columns).index(each) for each in einsum.result]
    if order == sorted(order):
        writer.nodes[-1].output[0] = output
    else:
        writer.add("Transpose", [product], output, perm=order)
    return writer


def _transposed(writer: NodeWriter, tensor: str, letters: str, wanted: str) -> str:
    if letters == wanted:
        return tensor
    return writer.add("Transpose", [tensor], perm=[letters.index(each) for each in wanted])
