"""Faulty replicas of ICP: each wraps an honest one, and bends what it says."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace
from support.cluster import output

from consensus.behaviours import Behaviour
from consensus.icp.messages import (
    CatchUpShare,
    CertificationShare,
    Finalization,
    FinalizationShare,
    Notarization,
    NotarizationShare,
    Proposal,
    Status,
    Sync,
    TreeBlock,
)
from consensus.protocol import Block, Broadcast, Effect, Effects, Message, Send


def rival(proposal: Proposal) -> Proposal:
    """Another block of the same maker: one that decides nothing."""
    block = proposal.block
    empty = TreeBlock(Block(block.height, ()), block.maker, block.rank, block.parent)
    return replace(proposal, block=empty)


class TwoBlocks(Behaviour):
    """As block maker sends its block to the first half of the others, and a rival to the second."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not (isinstance(effect, Broadcast) and isinstance(effect.message, Proposal)):
            yield effect
            return
        half = len(self.others) // 2
        yield from (Send(receiver, effect.message) for receiver in self.others[:half])
        yield from (Send(receiver, rival(effect.message)) for receiver in self.others[half:])


class IcpLiar(Behaviour):
    """To each receiver of a message it says the truth, a lie, something older, or nothing.

    It makes two blocks, votes for anything that it has seen, in any rank, says it finalizes what it likes, invents
    outputs, and sends certificates that do not hold.
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
        if isinstance(effect.message, Proposal):
            self.seen.setdefault(effect.message.height, []).extend([effect.message, rival(effect.message)])
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
        blocks = [each.block for each in self.seen.get(message.height, [])]
        ahead = self.random.choice([0, 0, 0, 1, 7, 1_000_000])
        match message:
            case Proposal():
                return rival(message)
            case NotarizationShare() if blocks:
                block = self.random.choice(blocks)
                rank = block.rank + self.random.choice([0, 0, 0, 1, -1, 99])
                return replace(message, block=block.id, rank=rank, height=message.height + ahead)
            case FinalizationShare() if blocks:
                return replace(message, block=self.random.choice(blocks).id, height=message.height + ahead)
            case Notarization(_, certificate) | Finalization(_, certificate):
                few = replace(certificate, block=output("invented"), voters=(self.id,))
                return type(message)(self.id, few)  # type: ignore[arg-type]
            case CertificationShare():
                return replace(message, output=output("invented"), height=message.height + ahead)
            case CatchUpShare():
                return replace(message, block=output("invented"), height=message.height + ahead)
            case Status():
                return replace(message, decided=max(message.decided - 1, 0), certified=message.certified + 1, package=0)
            case Sync():
                return replace(message, messages=())
        return message


class EquivocatingSharer(Behaviour):
    """Votes for its true outputs towards replicas of even id, and for invented ones towards the odd."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not (isinstance(effect, Broadcast) and isinstance(effect.message, CertificationShare)):
            yield effect
            return
        lie = replace(effect.message, output=output("invented"))
        yield from (Send(receiver, lie if receiver % 2 else effect.message) for receiver in self.others)
