"""What a faulty replica does: a protocol whose effects are bent on their way out.

A behaviour wraps an honest protocol, so it says at each moment what an honest replica would say, or a lie
built from that. It cannot forge another's vote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from consensus.icp import messages as icp
from consensus.pbft import messages as pbft
from consensus.pbft_classic import messages as pbft_classic
from consensus.protocol import Block, Broadcast, ConsensusProtocol, Effect, Effects, Message, Pair, Reply, Send
from consensus.tendermint import messages as tendermint
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
    """Never says anything, to clients neither."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        if not isinstance(effect, Broadcast | Send | Reply):
            yield effect


class EquivocatingLeader(Behaviour):
    """As leader proposes the block to the first half of the others, and one without requests to the second."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        other_of = _OTHER_PROPOSAL.get(effect.message.__class__) if isinstance(effect, Broadcast) else None
        if not isinstance(effect, Broadcast) or other_of is None:
            yield effect
            return
        message, other = effect.message, other_of(effect.message)
        half = len(self.others) // 2
        yield from (Send(receiver, message) for receiver in self.others[:half])
        yield from (Send(receiver, other) for receiver in self.others[half:])


class EquivocatingVoter(Behaviour):
    """Votes truly towards replicas of even id, and towards the odd for what nobody computed or proposed."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        lie_of = _OTHER_VOTE.get(effect.message.__class__) if isinstance(effect, Broadcast) else None
        if not isinstance(effect, Broadcast) or lie_of is None:
            yield effect
            return
        message, lie = effect.message, lie_of(effect.message)
        yield from (Send(receiver, lie if receiver % 2 else message) for receiver in self.others)


def _pre_prepare_without_requests(message: pbft.PrePrepare) -> Message:
    return replace(message, block=Block(message.height, ()))


def _header_without_requests(message: tendermint.Proposal) -> Message:
    value = replace(message.value, block=Block(message.height, ()))
    return replace(message, value=value, valid_round=NO_ROUND, polka=())  # a polka for it cannot be forged


def _tree_block_without_requests(message: icp.Proposal) -> Message:
    made = message.block
    return replace(message, block=icp.TreeBlock(Block(message.height, ()), made.maker, made.rank, made.parent))


def _another_output(vote: Any) -> Message:
    return replace(vote, pair=Pair(vote.pair.block, _invented(vote.pair.output)))  # type: ignore[no-any-return]


def _another(field: str) -> Callable[[Any], Message]:
    def lie(vote: Any) -> Message:
        return replace(vote, **{field: _invented(getattr(vote, field) or b"")})  # type: ignore[no-any-return]

    return lie


def _invented(digest: bytes) -> bytes:
    """What nobody computed, nor proposed."""
    return sha256(b"invented" + digest).digest()


_OTHER_PROPOSAL: dict[type, Callable[[Any], Message]] = {
    pbft.PrePrepare: _pre_prepare_without_requests,
    tendermint.Proposal: _header_without_requests,
    icp.Proposal: _tree_block_without_requests,
}
"""The same proposal, of a block that decides nothing."""

_OTHER_VOTE: dict[type, Callable[[Any], Message]] = {
    pbft.Prepare: _another_output,
    pbft.Commit: _another_output,
    pbft_classic.Prepare: _another("block"),
    pbft_classic.Commit: _another("block"),
    tendermint.Prevote: _another("value"),
    tendermint.Precommit: _another("value"),
    icp.NotarizationShare: _another("block"),
    icp.FinalizationShare: _another("block"),
    icp.CertificationShare: _another("output"),
}
"""The same vote, for what nobody computed, or proposed where votes name a block alone."""

BEHAVIOURS: dict[str, type[Behaviour]] = {
    "honest": Behaviour,
    "silent": Silent,
    "equivocating-leader": EquivocatingLeader,
    "equivocating-voter": EquivocatingVoter,
}
"""By the name that a scenario gives them."""
