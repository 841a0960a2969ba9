"""ICP broken on purpose: each one forks, and whoever watches the chain sees it.

As in `test_broken_protocols.py`: each breaks one rule, and the sound protocol on the same schedule does not fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from support.cluster import MS, output
from support.icp_cluster import IcpCluster, icp
from support.icp_liar import TwoBlocks, rival

from consensus.behaviours import Behaviour
from consensus.icp import Icp, IcpConfig
from consensus.icp.messages import (
    Finalization,
    FinalizationShare,
    Notarization,
    NotarizationShare,
    Proposal,
    Status,
    Sync,
)
from consensus.icp.round import Round
from consensus.protocol import Block, Broadcast, Effect, Message
from consensus.quorum import QuorumSystem


def n_minus_2f(**settings: Any) -> IcpConfig:
    """A quorum that its own constructor refuses: two of four."""
    system = QuorumSystem.equal(4)
    object.__setattr__(system, "threshold", 2)
    return icp(quorum=system, **settings)


def assert_forks(cluster: IcpCluster) -> None:
    assert cluster.watch.forks, "the observer saw no fork"
    with pytest.raises(AssertionError):
        cluster.check_no_fork()


def test_two_of_four_fork_under_a_maker_of_two_blocks() -> None:
    maker = icp().block_maker(1, 0)
    others = [replica for replica in range(4) if replica != maker]
    here = {maker, others[0]}

    def apart(sender: int, receiver: int, message: Message) -> int:
        return (1 if (sender in here) == (receiver in here) or isinstance(message, Proposal) else 900) * MS

    story: dict[str, Any] = {"blocks": 1, "behaviours": {maker: TwoBlocks}, "delay_ns": apart}
    assert_forks(IcpCluster(n_minus_2f(), **story).run(5_000 * MS))
    sound = IcpCluster(icp(), **story).run(20_000 * MS)
    sound.check()
    assert min(sound.heights()[replica] for replica in others) >= 1


class SharesFinalityBesideRivals(Icp):
    """Sends a finalization share for the block that ended its round, whatever else it has notarized there."""

    def _end_round(self, round_: Round) -> None:
        if round_.ending is not None:
            round_.shared = {rank: block for rank, block in round_.shared.items() if block == round_.ending.block}
        super()._end_round(round_)


class LeavesRequestsOut(Behaviour):
    """Makes blocks without requests, so that they differ from those of other makers."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        message = getattr(effect, "message", None)
        if isinstance(message, Proposal):
            self.made, self.instead = message.block.id, rival(message).block.id
            yield Broadcast(rival(message))
        elif isinstance(message, NotarizationShare) and message.block == getattr(self, "made", None):
            yield Broadcast(msgspec.structs.replace(message, block=self.instead))
        else:
            yield effect


def test_a_finalization_share_beside_another_notarization_share_forks() -> None:
    """The blocks of ranks 0 and 1 are both notarized, and the maker of round 2 alone sees the second first."""
    next_maker = icp().block_maker(2, 0)

    def delay_ns(sender: int, receiver: int, message: Message) -> int | None:
        match message:
            case Proposal() if (message.height, message.view) == (1, 0):
                return 55 * MS
            case NotarizationShare(_, 1, rank):
                return 10 * MS if rank == (receiver == next_maker) else 900 * MS
            case Notarization() | FinalizationShare() | Finalization() if message.height == 1:
                return 900 * MS if next_maker in (sender, receiver) else 10 * MS
            case Status() | Sync():
                return None
        return 10 * MS

    behaviours = {icp().block_maker(1, 1): LeavesRequestsOut}
    story: dict[str, Any] = {"blocks": 2, "delay_ns": delay_ns, "behaviours": behaviours}
    assert_forks(IcpCluster(icp(), **story, protocol=SharesFinalityBesideRivals).run(400 * MS))
    IcpCluster(icp(), **story).run(20_000 * MS).check()


def test_two_of_four_certify_two_outputs() -> None:
    def two_and_two(replica: int, block: Block, view: int) -> bytes:
        return output(f"{replica // 2}")

    def apart(sender: int, receiver: int, message: Message) -> int:
        is_share = message.kind == "certification-share"
        return (900 if is_share and sender // 2 != receiver // 2 else 10) * MS

    story: dict[str, Any] = {"blocks": 1, "answer": two_and_two, "delay_ns": apart}
    with pytest.raises(AssertionError, match="two outputs"):
        IcpCluster(n_minus_2f(), **story).run(5_000 * MS).check_certified()
    IcpCluster(icp(), **story).run(5_000 * MS).check()
