"""One replica of PBFT that orders first, and a test that speaks to it by hand: what follows from each input is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from support.cluster import ClientBlocks, output
from support.pbft_classic_cluster import pbft_classic

from consensus.pbft.core import next_state
from consensus.pbft.messages import Checkpoint, NewView, PrePrepare, StableCheckpoint
from consensus.pbft_classic import PbftClassic
from consensus.pbft_classic.messages import (
    GENESIS,
    Commit,
    Decision,
    Prepare,
    PreparedCertificate,
    Snapshot,
    ViewChange,
)
from consensus.protocol import Block, Broadcast, Effect, Message, Send

E = TypeVar("E")
M = TypeVar("M")


class PbftClassicSolo:
    """Replica `replica` of n, alone with a test. All outputs are `same` unless a test says otherwise."""

    def __init__(self, replica: int = 3, n: int = 4, blocks: int = 100, **settings: Any) -> None:
        self.config = pbft_classic(n, **settings)
        self.source = ClientBlocks(blocks)
        self.protocol = PbftClassic(replica, self.config, self.source)
        self.effects: list[Effect] = []
        self.keep(self.protocol.start())

    def keep(self, effects: Iterable[Effect]) -> list[Effect]:
        new = list(effects)
        self.effects.extend(new)
        return new

    # --- what others say --------------------------------------------------------------------------------------

    def hear(self, *messages: Message) -> list[Effect]:
        """Messages arrive, one after the other; what follows from them."""
        return [effect for message in messages for effect in self.keep(self.protocol.receive(message))]

    def propose(self, height: int, view: int = 0, block: Block | None = None) -> list[Effect]:
        return self.hear(PrePrepare(self.config.leader(view), view, block or self[height]))

    def prepares(self, senders: Iterable[int], block: Block, view: int = 0) -> list[Effect]:
        return self.hear(*(Prepare(sender, view, block.height, block.digest) for sender in senders))

    def commits(self, senders: Iterable[int], block: Block, view: int = 0) -> list[Effect]:
        return self.hear(*(Commit(sender, view, block.height, block.digest) for sender in senders))

    def checkpoints(self, senders: Iterable[int], height: int, name: str = "same") -> list[Effect]:
        return self.hear(*(Checkpoint(sender, height, self.snapshot(height, name)) for sender in senders))

    def order(self, *heights: int) -> None:
        """Everybody else commits the clients' blocks of these heights."""
        for height in heights:
            self.propose(height)
            self.commits(
                (each for each in range(self.config.quorum.replicas) if each != self.protocol.id), self[height]
            )

    def executed(self, *heights: int, name: str = "same") -> list[Effect]:
        """This replica has executed the clients' blocks of these heights."""
        return [
            effect for height in heights for effect in self.keep(self.protocol.executed(self[height], 0, output(name)))
        ]

    def timeout(self) -> list[Effect]:
        return self.keep(self.protocol.timeout())

    # --- what they can show -----------------------------------------------------------------------------------

    def __getitem__(self, height: int) -> Block:
        """The clients' block of a height."""
        block = self.source(height)
        assert block is not None
        return block

    def snapshot(self, height: int, name: str = "same") -> Snapshot:
        """What a replica has that computed the same answer to all clients' blocks up to a height."""
        snapshot = GENESIS.state
        for at in range(1, height + 1):
            block = self[at].digest
            chain, execution = (
                next_state(snapshot.chain, block, b""),
                next_state(snapshot.execution, block, output(name)),
            )
            snapshot = Snapshot(chain, execution, output(name))
        return snapshot

    def stable(
        self, height: int, name: str = "same", voters: tuple[int, ...] = (0, 1, 2)
    ) -> StableCheckpoint[Snapshot]:
        return StableCheckpoint(height, self.snapshot(height, name), voters)

    def certificate(
        self, height: int, view: int = 0, block: Block | None = None, voters: tuple[int, ...] = (0, 1, 2)
    ) -> PreparedCertificate:
        return PreparedCertificate(view, block or self[height], voters)

    def decision(self, height: int, view: int = 0, voters: tuple[int, ...] = (0, 1, 2)) -> Decision:
        return Decision(view, self[height], voters)

    def view_change(self, sender: int, view: int = 1, **said: Any) -> ViewChange:
        nothing: dict[str, Any] = {"stable": GENESIS, "checkpoints": (), "decided": 0, "prepared": ()}
        return ViewChange(sender=sender, view=view, **(nothing | said))

    def new_view(self, *changes: ViewChange) -> NewView[ViewChange]:
        return NewView(self.config.leader(changes[0].view), changes[0].view, changes)

    # --- what it says -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """Its effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Its messages of one kind so far."""
        sent = (effect.message for effect in self.effects if isinstance(effect, Broadcast | Send))
        return [message for message in sent if isinstance(message, kind)]
