"""What a faulty replica does: a protocol whose effects are bent on their way out.

A behaviour wraps an honest protocol, so it says at each moment what an honest replica would say, or a lie
built from that. It cannot forge another's vote.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from msgspec.structs import replace

from consensus.pbft.messages import Commit, Prepare, PrePrepare
from consensus.pbft_classic.messages import Commit as BlockCommit
from consensus.pbft_classic.messages import Prepare as BlockPrepare
from consensus.protocol import Block, Broadcast, ConsensusProtocol, Effect, Effects, Message, Pair, Send
from consensus.tendermint.messages import Precommit, Prevote, Proposal
from consensus.tendermint.round_state import NO_ROUND


class Behaviour:
    """A replica that runs the protocol but may say something else; this one is honest.

    Args:
        protocol: what an honest replica would do.
        replica: its id.
        replicas: how many there are.
    """

    def __init__(self, protocol: ConsensusProtocol, replica: int, replicas: int) -> None:
        self.protocol = protocol
        self.id = replica
        self.others = tuple(other for other in range(replicas) if other != replica)

    def start(self) -> Effects:
        return self._bend(self.protocol.start())

    def receive(self, message: Message) -> Effects:
        return self._bend(self.protocol.receive(message))

    def timeout(self) -> Effects:
        return self._bend(self.protocol.timeout())

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        return self._bend(self.protocol.executed(block, view, output))

    def recover(self) -> Effects:
        return self._bend(self.protocol.recover())

    def _bend(self, effects: Effects) -> Effects:
        return tuple(bent for effect in effects for bent in self.instead_of(effect))

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        """What this replica does in the place of one effect."""
        yield effect


class Silent(Behaviour):
    """Never says anything."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not isinstance(effect, Broadcast | Send):
            yield effect


class EquivocatingLeader(Behaviour):
    """As leader proposes the block to the first half of the others, and one without requests to the second."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not (isinstance(effect, Broadcast) and isinstance(effect.message, PrePrepare | Proposal)):
            yield effect
            return
        message, other = effect.message, _without_requests(effect.message)
        half = len(self.others) // 2
        yield from (Send(receiver, message) for receiver in self.others[:half])
        yield from (Send(receiver, other) for receiver in self.others[half:])


Vote = Prepare | Commit | BlockPrepare | BlockCommit | Prevote | Precommit


class EquivocatingVoter(Behaviour):
    """Votes truly towards replicas of even id, and towards the odd for what nobody computed or proposed."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not (isinstance(effect, Broadcast) and isinstance(effect.message, Vote)):
            yield effect
            return
        message, lie = effect.message, _invented(effect.message)
        yield from (Send(receiver, lie if receiver % 2 else message) for receiver in self.others)


def _without_requests(message: PrePrepare | Proposal) -> Message:
    """The same proposal, of a block that decides nothing."""
    empty = Block(message.height, ())
    if isinstance(message, PrePrepare):
        return replace(message, block=empty)
    value = replace(message.value, block=empty)
    return replace(message, value=value, valid_round=NO_ROUND, polka=())  # a polka for it cannot be forged


def _invented(vote: Vote) -> Message:
    """The same vote, for what nobody computed, or proposed where votes name a block alone."""
    if isinstance(vote, Prepare | Commit):
        return replace(vote, pair=Pair(vote.pair.block, sha256(b"invented" + vote.pair.output).digest()))
    if isinstance(vote, BlockPrepare | BlockCommit):
        return replace(vote, block=sha256(b"invented" + vote.block).digest())
    return replace(vote, value=sha256(b"invented" + (vote.value or b"")).digest())


BEHAVIOURS: dict[str, type[Behaviour]] = {
    "honest": Behaviour,
    "silent": Silent,
    "equivocating-leader": EquivocatingLeader,
    "equivocating-voter": EquivocatingVoter,
}
"""By the name that a scenario gives them."""
