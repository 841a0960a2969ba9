"""One PBFT replica that a test speaks to by hand: each call is one message, and the effects that follow are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from support.cluster import ClientBlocks, output, pbft

from consensus.pbft import Pbft
from consensus.pbft.messages import (
    GENESIS,
    Checkpoint,
    Commit,
    Decision,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    StableCheckpoint,
    Sync,
    ViewChange,
)
from consensus.protocol import Block, Broadcast, Effect, Message, Pair, Send

E = TypeVar("E")
M = TypeVar("M")


class Solo:
    """Replica `replica` of n, alone with a test. All it says is in `effects`, in order."""

    def __init__(self, replica: int = 3, n: int = 4, blocks: int = 100, **settings: Any) -> None:
        self.config = pbft(n, **settings)
        self.source = ClientBlocks(blocks)
        self.protocol = Pbft(replica, self.config, self.source)
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

    def propose(self, height: int, view: int = 0, block: Block | None = None) -> list[Effect]:
        return self.hear(PrePrepare(self.config.leader(view), view, block or self.block(height)))

    def prepares(self, senders: Iterable[int], height: int, name: str = "same", view: int = 0) -> list[Effect]:
        return self.hear(*(Prepare(sender, view, height, self.pair(height, name)) for sender in senders))

    def commits(self, senders: Iterable[int], height: int, name: str = "same", view: int = 0) -> list[Effect]:
        return self.hear(*(Commit(sender, view, height, self.pair(height, name)) for sender in senders))

    def checkpoints(self, senders: Iterable[int], height: int) -> list[Effect]:
        return self.hear(*(Checkpoint(sender, height, self.state_after(height)) for sender in senders))

    def checkpoints_unseen(self, senders: Iterable[int], height: int) -> list[Effect]:
        """Checkpoint votes for a height that this chain need not have."""
        return self.hear(*(Checkpoint(sender, height, output(f"state {height}")) for sender in senders))

    def decide(self, *heights: int, name: str = "same") -> None:
        """Everybody else commits these heights: they are decided here without a word from this replica."""
        others = [replica for replica in range(self.config.quorum.replicas) if replica != self.protocol.id]
        for height in heights:
            self.propose(height)
            self.commits(others, height, name)

    def executed(self, height: int, name: str = "same", view: int = 0) -> list[Effect]:
        return self.keep(self.protocol.executed(self.block(height), view, output(name)))

    def timeout(self) -> list[Effect]:
        return self.keep(self.protocol.timeout())

    # --- what they can show -----------------------------------------------------------------------------------

    def block(self, height: int) -> Block:
        block = self.source(height)
        assert block is not None
        return block

    def pair(self, height: int, name: str = "same") -> Pair:
        return Pair(self.block(height).digest, output(name))

    def certificate(self, height: int, view: int = 0, name: str = "same", voters: tuple[int, ...] = (0, 1, 2)) -> Any:
        return PreparedCertificate(view, self.block(height), output(name), voters)

    def decision(self, height: int, view: int = 0, name: str = "same", voters: tuple[int, ...] = (0, 1, 2)) -> Any:
        return Decision(view, self.block(height), output(name), voters)

    def state_after(self, height: int) -> bytes:
        """The state of a chain on which every output is `same`."""
        other = Pbft(self.protocol.id, replace(self.config, watermark_window=10_000), self.source)
        decisions = tuple(self.decision(at) for at in range(1, height + 1))
        for decision in decisions:
            other.receive(Sync(0, 0, None, (decision,), None, ()))
        assert other.decided == height
        return other.state

    def stable(self, height: int, voters: tuple[int, ...] = (0, 1, 2)) -> StableCheckpoint:
        return StableCheckpoint(height, self.state_after(height), voters) if height else GENESIS

    def view_change(self, sender: int, view: int = 1, **said: Any) -> ViewChange:
        nothing: dict[str, Any] = {
            "stable": GENESIS,
            "checkpoints": (),
            "decided": 0,
            "prepared": (),
            "started": (),
            "abandoned": (),
        }
        return ViewChange(sender=sender, view=view, **(nothing | said))

    def new_view(self, *changes: ViewChange) -> NewView:
        return NewView(self.config.leader(changes[0].view), changes[0].view, changes)

    # --- what it says -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """Its effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Its messages of one kind so far."""
        sent = (effect.message for effect in self.effects if isinstance(effect, Broadcast | Send))
        return [message for message in sent if isinstance(message, kind)]
