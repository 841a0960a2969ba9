"""One ICP replica that a test speaks to by hand: each call is one message, and what follows is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from support.cluster import ClientBlocks, output
from support.icp_cluster import icp

from consensus.icp import Icp
from consensus.icp.messages import (
    GENESIS,
    BlockId,
    CatchUpShare,
    CertificationShare,
    FinalizationShare,
    NotarizationShare,
    Notarized,
    Proposal,
    TreeBlock,
)
from consensus.protocol import Block, Broadcast, Effect, Message, Send

E = TypeVar("E")
M = TypeVar("M")


class IcpSolo:
    """The replica that has rank `rank` in round 1, alone with a test."""

    def __init__(self, rank: int = 3, n: int = 4, blocks: int = 100, **settings: Any) -> None:
        self.config = icp(n, **settings)
        self.source = ClientBlocks(blocks)
        self.ranking = self.config.ranking(1)
        self.id = self.ranking[rank]
        self.others = [replica for replica in range(n) if replica != self.id]
        self.protocol = Icp(self.id, self.config, self.source)
        self.effects: list[Effect] = []
        self.keep(self.protocol.start())

    def keep(self, effects: Iterable[Effect]) -> list[Effect]:
        new = list(effects)
        self.effects.extend(new)
        return new

    # --- what others say ------------------------------------------------------------------------------------

    def hear(self, *messages: Message) -> list[Effect]:
        """Messages arrive, one after the other; what follows from them."""
        return [effect for message in messages for effect in self.keep(self.protocol.receive(message))]

    def block(self, height: int = 1, rank: int = 0, parent: BlockId | None = None, empty: bool = False) -> TreeBlock:
        """The block of a maker, on the first of rank 0 of the height before unless a test says otherwise."""
        if parent is None:
            parent = GENESIS if height == 1 else self.block(height - 1).id
        content = None if empty else self.source(height)
        return TreeBlock(content or Block(height, ()), self.config.block_maker(height, rank), rank, parent)

    def proposal(self, block: TreeBlock, voters: tuple[int, ...] = (0, 1, 2)) -> Proposal:
        parent = None if block.height == 1 else Notarized(block.height - 1, block.parent, voters)
        return Proposal(block.maker, block, parent)

    def propose(self, height: int = 1, rank: int = 0, **which: Any) -> list[Effect]:
        return self.hear(self.proposal(self.block(height, rank, **which)))

    def notarize(self, block: TreeBlock, senders: Iterable[int]) -> list[Effect]:
        return self.hear(*(NotarizationShare(sender, block.height, block.rank, block.id) for sender in senders))

    def finalize(self, block: TreeBlock, senders: Iterable[int]) -> list[Effect]:
        return self.hear(*(FinalizationShare(sender, block.height, block.id) for sender in senders))

    def certify(self, height: int, name: str, senders: Iterable[int]) -> list[Effect]:
        return self.hear(*(CertificationShare(sender, height, output(name)) for sender in senders))

    def package(self, height: int, name: str, senders: Iterable[int]) -> list[Effect]:
        block = self.block(height).id
        return self.hear(*(CatchUpShare(sender, height, block, output(name)) for sender in senders))

    def executed(self, height: int, name: str = "same") -> list[Effect]:
        return self.keep(self.protocol.executed(self.block(height).content, 0, output(name)))

    def timeout(self) -> list[Effect]:
        return self.keep(self.protocol.timeout())

    def wait_until(self, ns: int) -> None:
        """Timers run out until the round is so old."""
        clock = self.protocol._clock
        while clock.mark_ns and clock.mark_ns <= ns:
            self.timeout()

    def pass_round(self, height: int) -> None:
        """The block of rank 0 is proposed and becomes final."""
        block = self.block(height)
        self.propose(height)
        self.notarize(block, self.others)
        self.finalize(block, self.others)

    # --- what it says -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """Its effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Its messages of one kind so far."""
        sent = (effect.message for effect in self.effects if isinstance(effect, Broadcast | Send))
        return [message for message in sent if isinstance(message, kind)]

    def voted(self, kind: type[NotarizationShare] | type[FinalizationShare]) -> list[BlockId]:
        """What its votes of one kind name."""
        return [vote.block for vote in self.said(kind)]
