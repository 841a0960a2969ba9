"""The events that the rules of Algorithm 1 wait for. Who counts votes and judges proposals makes them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from consensus.tendermint.round_state import Timeout, ValueId


class StartRound(msgspec.Struct, frozen=True, gc=False):
    """A round begins (line 11)."""

    round: int
    is_proposer: bool


class ValueReady(msgspec.Struct, frozen=True, gc=False):
    """The value that `GetValue` asked for (line 18)."""

    value: ValueId


class ProposalReceived(msgspec.Struct, frozen=True, gc=False):
    """A valid proposal of this round, without an earlier polka (line 22)."""

    value: ValueId


class InvalidProposal(msgspec.Struct, frozen=True, gc=False):
    """A proposal of this round that is not valid, without an earlier polka (line 22)."""


class ProposalWithEarlierPolka(msgspec.Struct, frozen=True, gc=False):
    """A valid proposal of this round, and the polka that it had in an earlier one (line 28)."""

    value: ValueId
    valid_round: int


class InvalidProposalWithPolka(msgspec.Struct, frozen=True, gc=False):
    """A proposal of this round that is not valid, and the polka that it had in an earlier one (line 28)."""


class ProposalWithPolka(msgspec.Struct, frozen=True, gc=False):
    """A valid proposal of this round, and a polka for it in this round (line 36)."""

    value: ValueId


class PolkaAny(msgspec.Struct, frozen=True, gc=False):
    """Two thirds prevoted in this round, whatever for (line 34)."""


class PolkaNil(msgspec.Struct, frozen=True, gc=False):
    """Two thirds prevoted nil in this round (line 44)."""


class PrecommitAny(msgspec.Struct, frozen=True, gc=False):
    """Two thirds precommitted in this round, whatever for (line 47)."""


class ProposalWithPrecommits(msgspec.Struct, frozen=True, gc=False):
    """A valid proposal of any round, and two thirds that precommitted it there (line 49)."""

    round: int
    value: ValueId


class RoundSkip(msgspec.Struct, frozen=True, gc=False):
    """More than a third speak in a later round (line 55)."""

    round: int


class TimedOut(msgspec.Struct, frozen=True, gc=False):
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
