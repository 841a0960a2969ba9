"""Rewrite the products of a graph so that they read the order of their summation from an input of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import onnx
from onnx import helper

from replicas.graph_names import drop_unused, names_in
from replicas.graph_walk import describe_node, opset_versions
from replicas.ksplit.activations import ActivationProduct, find_activation_product
from replicas.ksplit.constants import ConstantValues
from replicas.ksplit.convolutions import Convolution, find_convolution
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.products import Product, find_product
from replicas.profile import ProfileError
from replicas.shapes import infer_shapes

ORDER_INPUT = "lastbit.order"
USUAL = {"summation": "as-built", "precision": "fp32"}
"""What a setting is where no product is rewritten."""

Rewritable: TypeAlias = Product | ActivationProduct | Convolution


@dataclass(frozen=True, slots=True)
class RewriteResult:
    """A rewritten model.

    Args:
        proto: the model; a new input `lastbit.order`, int64 [rows, columns], stands last if products read it. Each of
            its rows is a permutation of range(columns).
        columns: of the order; 0 where no product reads one.
        rewritten: the products, as messages call them; number i reads row i.
        positions: where each of these stood among the nodes of the main graph.
        left_as_built: products that are not rewritten, each with the reason.
        sums_rounded_once: tensors in double precision, each of which is rounded to what a product makes.
    """

    proto: onnx.ModelProto
    columns: int
    rewritten: tuple[str, ...]
    positions: tuple[int, ...]
    left_as_built: tuple[tuple[str, str], ...]
    sums_rounded_once: tuple[str, ...]


class ProductRewriter(Protocol):
    """Writes products in a new form.

    Attributes:
        columns: of the order that they read; 0 where they read none.
        sums_rounded_once: see `RewriteResult`.
    """

    @property
    def columns(self) -> int: ...

    @property
    def sums_rounded_once(self) -> Sequence[str]: ...

    def write(self, product: Rewritable, row: int) -> None:
        """Write one product, which takes its order from the given row. The tensor that it makes keeps its name."""


def rewrite_products(
    proto: onnx.ModelProto,
    *,
    kind: str,
    k_min: int,
    k_at_run_time: bool,
    rewriter: Callable[[NodeWriter, Sequence[Rewritable]], ProductRewriter],
    setting: str = "summation",
    why_not: Callable[[Rewritable], str | None] | None = None,
) -> RewriteResult:
    """Rewrite every MatMul, Gemm and Conv of floats of the main graph; a Gemm and a Conv need a constant side.

    A product inside an If, Loop or Scan stays as it is.

    Args:
        proto: the model, functions put in place; not changed.
        kind: what the setting is set to, for messages and for the names of new tensors.
        k_min: a product with fewer elements along K stays as it is.
        k_at_run_time: whether a product of two tensors may leave K to the run.
        rewriter: makes what writes the products, from all of them.
        setting: of the profile which asks for it, for messages.
        why_not: why a product that could be rewritten stays as it is all the same.

    Raises:
        ProfileError: nothing in this model can be rewritten, or a name that is needed is taken.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    taken = names_in(model.graph)
    if ORDER_INPUT in taken:
        raise ProfileError((f'summation: the model has a tensor "{ORDER_INPUT}" already; rename it',))
    constants, facts = ConstantValues(model), infer_shapes(model)
    found = [
        find_activation_product(node, constants, facts, k_min=k_min, k_at_run_time=k_at_run_time)
        or find_product(node, constants, facts, k_min)
        or find_convolution(node, constants, k_min)
        for node in model.graph.node
    ]
    if why_not is not None:
        found = [(why_not(each) or each) if isinstance(each, Rewritable) else each for each in found]
    left_as_built = tuple(
        (describe_node(node), each) for node, each in zip(model.graph.node, found, strict=True) if isinstance(each, str)
    )
    products = [each for each in found if isinstance(each, Rewritable)]
    if not products:
        raise ProfileError((_nothing_to_rewrite(setting, kind, left_as_built),))
    writer = NodeWriter(opset=opset_versions(model).get("", 1), taken=taken, prefix=f"lastbit.{kind}.")
    products_written = rewriter(writer, products)
    rows = iter(range(len(products)))
    for node, each in zip(model.graph.node, found, strict=True):
        if isinstance(each, Rewritable):
            products_written.write(each, row=next(rows))
        else:
            writer.nodes.append(node)
    _put_in_place(model, writer)
    if products_written.columns:
        shape = [len(products), products_written.columns]
        model.graph.input.append(helper.make_tensor_value_info(ORDER_INPUT, onnx.TensorProto.INT64, shape))
    return RewriteResult(
        proto=model,
        columns=products_written.columns,
        rewritten=tuple(describe_node(product.node) for product in products),
        positions=tuple(position for position, each in enumerate(found) if isinstance(each, Rewritable)),
        left_as_built=left_as_built,
        sums_rounded_once=tuple(products_written.sums_rounded_once),
    )


def _nothing_to_rewrite(setting: str, kind: str, left_as_built: Sequence[tuple[str, str]]) -> str:
    fault, usual = f"{setting}: {kind} finds no product in this model", USUAL[setting]
    if not left_as_built:
        return f"{fault}: it has no MatMul, Gemm or Conv outside subgraphs; use {usual}"
    place, reason = left_as_built[0]
    return f"{fault} that it can rewrite; of {len(left_as_built)}, {place}: {reason}; use {usual}"


def _put_in_place(model: onnx.ModelProto, writer: NodeWriter) -> None:
    nodes = list(writer.nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(writer.initializers)
    drop_unused(model.graph)
