"""Faulty replicas of PBFT that orders first: they say anything that they can sign, drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace
from support.cluster import output

from consensus.behaviours import Behaviour
from consensus.pbft.messages import Checkpoint, NewView, PrePrepare
from consensus.pbft_classic.messages import Commit, Prepare, Snapshot, ViewChange
from consensus.protocol import Block, Broadcast, Effect, Message, Send


class PbftClassicLiar(Behaviour):
    """To each receiver of a message it says the truth, a lie, something older, or nothing.

    Its lies are chosen to hurt: a vote for the empty block, another state at a checkpoint, a view change that hides its
    certificates, a new view that begins otherwise for each.
    """

    def __init__(self, protocol: object, replica: int, replicas: int, *, seed: int = 0) -> None:
        super().__init__(protocol, replica, replicas)  # type: ignore[arg-type]
        self.random = Random(seed * 1_000 + replica)
        self.said: list[Message] = []

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
                return replace(message, block=Block(message.height, ()).digest)
            case Checkpoint():
                return replace(message, state=Snapshot(message.state.chain, *[output("invented")] * 2))
            case ViewChange():
                return self.lying_view_change(message)
            case NewView():
                others = (change for change in message.view_changes if change.sender != self.id)
                own = (change for change in message.view_changes if change.sender == self.id)
                return replace(message, view_changes=(*others, *map(self.lying_view_change, own)))
        return message

    def lying_view_change(self, change: ViewChange) -> ViewChange:
        return replace(change, prepared=tuple(each for each in change.prepared if self.random.random() < 0.3))
