"""Rewrite the products of a graph so that their partial products are added in an order given at run time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from replicas.graph_names import drop_unused, names_in
from replicas.graph_walk import describe_node, opset_versions
from replicas.ksplit.constants import ConstantValues
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product, find_product
from replicas.ksplit.rounding import Rounder, check_opset
from replicas.profile import PartialPrecision, ProfileError
from replicas.shapes import infer_shapes

ORDER_INPUT = "lastbit.order"
PREFIX = "lastbit.ksplit."


@dataclass(frozen=True, slots=True)
class KSplitResult:
    """A rewritten model.

    Args:
        proto: the model; a new input `lastbit.order`, int64 [rows, slices], stands last.
        rewritten: the nodes that were split, as messages call them; node i reads row i of the order.
        positions: where each of these stood among the nodes of the main graph.
        left_whole: products that were not, each with the reason.
    """

    proto: onnx.ModelProto
    rewritten: tuple[str, ...]
    positions: tuple[int, ...]
    left_whole: tuple[tuple[str, str], ...]


def split_products(proto: onnx.ModelProto, *, slices: int, partials: PartialPrecision) -> KSplitResult:
    """Split every MatMul and Gemm of the main graph that has one constant side of floats.

    What is rounded to `partials`, to nearest even: each partial product once the runtime has computed it, and each
    running sum after each addition. What is not: the products and sums inside a slice. The sum is
    then multiplied by alpha, and beta times the addend is added last, both in the precision of the graph.

    K is cut as evenly as it goes, longer slices first. A product with K < `slices` stays whole, and so does one inside
    an If, Loop or Scan. The tensor that a product makes keeps its name.

    Args:
        proto: the model, functions put in place; not changed.
        slices: S, at least 2.
        partials: "fp32", "tf32", "bf16" or "fp16".

    Raises:
        ProfileError: nothing in this model can be split, or a name that is needed is taken.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    taken = names_in(model.graph)
    if ORDER_INPUT in taken:
        raise ProfileError((f'summation: the model has a tensor "{ORDER_INPUT}" already; rename it',))
    opset = opset_versions(model).get("", 1)
    check_opset(opset, partials)
    writer = NodeWriter(opset=opset, taken=taken, prefix=PREFIX)
    splitter = _Splitter(writer, slices=slices, partials=partials)
    rewritten: list[str] = []
    positions: list[int] = []
    left_whole: list[tuple[str, str]] = []
    constants, facts = ConstantValues(model), infer_shapes(model)
    for position, node in enumerate(model.graph.node):
        found = find_product(node, constants, facts, slices)
        if isinstance(found, Product):
            splitter.write(found, row=len(rewritten))
            rewritten.append(describe_node(node))
            positions.append(position)
            continue
        writer.nodes.append(node)
        if found is not None:
            left_whole.append((describe_node(node), found))
    if not rewritten:
        raise ProfileError((_nothing_to_split(left_whole),))
    _put_in_place(model, writer)
    order = helper.make_tensor_value_info(ORDER_INPUT, onnx.TensorProto.INT64, [len(rewritten), slices])
    model.graph.input.append(order)
    drop_unused(model.graph)
    return KSplitResult(model, tuple(rewritten), tuple(positions), tuple(left_whole))


def _nothing_to_split(left_whole: list[tuple[str, str]]) -> str:
    fault = "summation: ksplit has nothing to split in this model"
    if not left_whole:
        return f"{fault}: it has no MatMul and no Gemm outside subgraphs; use as-built"
    place, reason = left_whole[0]
    return f"{fault}; of its {len(left_whole)} products, {place}: {reason}; use as-built"


def _put_in_place(model: onnx.ModelProto, writer: NodeWriter) -> None:
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    model.graph.initializer.extend(writer.initializers)


class _Splitter:
    """Writes split products; parts of an operand or a weight that several products share are written once."""

    def __init__(self, writer: NodeWriter, *, slices: int, partials: PartialPrecision) -> None:
        self._writer = writer
        self._slices = slices
        self._rounder = Rounder(writer, partials)
        self._operands: dict[tuple[str, int, int], tuple[str, ...]] = {}
        self._weights: dict[tuple[str, bool, int], tuple[str, ...]] = {}

    def write(self, product: Product, row: int) -> None:
        """Write one product, which takes its order from the given row."""
        writer = self._writer
        is_double = product.weight.dtype == np.float64
        element = onnx.TensorProto.DOUBLE if is_double else onnx.TensorProto.FLOAT
        partials = [writer.unsqueeze(name) for name in self._partial_products(product)]
        stack = self._rounder.round(writer.add("Concat", partials, axis=0), element)
        order = writer.add("Gather", [ORDER_INPUT, writer.scalar(row)], axis=0)
        ordered = writer.split(writer.add("Gather", [stack, order], axis=0), [1] * self._slices, axis=0)
        total = ordered[0]
        for summand in ordered[1:]:
            total = self._rounder.round(writer.add("Add", [total, summand]), element)
        self._finish(product, total)

    def _partial_products(self, product: Product) -> Iterator[str]:
        operands, weights = self._operand_parts(product), self._weight_parts(product)
        for operand, weight in zip(operands, weights, strict=True):
            factor = self._writer.add("Transpose", [operand], perm=[1, 0]) if product.operand_transposed else operand
            yield self._writer.add("MatMul", [weight, factor] if product.weight_is_left else [factor, weight])

    def _operand_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.operand, product.operand_axis, product.k)
        if key not in self._operands:
            sizes = _slice_sizes(product.k, self._slices)
            self._operands[key] = self._writer.split(product.operand, sizes, product.operand_axis)
        return self._operands[key]

    def _weight_parts(self, product: Product) -> tuple[str, ...]:
        key = (product.weight_name, product.weight_transposed, product.weight_axis)
        if key not in self._weights:
            parts = np.array_split(product.weight, self._slices, axis=product.weight_axis)
            self._weights[key] = tuple(self._writer.constant(part, "weight") for part in parts)
        return self._weights[key]

    def _finish(self, product: Product, total: str) -> None:
        """Scale, add what is to be added, and give the result the name that the rest of the graph knows."""
        writer, result = self._writer, product.node.output[0]
        dtype = product.weight.dtype
        if product.alpha == 1.0 and not product.addend:
            writer.squeeze(total, result)
            return
        total = writer.squeeze(total)
        if product.alpha != 1.0:
            alpha = writer.constant(np.array(product.alpha, dtype), "alpha")
            total = writer.add("Mul", [total, alpha], output="" if product.addend else result)
        if not product.addend:
            return
        addend = product.addend
        if product.beta != 1.0:
            addend = writer.add("Mul", [addend, writer.constant(np.array(product.beta, dtype), "beta")])
        writer.add("Add", [total, addend], output=result)


def _slice_sizes(k: int, slices: int) -> list[int]:
    """The lengths of np.array_split: as even as it goes, longer ones first.

    Example:
        >>> _slice_sizes(10, 4)
        [3, 3, 2, 2]
    """
    return [k // slices + (index < k % slices) for index in range(slices)]
