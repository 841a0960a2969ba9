"""What a run must know of a protocol: which keys it reads, what it bears, how long it takes, how it is set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from consensus.protocol import BlockSource, ConsensusProtocol, Message, Pair
from consensus.quorum import QuorumSystem
from lastbit.protocols.votes import VoteRules

if TYPE_CHECKING:
    from lastbit.scenario.tables import Chain
    from lastbit.timing import Timing

Policy: TypeAlias = Literal["halt", "retry", "skip"]
"""What follows an attempt that failed."""

Outvoted: TypeAlias = Literal["stay", "halt", "resync"]
"""What becomes of a replica that learns that a quorum computed another output."""


class ConsensusReplica(ConsensusProtocol, Protocol):
    """A protocol's replica as observers read it."""

    @property
    def view(self) -> int: ...
    @property
    def decided(self) -> int: ...


class Setup(NamedTuple):
    """A protocol made ready for one chain.

    Attributes:
        replica: makes the replica of an id, given the clients' blocks; made again, it remembers nothing.
        leader: who leads a height in a view, round or rank.
        uncertified_max: heights ordered and not certified from which on the protocol holds ordering back; None: never.
        certified_at: where outputs are compared after a height is decided, and `Certify` says what holds: up to which
            height that is done once everybody has decided the height given, if all goes well. None: votes name them.
    """

    replica: Callable[[int, BlockSource], ConsensusReplica]
    leader: Callable[[int, int], int]
    certified_at: Callable[[int], int] | None = None
    uncertified_max: int | None = None


ANY_BLOCK = b""
"""In the pair of a vote on an output: its block is the one that was decided, and no other."""


def never_held_back(chain: Chain, delay_ns: int) -> int:  # noqa: ARG001
    """Of a protocol that orders at full speed, or not at all."""
    return 0


class HistoryVote(NamedTuple):
    """What a message says of all outputs up to a height."""

    height: int
    digest: bytes


class Patience(NamedTuple):
    """How long a protocol waits for what it needs.

    Attributes:
        said: how a sentence about the wait begins.
        longest_ns: the wait itself: what timeouts grow to.
        needed_ns: what it must exceed, or blocks are not decided.
    """

    said: str
    longest_ns: int
    needed_ns: int


class OutputVote(NamedTuple):
    """What a message says of an output: as part of which attempt its sender computed it."""

    height: int
    view: int
    pair: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolKind:
    """A protocol as a run sees it.

    Args:
        name: what a scenario calls it.
        title: what people call it.
        view: its word for one try to agree on a height: "view", "round" or "rank".
        messages: its kinds of message, in a fixed order.
        policies: what may follow a failed attempt; the first by default.
        outvoted: what may become of a replica whose output a quorum contradicts; the first by default.
        keys: the keys of `[chain]` that only some protocols read, and this one does.
        delays_per_block: message delays from a proposal to the last word on its output, without computing.
        quorum: the quorum system that it asks for, given weights and the faulty weight tolerated.
        set_up: makes it ready for a chain, its times and quorum system.
        held_back_ns: how long a block may wait at most because certification lags, given a slow delay.
        patience: how long it waits, and must, given a slow delay and the time to compute a block.
        orders_first: replicas execute a block once it is decided, and not before they vote.
        leader_states_output: what a leader proposes states an output of its own.
        new_view: the message that begins a view; None where rounds belong to a height and replicas move on alone.
        output_vote: what a message says of an output; None: nothing.
        history_vote: what it says of all outputs up to a height, or None; left out where messages speak of one output
            at a time.
        vote_rules: what its messages mean as votes, and what follows from them.
    """

    name: str
    title: str
    view: str
    messages: tuple[str, ...]
    policies: tuple[Policy, ...]
    outvoted: tuple[Outvoted, ...]
    keys: frozenset[str]
    delays_per_block: int
    quorum: Callable[[tuple[int, ...], int], QuorumSystem]
    set_up: Callable[[Chain, Timing, QuorumSystem, int], Setup]
    held_back_ns: Callable[[Chain, int], int]
    patience: Callable[[Chain, Timing, int, int], Patience]
    orders_first: bool
    leader_states_output: bool
    new_view: type[Message] | None
    output_vote: Callable[[Message], OutputVote | None]
    vote_rules: VoteRules
    history_vote: Callable[[Message], HistoryVote | None] | None = None
