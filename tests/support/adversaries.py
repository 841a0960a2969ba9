"""Faulty replicas beyond those that a scenario can name: they say anything that they can sign.

A faulty replica cannot forge another's vote, so certificates stay true; all else is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace
from support.cluster import output

from consensus.behaviours import Behaviour
from consensus.pbft.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.protocol import Block, Broadcast, Effect, Effects, Message, Pair, Send
from consensus.tendermint.messages import Precommit, Prevote, Proposal, Status, Sync


class Liar(Behaviour):
    """To each receiver of a message it says the truth, a lie, something older, or nothing.

    Its lies are chosen to hurt: a vote for an output that another replica computed, an empty block, a view
    change that hides its certificates and gives every height up, a new view that begins otherwise for each.
    """

    def __init__(self, protocol: object, replica: int, replicas: int, *, seed: int = 0) -> None:
        super().__init__(protocol, replica, replicas)  # type: ignore[arg-type]
        self.random = Random(seed * 1_000 + replica)
        self.seen: dict[int, list[Pair]] = {}
        self.said: list[Message] = []

    def receive(self, message: Message) -> Effects:
        if isinstance(message, Prepare):
            seen = self.seen.setdefault(message.height, [])
            if message.pair not in seen:
                seen.append(message.pair)
        return super().receive(message)

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not isinstance(effect, Broadcast):
            if not isinstance(effect, Send) or self.random.random() < 0.5:
                yield effect
            return
        for receiver in self.others:
            chance = self.random.random()
            if chance < 0.3:
                yield Send(receiver, effect.message)
            elif chance < 0.9:
                yield Send(receiver, self.lie(effect.message))
            if self.said and self.random.random() < 0.1:
                yield Send(receiver, self.random.choice(self.said))
        self.said.append(effect.message)

    def lie(self, message: Message) -> Message:
        match message:
            case PrePrepare():
                return replace(message, block=Block(message.height, ()))
            case Prepare() | Commit():
                invented = Pair(message.pair.block, output("invented"))
                return replace(message, pair=self.random.choice([*self.seen.get(message.height, []), invented]))
            case ViewChange():
                return self.lying_view_change(message)
            case NewView():
                others = (change for change in message.view_changes if change.sender != self.id)
                own = (change for change in message.view_changes if change.sender == self.id)
                return replace(message, view_changes=(*others, *map(self.lying_view_change, own)))
        return message

    def lying_view_change(self, change: ViewChange) -> ViewChange:
        heights = range(change.stable.height + 1, change.stable.height + 5)
        kept = tuple(certificate for certificate in change.prepared if self.random.random() < 0.3)
        empty = tuple(Block(height, ()) for height in heights)
        return replace(change, prepared=kept, started=empty, abandoned=tuple(heights))


class FalseStart(Behaviour):
    """Asks for far views all the time, one further each time that it speaks."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        yield effect
        if isinstance(effect, Broadcast) and isinstance(effect.message, Prepare | Commit):
            change = self.protocol._view_change()  # type: ignore[attr-defined]
            yield Broadcast(replace(change, view=change.view + 1 + effect.message.height))


class TendermintLiar(Behaviour):
    """To each receiver of a message it says the truth, a lie, something older, or nothing.

    Its lies are votes for any value that it has seen proposed or for nil, another block, a block with another output,
    a value that had a real polka once, and a wrong word on where it stands. It keeps to no lock.
    """

    def __init__(self, protocol: object, replica: int, replicas: int, *, seed: int = 0) -> None:
        super().__init__(protocol, replica, replicas)  # type: ignore[arg-type]
        self.random = Random(seed * 1_000 + replica)
        self.seen: dict[int, list[Proposal]] = {}
        self.said: list[Message] = []

    def receive(self, message: Message) -> Effects:
        if isinstance(message, Proposal):
            self.seen.setdefault(message.height, []).append(message)
        return super().receive(message)

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not isinstance(effect, Broadcast):
            if not isinstance(effect, Send) or self.random.random() < 0.5:
                yield effect
            return
        for receiver in self.others:
            chance = self.random.random()
            if chance < 0.3:
                yield Send(receiver, effect.message)
            elif chance < 0.9:
                yield Send(receiver, self.lie(effect.message))
            if self.said and self.random.random() < 0.2:
                yield Send(receiver, self.random.choice(self.said))
        self.said.append(effect.message)

    def lie(self, message: Message) -> Message:
        seen = self.seen.get(message.height, [])
        match message:
            case Proposal():
                empty = replace(message.value, block=Block(message.height, ()))
                other = replace(message.value, digest=output("invented"))
                honest = [each.value for each in seen]
                lie = replace(message, value=self.random.choice([empty, other, *honest]), valid_round=-1, polka=())
                had_polka = [each for each in seen if -1 < each.valid_round < message.round]
                if had_polka and self.random.random() < 0.5:
                    old = self.random.choice(had_polka)
                    lie = replace(old, sender=self.id, round=message.round)
                return lie
            case Prevote() | Precommit():
                values = [None, output("invented"), *(each.value.id for each in seen)]
                return replace(
                    message, value=self.random.choice(values), round=message.round + self.random.choice([0, 0, 0, 1, 7])
                )
            case Status():
                return replace(message, height=max(message.height - 1, 1))
            case Sync():
                return replace(message, messages=())
        return message
