"""What a block costs: each figure as it was measured, beside the closed form."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

FORMAT = "lastbit.costs/1"

Amount: TypeAlias = int | float
"""Whole, unless blocks differ."""


class Figure(msgspec.Struct, frozen=True):
    """What was measured, and what the closed form gives."""

    measured: Amount
    closed_form: Amount

    @property
    def agrees(self) -> bool:
        """Are they exactly equal?"""
        return self.measured == self.closed_form


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """Copies delivered for one block, without those that a replica would send itself.

    Attributes:
        proposal, first_votes, second_votes: the steps of agreement; `agreement` is their sum.
        certificates: combined votes, broadcast by every replica.
        output_votes: votes on outputs, where they are apart from agreement.
        checkpoint_votes: for one checkpoint or catch-up package; they come once in an interval.
        all_amortised: all together, checkpoint votes divided among the blocks of an interval.
        other: all else. Nothing, in an undisturbed run.
        kinds: those of one block by kind, checkpoints left out.
    """

    proposal: Figure
    first_votes: Figure
    second_votes: Figure
    agreement: Figure
    certificates: Figure
    output_votes: Figure
    checkpoint_votes: Figure
    all_amortised: Figure
    other: Figure
    kinds: dict[str, Amount]


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Message delays from the proposal of a block, computing taken off.

    Attributes:
        decided: until the last replica has decided it.
        next_block: until the next block is proposed.
        certified_first, certified_last: until the last replica knows that its output is certified, for the block of an
            interval that waits least and the one that waits longest.
    """

    decided: Figure
    next_block: Figure
    certified_first: Figure
    certified_last: Figure


class Computing(msgspec.Struct, frozen=True, kw_only=True):
    """What is computed for one block.

    Attributes:
        block_ns: simulated time that a replica computes.
        executions: times that a replica executes it.
        before_decision: executions between proposal and decision, of which the chain waits for the slowest replica's.
    """

    block_ns: Amount
    executions: Figure
    before_decision: Figure


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a block costs under one protocol with `n` replicas."""

    protocol: str
    n: int
    quorum: int
    interval: int
    messages: Messages
    delays: Delays
    computing: Computing

    @property
    def agrees(self) -> bool:
        """Is every figure that of the closed form?"""
        parts = (self.messages, self.delays, self.computing)
        figures = (getattr(part, name) for part in parts for name in part.__struct_fields__)
        return all(figure.agrees for figure in figures if isinstance(figure, Figure))


class CostsMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """What `lastbit costs` measured.

    Args:
        format: name and version of this object's shape.
        costs: for each protocol and number of replicas.
    """

    format: str = FORMAT
    costs: tuple[Costs, ...]

    def to_json(self) -> str:
        """One JSON object; `format` says which kind and version."""
        return msgspec.json.encode(self, order="deterministic").decode()


def json_schema() -> dict[str, Any]:
    """The JSON schema of the object that `to_json` writes."""
    return msgspec.json.schema(CostsMeasured)
