"""How partial products are added: left to right, in an order given at run time or as they stand, or in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from replicas.ksplit.nodes import NodeWriter
from replicas.ksplit.rewrite import ORDER_INPUT
from replicas.ksplit.rounding import Rounder


class Addition(Protocol):
    """Writes the sum of partial products.

    Attributes:
        columns: of the order that it reads; 0 where it reads none.
    """

    @property
    def columns(self) -> int: ...

    def total(self, partials: Sequence[str], row: int, element: int) -> str:
        """Round the partial products, add them, and return the name of the sum, which has one more axis in front.

        Args:
            partials: names of tensors of one shape.
            row: of the order, where one is read.
            element: their element type.
        """


class LeftToRight:
    """A running sum, which is rounded after each addition.

    Args:
        writer: where the nodes go.
        rounder: to what partial products and sums are rounded.
        columns: how many partial products a row of the order puts in order; 0 to add them as they stand.
    """

    def __init__(self, writer: NodeWriter, rounder: Rounder, *, columns: int) -> None:
        self._writer = writer
        self._rounder = rounder
        self.columns = columns

    def total(self, partials: Sequence[str], row: int, element: int) -> str:
        """See `Addition`."""
        writer = self._writer
        stack = stacked(writer, self._rounder, partials, element)
        if self.columns:
            order = writer.add("Gather", [ORDER_INPUT, writer.scalar(row)], axis=0)
            stack = writer.add("Gather", [stack, order], axis=0)
        total, *rest = writer.split(stack, [1] * len(partials), axis=0)
        for summand in rest:
            total = self._rounder.round(writer.add("Add", [total, summand]), element)
        return total


class InTree:
    """Sums of neighbours, of the sums of neighbours, and so on: each shard adds its own, and then the shards.

    Args:
        writer: where the nodes go.
        rounder: to what partial products and sums are rounded.
        shards: into how many shards the partial products fall; a power of two that divides their number.
    """

    columns = 0

    def __init__(self, writer: NodeWriter, rounder: Rounder, *, shards: int) -> None:
        self._writer = writer
        self._rounder = rounder
        self._shards = shards

    def total(self, partials: Sequence[str], row: int, element: int) -> str:  # noqa: ARG002  # a tree has no order
        """See `Addition`."""
        each = len(partials) // self._shards
        sums = [self._of_shard(partials[first : first + each], element) for first in range(0, len(partials), each)]
        return self._added(sums, element)

    def _of_shard(self, partials: Sequence[str], element: int) -> str:
        stack = stacked(self._writer, self._rounder, partials, element)
        return self._added(self._writer.split(stack, [1] * len(partials), axis=0), element)

    def _added(self, summands: Sequence[str], element: int) -> str:
        while len(summands) > 1:
            pairs = zip(summands[::2], summands[1::2], strict=True)
            summands = [self._rounder.round(self._writer.add("Add", pair), element) for pair in pairs]
        return summands[0]


def stacked(writer: NodeWriter, rounder: Rounder, partials: Sequence[str], element: int) -> str:
    """Partial products as one tensor with one axis more, rounded. The runtime would fuse a product with a bare sum."""
    return rounder.round(writer.add("Concat", [writer.unsqueeze(each) for each in partials], axis=0), element)
