"""One Tendermint replica that a test speaks to by hand: each call is one message, and what follows is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace
from support.cluster import ClientBlocks, output
from support.tendermint_cluster import tendermint

from consensus.protocol import Block, Broadcast, Effect, Message, Send
from consensus.tendermint import Tendermint
from consensus.tendermint.messages import (
    GENESIS,
    NO_OUTPUT,
    CommitCertificate,
    Precommit,
    Prevote,
    Proposal,
    Sync,
    Value,
)

E = TypeVar("E")
M = TypeVar("M")


class TendermintSolo:
    """Replica `replica` of n, alone with a test. All outputs are `same` unless a test says otherwise."""

    def __init__(self, replica: int = 3, n: int = 4, blocks: int = 100, **settings: Any) -> None:
        self.config = tendermint(n, **settings)
        self.source = ClientBlocks(blocks)
        self.protocol = Tendermint(replica, self.config, self.source)
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

    def proposal(
        self,
        height: int = 1,
        round_: int = 0,
        value: Value | None = None,
        valid_round: int = -1,
        polka: tuple[int, ...] = (),
    ) -> Proposal:
        sender = self.config.proposer(height, round_)
        return Proposal(sender, round_, value or self.value(height), valid_round, polka)

    def prevotes(self, senders: Iterable[int], value: Value | None, height: int = 1, round_: int = 0) -> list[Effect]:
        named = None if value is None else value.id
        return self.hear(*(Prevote(sender, height, round_, named) for sender in senders))

    def precommits(self, senders: Iterable[int], value: Value | None, height: int = 1, round_: int = 0) -> list[Effect]:
        named = None if value is None else value.id
        return self.hear(*(Precommit(sender, height, round_, named) for sender in senders))

    def executed(self, block: Block, name: str = "same", round_: int = 0) -> list[Effect]:
        return self.keep(self.protocol.executed(block, round_, output(name)))

    def timeout(self) -> list[Effect]:
        return self.keep(self.protocol.timeout())

    def accept(self, height: int = 1, round_: int = 0, value: Value | None = None) -> None:
        """The proposer proposes, and this replica executes."""
        proposal = self.proposal(height, round_, value)
        self.hear(proposal)
        self.executed(proposal.value.block, round_=round_)

    def decide(self, *heights: int) -> None:
        """Heights that are proposed, executed here, and committed by the others."""
        for height in heights:
            self.accept(height)
            self.precommits((0, 1, 2), self.value(height), height)

    # --- what they can show -----------------------------------------------------------------------------------

    def block(self, height: int) -> Block:
        block = self.source(height)
        assert block is not None
        return block

    def value(self, height: int = 1, before: str = "same") -> Value:
        """The clients' block on the chain of such, and in its header the output of the height before."""
        if height == 1:
            return Value(self.block(1), NO_OUTPUT, GENESIS)
        is_next = height == self.protocol.decided + 1
        parent = self.protocol.state if is_next else self.value(height - 1).id
        return Value(self.block(height), output(before), parent)

    def empty(self, height: int = 1) -> Value:
        """Another value for the height."""
        return replace(self.value(height), block=Block(height, ()))

    def certificates(self, *heights: int, voters: tuple[int, ...] = (0, 1, 2)) -> Sync:
        return Sync(0, tuple(CommitCertificate(0, self.value(height), voters) for height in heights), ())

    # --- what it says -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """Its effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Its messages of one kind so far."""
        sent = (effect.message for effect in self.effects if isinstance(effect, Broadcast | Send))
        return [message for message in sent if isinstance(message, kind)]

    def voted(self, kind: type[Prevote] | type[Precommit]) -> list[tuple[int, int, bytes | None]]:
        """Height, round and value of its votes of one kind."""
        return [(vote.height, vote.round, vote.value) for vote in self.said(kind)]


def next_round(solo: TendermintSolo, round_: int, height: int = 1) -> None:
    """All precommit nil in a round, and its timeout runs out."""
    solo.precommits((0, 1, 2), None, height, round_)
    solo.timeout()
