"""What a replica knows of one round: the blocks made in it, the shares for them, and what it said itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.ballot import Ballot
from consensus.icp.messages import BlockId, Finalized, Notarized, Proposal
from consensus.quorum import QuorumSystem

BLOCKS_PER_RANK_MAX = 2
"""Blocks of one maker that are kept without proof that anybody needs them: the second shows that it equivocates."""


@dataclass(slots=True)
class Round:
    """One height that is not final yet.

    Attributes:
        ranking: the block makers, by rank.
        proposals: the valid blocks, by id.
        ranks: the ids of those of each rank, in order of arrival.
        shares: notarization shares by rank: ICC0 lets a replica vote for one block of each.
        finals: finalization shares.
        notarized: certificates of blocks, by id, be they here or not.
        finalized: the certificate that makes one final.
        shared: N of ICC0: the blocks that this replica has voted for, by rank.
        disqualified: D of ICC0: ranks whose maker made two blocks.
        has_proposed: has this replica made its own block?
        asked_for: blocks that were asked for since the last mark.
    """

    height: int
    quorum: QuorumSystem
    ranking: tuple[int, ...]
    proposals: dict[BlockId, Proposal] = field(default_factory=dict)
    ranks: dict[int, list[BlockId]] = field(default_factory=dict)
    shares: dict[int, Ballot[BlockId]] = field(default_factory=dict)
    finals: Ballot[BlockId] = field(init=False)
    notarized: dict[BlockId, Notarized | Finalized] = field(default_factory=dict)
    finalized: Finalized | None = None
    shared: dict[int, BlockId] = field(default_factory=dict)
    disqualified: set[int] = field(default_factory=set)
    has_proposed: bool = False
    asked_for: set[BlockId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.finals = Ballot(self.quorum)

    def ballot(self, rank: int) -> Ballot[BlockId] | None:
        """The notarization shares for blocks of a rank; None if there is no such rank."""
        ballot = self.shares.get(rank)
        if ballot is None and 0 <= rank < len(self.ranking):
            ballot = self.shares[rank] = Ballot(self.quorum)
        return ballot

    def add(self, proposal: Proposal) -> bool:
        """Keep a valid block; False if it is known, or one too many of its maker that nobody is known to need."""
        block = proposal.block
        ids = self.ranks.setdefault(block.rank, [])
        if block.id in self.proposals or (len(ids) >= BLOCKS_PER_RANK_MAX and block.id not in self.notarized):
            return False
        self.proposals[block.id] = proposal
        ids.append(block.id)
        return True

    @property
    def best_rank(self) -> int | None:
        """The lowest rank of which there is a block and whose maker is not disqualified."""
        best: int | None = None
        for rank, ids in self.ranks.items():
            if ids and (best is None or rank < best) and rank not in self.disqualified:
                best = rank
        return best

    @property
    def ending(self) -> Notarized | Finalized | None:
        """The certificate of a notarized block that is here: what ends the round."""
        for block, certificate in self.notarized.items():
            if block in self.proposals:
                return certificate
        return None

    @property
    def lacking(self) -> dict[BlockId, tuple[int, ...]]:
        """Blocks that somebody voted for and that are not here, and who did."""
        voters = {block: each.voters for block, each in self.notarized.items() if block not in self.proposals}
        for ballot in self.shares.values():
            for block in ballot.weight:
                if block not in self.proposals and block not in voters:
                    voters[block] = ballot.voters(block)
        return voters

    def forget_shares(self) -> None:
        """The round has ended: nobody notarizes in it any more."""
        self.shares.clear()
