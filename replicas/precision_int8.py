"""Products computed in whole numbers of 8 bits, as onnxruntime's dynamic quantisation writes them.

The weight is quantised once, with one scale for the tensor; the other side on each run, by the range of what came in
(DynamicQuantizeLinear). The products of whole numbers are added exactly, in any order: what differs between processors
is how they multiply (the saturating 16-bit products of processors without VNNI). The runtime's own
`onnxruntime.quantization.quantize_dynamic` takes files and breaks a weight that a Gemm and a Gather share; written
here, such a weight stays whole for the Gather, and the bits are otherwise the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from replicas.graph_names import drop_unused, names_in
from replicas.graph_walk import describe_node, standard_opset
from replicas.ksplit.constants import Array, ConstantValues
from replicas.ksplit.epilogue import write_epilogue
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product, find_product
from replicas.profile_faults import ProfileError
from replicas.shapes import infer_shapes

PREFIX = "lastbit.int8."
# DynamicQuantizeLinear; MatMulInteger came one earlier.
OPSET_MIN = 11


@dataclass(frozen=True, slots=True)
class Int8Result:
    """A model whose products with constant weights are computed in whole numbers.

    Args:
        proto: the model.
        quantised: the products, as messages call them.
        positions: where each of these stood among the nodes of the main graph.
        left: the products that stay in floating point, each with the reason.
    """

    proto: onnx.ModelProto
    quantised: tuple[str, ...]
    positions: tuple[int, ...]
    left: tuple[tuple[str, str], ...]


def quantise_products(proto: onnx.ModelProto, *, signed: bool) -> Int8Result:
    """Quantise every MatMul and Gemm of the main graph whose right side is a constant of float32.

    Args:
        proto: the model, functions put in place; not changed.
        signed: int8 weights, symmetric about 0; otherwise uint8 weights with a zero point of their own.

    Raises:
        ProfileError: nothing in this model can be quantised, or its operator set is too old.
    """
    precision = "int8-s8" if signed else "int8-u8"
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    opset = standard_opset(model)
    if opset < OPSET_MIN:
        raise ProfileError((f"precision: {precision} needs operator set {OPSET_MIN}, and the model has {opset}",))
    writer = NodeWriter(opset=opset, taken=names_in(model.graph), prefix=PREFIX)
    quantiser = _Quantiser(writer, signed=signed)
    constants, facts = ConstantValues(model), infer_shapes(model)
    quantised: list[str] = []
    positions: list[int] = []
    left: list[tuple[str, str]] = []
    for position, node in enumerate(model.graph.node):
        found = find_product(node, constants, facts, k_min=1)
        reason = _reason_to_leave(found) if isinstance(found, Product) else found
        if isinstance(found, Product) and reason is None:
            quantiser.write(found)
            quantised.append(describe_node(node))
            positions.append(position)
            continue
        writer.nodes.append(node)
        if reason is not None:
            left.append((describe_node(node), reason))
    if not quantised:
        raise ProfileError((_nothing_to_quantise(precision, left),))
    nodes = list(writer.nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(writer.initializers)
    drop_unused(model.graph)
    return Int8Result(model, tuple(quantised), tuple(positions), tuple(left))


def _reason_to_leave(product: Product) -> str | None:
    if product.weight_is_left:
        return "its weight stands left"
    if product.weight.dtype != np.float32:
        return f"its weight is {product.weight.dtype}; float32 is quantised"
    if not np.isfinite(product.weight).all():
        return "its weight holds infinities or NaN"
    return None


def _nothing_to_quantise(precision: str, left: list[tuple[str, str]]) -> str:
    fault = f"precision: {precision} finds no product to quantise in this model"
    if not left:
        return f"{fault}: it has no MatMul and no Gemm outside subgraphs; use fp32"
    place, reason = left[0]
    return f"{fault}; of {len(left)}, {place}: {reason}; use fp32"


class _Quantiser:
    """Writes products in whole numbers; sides that several products share are quantised once."""

    def __init__(self, writer: NodeWriter, *, signed: bool) -> None:
        self._writer = writer
        self._signed = signed
        self._operands: dict[tuple[str, bool], tuple[str, str, str]] = {}
        self._weights: dict[tuple[str, bool], tuple[str, str, str]] = {}

    def write(self, product: Product) -> None:
        """Write one product; the tensor that it makes keeps its name."""
        operand, operand_scale, operand_zero = self._operand(product)
        weight, weight_scale, weight_zero = self._weight(product)
        writer = self._writer
        whole = writer.add("MatMulInteger", [operand, weight, operand_zero, weight_zero])
        total = writer.add("Cast", [whole], to=onnx.TensorProto.FLOAT)
        scale = writer.add("Mul", [operand_scale, weight_scale])
        write_epilogue(writer, product, lambda output: writer.add("Mul", [total, scale], output))

    def _operand(self, product: Product) -> tuple[str, str, str]:
        key = (product.operand, product.operand_transposed)
        if key not in self._operands:
            tensor, writer = product.operand, self._writer
            if product.operand_transposed:
                tensor = writer.add("Transpose", [tensor], perm=[1, 0])
            self._operands[key] = writer.dynamic_quantize(tensor)
        return self._operands[key]

    def _weight(self, product: Product) -> tuple[str, str, str]:
        key = (product.weight_name, product.weight_transposed)
        if key not in self._weights:
            values, scale, zero_point = quantised_weight(product.weight, signed=self._signed)
            self._weights[key] = (
                self._writer.constant(values, "weight"),
                self._writer.constant(np.array(scale), "scale"),
                self._writer.constant(zero_point, "zero_point"),
            )
        return self._weights[key]


def quantised_weight(weight: Array, *, signed: bool) -> tuple[Array, np.float32, Array]:
    """A float32 tensor as whole numbers of 8 bits, their scale and their zero point: weight = scale (q - zero point).

    The range always holds 0. Signed numbers run from -127 to 127 about 0, unsigned from 0 to 255.

    Args:
        weight: finite numbers.
        signed: int8; otherwise uint8.

    Example:
        >>> values, scale, zero_point = quantised_weight(np.float32([-1.0, 0.5]), signed=True)
        >>> values.tolist(), int(zero_point)
        ([-127, 64], 0)
    """
    dtype = np.int8 if signed else np.uint8
    low, high = np.float64(min(weight.min(initial=0), 0)), np.float64(max(weight.max(initial=0), 0))
    if signed:
        high = max(-low, high)
        low = -high
    exact = (high - low) / (254 if signed else 255)
    if exact < np.finfo(np.float32).tiny:
        return np.zeros(weight.shape, dtype), np.float32(1), np.array(0, dtype)
    zero_point = 0 if signed else round(-low / exact)
    scale = np.float32(exact)
    whole: NDArray[np.float32] = np.rint(weight / scale) + np.float32(zero_point)
    bounds = np.iinfo(dtype)
    return np.clip(whole, bounds.min, bounds.max).astype(dtype), scale, np.array(zero_point, dtype)
