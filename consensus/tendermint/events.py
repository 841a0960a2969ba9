"""The events that the rules of Algorithm 1 wait for. Who counts votes and judges proposals makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consensus.tendermint.round_state import Timeout, ValueId


@dataclass(frozen=True, slots=True)
class StartRound:
    """A round begins (line 11)."""

    round: int
    is_proposer: bool


@dataclass(frozen=True, slots=True)
class ValueReady:
    """The value that `GetValue` asked for (line 18)."""

    value: ValueId


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A valid proposal of this round, without an earlier polka (line 22)."""

    value: ValueId


@dataclass(frozen=True, slots=True)
class InvalidProposal:
    """A proposal of this round that is not valid, without an earlier polka (line 22)."""


@dataclass(frozen=True, slots=True)
class ProposalWithEarlierPolka:
    """A valid proposal of this round, and the polka that it had in an earlier one (line 28)."""

    value: ValueId
    valid_round: int


@dataclass(frozen=True, slots=True)
class InvalidProposalWithPolka:
    """A proposal of this round that is not valid, and the polka that it had in an earlier one (line 28)."""


@dataclass(frozen=True, slots=True)
class ProposalWithPolka:
    """A valid proposal of this round, and a polka for it in this round (line 36)."""

    value: ValueId


@dataclass(frozen=True, slots=True)
class PolkaAny:
    """Two thirds prevoted in this round, whatever for (line 34)."""


@dataclass(frozen=True, slots=True)
class PolkaNil:
    """Two thirds prevoted nil in this round (line 44)."""


@dataclass(frozen=True, slots=True)
class PrecommitAny:
    """Two thirds precommitted in this round, whatever for (line 47)."""


@dataclass(frozen=True, slots=True)
class ProposalWithPrecommits:
    """A valid proposal of any round, and two thirds that precommitted it there (line 49)."""

    round: int
    value: ValueId


@dataclass(frozen=True, slots=True)
class RoundSkip:
    """More than a third speak in a later round (line 55)."""

    round: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A timeout has run out (lines 57, 61 and 65)."""

    timeout: Timeout
    height: int
    round: int


Event: TypeAlias = (
    StartRound
    | ValueReady
    | ProposalReceived
    | InvalidProposal
    | ProposalWithEarlierPolka
    | InvalidProposalWithPolka
    | ProposalWithPolka
    | PolkaAny
    | PolkaNil
    | PrecommitAny
    | ProposalWithPrecommits
    | RoundSkip
    | TimedOut
)
