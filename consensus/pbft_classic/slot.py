"""What a replica knows about the order at one height that is in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from consensus.ballot import Ballot
from consensus.pbft_classic.messages import Commit, Decision, Prepare, PreparedCertificate
from consensus.protocol import Block
from consensus.quorum import QuorumSystem


@dataclass(slots=True)
class Slot:
    """One height between the watermarks.

    Attributes:
        prepared: the latest prepared certificate of any view; a later view may decide nothing else.
        decision: the commit certificate, once there is one.
        chain: digest of the chain of ordered blocks up to here, once they are all ordered.
        proposal: the block that the leader of this view proposed.
        prepares: who stands behind which block in this view, the leader by its proposal.
        commits: the commits of this view.
        prepare_vote: this replica's own prepare in this view; none where it leads.
    """

    height: int
    quorum: QuorumSystem
    prepared: PreparedCertificate | None = None
    decision: Decision | None = None
    chain: bytes | None = None
    # These belong to a view and are forgotten when the next begins.
    proposal: Block | None = field(init=False)
    prepares: Ballot[bytes] = field(init=False)
    commits: Ballot[bytes] = field(init=False)
    prepare_vote: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.begin_view()

    def begin_view(self) -> None:
        """Forget the votes and the proposal of the view before."""
        self.proposal = None
        self.prepares = Ballot(self.quorum)
        self.commits = Ballot(self.quorum)
        self.prepare_vote = None

    def block_of(self, digest: bytes) -> Block | None:
        """The whole block behind a vote, if this replica has seen it."""
        if self.proposal is not None and self.proposal.digest == digest:
            return self.proposal
        if self.prepared is not None and self.prepared.block.digest == digest:
            return self.prepared.block
        return None

    def votes_of(self, replica: int, view: int) -> Iterator[Prepare | Commit]:
        """This replica's own votes of this view, to say them once more."""
        if self.prepare_vote is not None:
            yield Prepare(replica, view, self.height, self.prepare_vote)
        if replica in self.commits.votes:
            yield Commit(replica, view, self.height, self.commits.votes[replica])
