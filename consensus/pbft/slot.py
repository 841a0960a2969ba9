"""What a replica knows about one height that is in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from consensus.ballot import Ballot
from consensus.pbft.messages import Commit, Decision, Prepare, PreparedCertificate
from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem


@dataclass(slots=True)
class Slot:
    """One height between the watermarks.

    Attributes:
        prepared: the latest prepared certificate of any view; a later view may decide nothing else.
        own: what this replica itself computed last, and for which block.
        decision: the commit certificate, once there is one.
        proposal: the block that the leader of this view proposed.
        bound_output: the certified output that came with it, if a new view proposed it again.
        prepares, commits: the votes of this view.
        prepare_vote: this replica's own prepare in this view.
    """

    height: int
    quorum: QuorumSystem
    prepared: PreparedCertificate | None = None
    own: Pair | None = None
    decision: Decision | None = None
    # These belong to a view and are forgotten when the next begins.
    proposal: Block | None = field(init=False)
    bound_output: bytes | None = field(init=False)
    prepares: Ballot[Pair] = field(init=False)
    commits: Ballot[Pair] = field(init=False)
    prepare_vote: Pair | None = field(init=False)

    def __post_init__(self) -> None:
        self.begin_view()

    def begin_view(self) -> None:
        """Forget the votes and the proposal of the view before."""
        self.proposal = None
        self.bound_output = None
        self.prepares = Ballot(self.quorum)
        self.commits = Ballot(self.quorum)
        self.prepare_vote = None

    def block_of(self, pair: Pair) -> Block | None:
        """The whole block behind a vote, if this replica has seen it."""
        if self.proposal is not None and self.proposal.digest == pair.block:
            return self.proposal
        if self.prepared is not None and self.prepared.block.digest == pair.block:
            return self.prepared.block
        return None

    def votes_of(self, replica: int, view: int) -> Iterator[Prepare | Commit]:
        """This replica's own votes of this view, to say them once more."""
        if self.prepare_vote is not None:
            yield Prepare(replica, view, self.height, self.prepare_vote)
        if replica in self.commits.votes:
            yield Commit(replica, view, self.height, self.commits.votes[replica])

    @property
    def awaits_execution(self) -> bool:
        """Is this replica to vote here with an output that it has not computed yet?"""
        is_free = self.proposal is not None and self.bound_output is None
        return is_free and self.prepare_vote is None and self.decision is None

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
