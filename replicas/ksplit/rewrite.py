"""Rewrite the products of a graph so that they read the order of their summation from an input of the graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import onnx
from onnx import helper

from replicas.graph_names import drop_unused, names_in
from replicas.graph_walk import Position, standard_opset, subgraphs
from replicas.ksplit.activations import ActivationProduct, find_activation_product
from replicas.ksplit.convolutions import Convolution, find_convolution
from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.opened import open_operators
from replicas.ksplit.products import Product, find_product
from replicas.ksplit.scopes import ScopedNode, scoped_nodes
from replicas.profile import ProfileError

ORDER_INPUT = "lastbit.order"
USUAL = {"summation": "as-built", "precision": "fp32"}
"""What a setting is where no product is rewritten."""

Rewritable: TypeAlias = Product | ActivationProduct | Convolution


@dataclass(frozen=True, slots=True)
class RewriteResult:
    """A rewritten model.

    Args:
        opened: the model before its products were rewritten, operators opened.
        proto: the model; a new input `lastbit.order`, int64 [rows, columns], stands last if products read it. Each of
            its rows is a permutation of range(columns).
        columns: of the order; 0 where no product reads one.
        rewritten: the products, as messages call them; number i reads row i.
        positions: where each of these stood in the opened model.
        left_as_built: products that are not rewritten, each with the reason.
        sums_rounded_once: tensors in double precision, each of which is rounded to what a product makes.
    """

    opened: onnx.ModelProto
    proto: onnx.ModelProto
    columns: int
    rewritten: tuple[str, ...]
    positions: tuple[Position, ...]
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
    by_places: bool,
    k_at_run_time: bool,
    rewriter: Callable[[NodeWriter, Sequence[Rewritable]], ProductRewriter],
    setting: str = "summation",
    why_not: Callable[[Rewritable], str | None] | None = None,
) -> RewriteResult:
    """Rewrite every MatMul, Gemm and Conv of floats, at any depth; a Gemm and a Conv need a constant side.

    Recurrent operators are opened first, and what they hold is rewritten too.
    A product inside an If, Loop or Scan reads its row of the order from the main graph, the same one in all iterations.

    Args:
        proto: the model, functions put in place; not changed.
        kind: what the setting is set to, for messages and for the names of new tensors.
        k_min: a product with fewer elements along K stays as it is.
        by_places: whether narrow convolutions and transposed ones are rewritten as well.
        k_at_run_time: whether a product of two tensors may leave K to the run.
        rewriter: makes what writes the products, from all of them.
        setting: of the profile which asks for it, for messages.
        why_not: why a product that could be rewritten stays as it is all the same.

    Raises:
        ProfileError: nothing in this model can be rewritten, or a name that is needed is taken.
    """
    opened = open_operators(proto, k_min)
    model = onnx.ModelProto()
    model.CopyFrom(opened.proto)
    taken = names_in(model.graph)
    if ORDER_INPUT in taken:
        raise ProfileError((f'summation: the model has a tensor "{ORDER_INPUT}" already; rename it',))
    nodes = list(scoped_nodes(model))
    found = [(each, _read(each, k_min=k_min, by_places=by_places, k_at_run_time=k_at_run_time)) for each in nodes]
    if why_not is not None:
        found = [(at, (why_not(each) or each) if isinstance(each, Rewritable) else each) for at, each in found]
    left_as_built = (*opened.left, *((at.place, reason) for at, reason in found if isinstance(reason, str)))
    products = {at.position: product for at, product in found if isinstance(product, Rewritable)}
    if not products:
        raise ProfileError((_nothing_to_rewrite(setting, kind, left_as_built),))
    writer = NodeWriter(opset=standard_opset(model), taken=taken, prefix=f"lastbit.{kind}.")
    products_written = rewriter(writer, tuple(products.values()))
    rows = {position: row for row, position in enumerate(products)}
    _rewrite_graph(model.graph, (), writer, lambda at: products_written.write(products[at], rows[at]), rows)
    model.graph.initializer.extend(writer.initializers)
    if products_written.columns:
        shape = [len(products), products_written.columns]
        model.graph.input.append(helper.make_tensor_value_info(ORDER_INPUT, onnx.TensorProto.INT64, shape))
    drop_unused(model.graph)
    return RewriteResult(
        opened=opened.proto,
        proto=model,
        columns=products_written.columns,
        rewritten=tuple(at.place for at, product in found if isinstance(product, Rewritable)),
        positions=tuple(products),
        left_as_built=left_as_built,
        sums_rounded_once=tuple(products_written.sums_rounded_once),
    )


def _read(at: ScopedNode, *, k_min: int, by_places: bool, k_at_run_time: bool) -> Rewritable | str | None:
    """A node as a product that can be rewritten, or why it stays as it is; None for a node that is no product."""
    return (
        find_activation_product(at.node, at.constants, at.facts, k_min=k_min, k_at_run_time=k_at_run_time)
        or find_product(at.node, at.constants, at.facts, k_min)
        or find_convolution(at.node, at.constants, k_min, by_places=by_places)
    )


def _rewrite_graph(
    graph: onnx.GraphProto,
    around: Position,
    writer: NodeWriter,
    write: Callable[[Position], None],
    rewritten: Collection[Position],
) -> None:
    """Write the nodes of a graph anew, and those of the graphs inside them."""
    with writer.graph() as nodes:
        for number, node in enumerate(graph.node):
            at = (*around, number)
            if at in rewritten:
                write(at)
                continue
            for index, inner in enumerate(subgraphs(node)):
                _rewrite_graph(inner, (*at, index), writer, write, rewritten)
            nodes.append(node)
        written = list(nodes)
        del graph.node[:]
        graph.node.extend(written)


def _nothing_to_rewrite(setting: str, kind: str, left_as_built: Sequence[tuple[str, str]]) -> str:
    fault, usual = f"{setting}: {kind} finds no product in this model", USUAL[setting]
    if not left_as_built:
        return f"{fault}: it has no matrix product, convolution or recurrent layer of floats; use {usual}"
    place, reason = left_as_built[0]
    return f"{fault} that it can rewrite; of {len(left_as_built)}, {place}: {reason}; use {usual}"
