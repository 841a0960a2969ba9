"""The final blocks that a replica keeps: to execute them, and to send them to those who lag."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.icp.messages import BlockId, Finalized, Proposal
from consensus.protocol import Block

SYNC_MAX = 32
"""Heights, of blocks and of certificates, in one message; of blocks more, if one finalization covers more."""


@dataclass(slots=True)
class Chain:
    """Final blocks by height, without a gap, and of each the finalization that covers it."""

    _proposals: dict[int, Proposal] = field(default_factory=dict)
    _covers: dict[int, Finalized] = field(default_factory=dict)

    def add(self, proposal: Proposal, finalized: Finalized) -> None:
        self._proposals[proposal.height] = proposal
        self._covers[proposal.height] = finalized

    def __contains__(self, height: int) -> bool:
        return height in self._proposals

    @property
    def first(self) -> int:
        """The lowest height that is kept; 0 if none is."""
        return next(iter(self._proposals), 0)

    def content(self, height: int) -> Block:
        """What the clients asked for at a height."""
        return self._proposals[height].block.content

    def id(self, height: int) -> BlockId:
        return self._proposals[height].block.id

    def proposal(self, height: int, block: BlockId) -> Proposal | None:
        """The block of this id, if it is the final one of its height and kept."""
        proposal = self._proposals.get(height)
        return proposal if proposal is not None and proposal.block.id == block else None

    def after(self, height: int) -> tuple[tuple[Proposal, ...], Finalized | None]:
        """Final blocks after a height, up to one that a certificate names, and that."""
        if height + 1 not in self._proposals:
            return (), None
        last = next(reversed(self._proposals))
        covering = self._covers[min(height + SYNC_MAX, last)]
        return tuple(self._proposals[at] for at in range(height + 1, covering.height + 1)), covering

    def forget(self, height: int) -> None:
        """Drop all up to a height."""
        self._proposals = {at: each for at, each in self._proposals.items() if at > height}
        self._covers = {at: each for at, each in self._covers.items() if at > height}
