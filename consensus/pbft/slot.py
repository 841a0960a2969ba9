"""What a replica knows about one height that is in flight."""

from __future__ import annotations

from consensus.ballot import Ballot
from consensus.pbft.messages import Decision, PreparedCertificate
from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem


class Slot:
    """One height between the watermarks.

    The first five belong to a view and are forgotten when the next begins; the others outlast it.

    Attributes:
        proposal: the block that the leader of this view proposed.
        bound_output: the certified output that came with it, if a new view proposed it again.
        prepares, commits: the votes of this view.
        prepare_vote: this replica's own prepare in this view.
        prepared: the latest prepared certificate of any view; a later view may decide nothing else.
        own: what this replica itself computed last, and for which block.
        decision: the commit certificate, once there is one.
    """

    __slots__ = (
        "bound_output",
        "commits",
        "decision",
        "height",
        "own",
        "prepare_vote",
        "prepared",
        "prepares",
        "proposal",
    )

    def __init__(self, height: int, quorum: QuorumSystem) -> None:
        self.height = height
        self.prepared: PreparedCertificate | None = None
        self.own: Pair | None = None
        self.decision: Decision | None = None
        self.begin_view(quorum)

    def begin_view(self, quorum: QuorumSystem) -> None:
        """Forget the votes and the proposal of the view before."""
        self.proposal: Block | None = None
        self.bound_output: bytes | None = None
        self.prepares: Ballot[Pair] = Ballot(quorum)
        self.commits: Ballot[Pair] = Ballot(quorum)
        self.prepare_vote: Pair | None = None

    def block_of(self, pair: Pair) -> Block | None:
        """The whole block behind a vote, if this replica has seen it."""
        if self.proposal is not None and self.proposal.digest == pair.block:
            return self.proposal
        if self.prepared is not None and self.prepared.block.digest == pair.block:
            return self.prepared.block
        return None

    @property
    def dissents(self) -> bool:
        """Did this replica compute another output than the one decided for the same block?"""
        decision, own = self.decision, self.own
        return (
            decision is not None
            and own is not None
            and own.block == decision.block.digest
            and own.output != decision.output
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Slot):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # a slot changes; it is compared, never a key
