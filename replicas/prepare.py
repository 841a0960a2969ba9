"""From a model and a profile to the graph that a replica runs: precision first, then the order of summation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import onnx
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx import inliner

from replicas.constant_nodes import hold_tensors
from replicas.cost import node_costs, part_costs
from replicas.ksplit import InTree, LeftToRight, permute_products, split_products
from replicas.model import Model
from replicas.precision import (
    compute_in_fp64,
    compute_in_whole_numbers,
    quantise_products,
    round_weights_to_fp16,
)
from replicas.profile import AsBuilt, KPermute, KSplit, NumericProfile, Precision, ProfileError, Summation, Tree
from replicas.summation import LEAVES

CONTENT_BYTES_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationReport:
    """What was done to a model, and what was left as it is. Empty for a model that runs as built.

    Multiply-adds are counted with every dimension that the graph leaves open as 1.

    Args:
        multiply_adds: of the whole graph; 0 where no share of them is told.
        multiply_adds_reordered: of these, in products that are split or permuted along K.
        products_reordered: these products; number i reads row i of the order, where there is one.
        products_left_as_built: the other nodes that multiply and add, each with the reason.
        sums_rounded_once: the tensors in which products are added in double precision before they are rounded.
        values_rounded: weights that are fp16 numbers now.
        values_kept_fp32: by tensor, how many weights do not fit into fp16 and stayed fp32.
        float_nodes: nodes that take or make float32 tensors, under fp64.
        nodes_kept_fp32: those of them that have no fp64 kernel and stayed fp32 between Casts.
        multiply_adds_kept_fp32: the multiply-adds inside these.
        products_quantised: products computed in whole numbers, of 8 bits or of as many as are added exactly.
        multiply_adds_quantised: the multiply-adds inside these.
        products_not_quantised: the other products, each with the reason.
    """

    multiply_adds: int = 0
    multiply_adds_reordered: int = 0
    products_reordered: tuple[str, ...] = ()
    products_left_as_built: tuple[tuple[str, str], ...] = ()
    sums_rounded_once: tuple[str, ...] = ()
    values_rounded: int = 0
    values_kept_fp32: tuple[tuple[str, int], ...] = ()
    float_nodes: int = 0
    nodes_kept_fp32: tuple[str, ...] = ()
    multiply_adds_kept_fp32: int = 0
    products_quantised: tuple[str, ...] = ()
    multiply_adds_quantised: int = 0
    products_not_quantised: tuple[tuple[str, str], ...] = ()

    @property
    def share_reordered(self) -> float:
        """The share of the multiply-adds in products that are split or permuted along K."""
        return self.multiply_adds_reordered / self.multiply_adds if self.multiply_adds else 0.0

    @property
    def share_of_nodes_kept_fp32(self) -> float:
        """The share of the float nodes that has no fp64 kernel."""
        return len(self.nodes_kept_fp32) / self.float_nodes if self.float_nodes else 0.0

    @property
    def share_of_multiply_adds_kept_fp32(self) -> float:
        """The share of the multiply-adds that is computed in fp32 under fp64."""
        return self.multiply_adds_kept_fp32 / self.multiply_adds if self.multiply_adds else 0.0

    @property
    def share_quantised(self) -> float:
        """The share of the multiply-adds that is computed in whole numbers."""
        return self.multiply_adds_quantised / self.multiply_adds if self.multiply_adds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A graph ready for the runtime.

    Args:
        content: the serialised model.
        order_rows: rows of the input `lastbit.order`, one for each product that reads it; 0 where there is none.
        order_columns: its columns; each row is a permutation of range(order_columns).
        report: what was done.
    """

    content: bytes = field(repr=False)
    order_rows: int = 0
    order_columns: int = 0
    report: PreparationReport = field(default_factory=PreparationReport)


def prepare(model: Model, profile: NumericProfile) -> PreparedModel:
    """Rewrite a model as a profile asks. A profile that is fp32 and as built gives the model's own bytes.

    Raises:
        ProfileError: the profile asks for something that this model cannot do.
    """
    summation = profile.summation_in_use
    if profile.precision == "fp32" and isinstance(summation, AsBuilt):
        return PreparedModel(content=model.content)
    proto = model.proto()
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    hold_tensors(proto)
    proto, report = _PRECISIONS[profile.precision](proto, PreparationReport())
    proto, report, columns = _reordered(proto, report, summation)
    rows = len(report.products_reordered) if columns else 0
    return PreparedModel(content=_serialised(proto), order_rows=rows, order_columns=columns, report=report)


Step: TypeAlias = tuple[onnx.ModelProto, PreparationReport]


def _as_it_is(proto: onnx.ModelProto, report: PreparationReport) -> Step:
    return proto, report


def _with_fp16_weights(proto: onnx.ModelProto, report: PreparationReport) -> Step:
    result = round_weights_to_fp16(proto)
    return result.proto, replace(report, values_rounded=result.values_rounded, values_kept_fp32=result.values_kept)


def _in_fp64(proto: onnx.ModelProto, report: PreparationReport) -> Step:
    result = compute_in_fp64(proto)
    costs = node_costs(proto)
    return result.proto, replace(
        report,
        multiply_adds=sum(cost.multiply_adds for cost in costs),
        float_nodes=result.float_nodes,
        nodes_kept_fp32=tuple(costs[position].place for position in result.kept_positions),
        multiply_adds_kept_fp32=sum(costs[position].multiply_adds for position in result.kept_positions),
    )


def _in_int8(proto: onnx.ModelProto, report: PreparationReport, *, signed: bool) -> Step:
    result = quantise_products(proto, signed=signed)
    costs = node_costs(proto)
    return result.proto, replace(
        report,
        multiply_adds=sum(cost.multiply_adds for cost in costs),
        products_quantised=result.quantised,
        multiply_adds_quantised=sum(costs[position].multiply_adds for position in result.positions),
        products_not_quantised=result.left,
    )


def _in_whole_numbers(proto: onnx.ModelProto, report: PreparationReport) -> Step:
    result = compute_in_whole_numbers(proto)
    parts, rewritten = part_costs(node_costs(result.opened)), set(result.positions)
    return result.proto, replace(
        report,
        multiply_adds=sum(part.counted for part in parts),
        products_quantised=result.rewritten,
        multiply_adds_quantised=sum(part.counted for part in parts if part.position in rewritten),
        products_not_quantised=result.left_as_built,
    )


_PRECISIONS: Mapping[Precision, Callable[[onnx.ModelProto, PreparationReport], Step]] = {
    "fp32": _as_it_is,
    "fp16-weights": _with_fp16_weights,
    "fp64": _in_fp64,
    "int8-s8": partial(_in_int8, signed=True),
    "int8-u8": partial(_in_int8, signed=False),
    "integers": _in_whole_numbers,
}


def _reordered(
    proto: onnx.ModelProto, report: PreparationReport, summation: Summation
) -> tuple[onnx.ModelProto, PreparationReport, int]:
    match summation:
        case AsBuilt():
            return proto, report, 0
        case KSplit():
            columns = summation.slices if summation.reads_order else 0
            result = split_products(
                proto,
                kind="ksplit",
                slices=summation.slices,
                partials=summation.partials,
                addition=partial(LeftToRight, columns=columns),
            )
        case Tree():
            result = split_products(
                proto,
                kind="tree",
                slices=LEAVES,
                partials=summation.partials,
                addition=partial(InTree, shards=summation.shards),
            )
        case KPermute():
            result = permute_products(proto)
    parts = part_costs(node_costs(result.opened))
    rewritten = set(result.positions)
    named = {place for place, _ in result.left_as_built}
    rest = [part.place for part in parts if part.multiply_adds and part.position not in rewritten]
    reordered = replace(
        report,
        multiply_adds=sum(part.counted for part in parts),
        multiply_adds_reordered=sum(part.counted for part in parts if part.position in rewritten),
        products_reordered=result.rewritten,
        sums_rounded_once=result.sums_rounded_once,
        products_left_as_built=(
            *result.left_as_built,
            *((place, "its operator is not rewritten") for place in rest if place not in named),
        ),
    )
    return result.proto, reordered, result.columns


def _serialised(proto: onnx.ModelProto) -> bytes:
    try:
        return bytes(proto.SerializeToString())
    except EncodeError:  # a message of protobuf has a most
        raise ProfileError((f"the rewritten model would have more than {CONTENT_BYTES_MAX:,} bytes",)) from None
