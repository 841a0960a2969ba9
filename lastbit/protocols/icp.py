"""The consensus of the Internet Computer, as a scenario names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consensus.icp import Icp, IcpConfig
from consensus.icp.config import n_minus_f
from consensus.icp.messages import KINDS, CertificationShare
from consensus.protocol import Message, Pair
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import ANY_BLOCK, OutputVote, Patience, ProtocolKind, Setup

if TYPE_CHECKING:
    from lastbit.scenario.tables import Chain
    from lastbit.timing import Timing


def _set_up(chain: Chain, timing: Timing, quorum: QuorumSystem, seed: int) -> Setup:
    assert chain.outvoted != "halt", "refused with the scenario"
    config = IcpConfig(
        quorum=quorum,
        delta_bnd_ns=_delta_bound_ns(chain, timing.delay_ns),
        epsilon_ns=chain.epsilon_ns,
        timeout_ns=timing.timeout_ns,
        certified_gap_slow=chain.certified_gap_slow,
        certified_gap_max=chain.certified_gap_max,
        cup_gap_max=chain.cup_gap_max,
        cup_interval=chain.cup_interval,
        outvoted=chain.outvoted,
        beacon_seed=f"lastbit {seed}".encode(),
    )
    return Setup(
        replica=lambda replica, source: Icp(replica, config, source),
        leader=config.block_maker,
        certified_at=lambda height: height,
        uncertified_max=config.certified_gap_slow + 1,
    )


def _delta_bound_ns(chain: Chain, delay_ns: int) -> int:
    return chain.delta_bound_ns or max(delay_ns, 1)


def _held_back_ns(chain: Chain, delay_ns: int) -> int:
    """Notaries wait twice the bound longer for each height that certification lags too far."""
    return (chain.certified_gap_max - chain.certified_gap_slow) * 2 * _delta_bound_ns(chain, delay_ns)


def _output_vote(message: Message) -> OutputVote | None:
    if not isinstance(message, CertificationShare):
        return None
    return OutputVote(message.height, 0, Pair(ANY_BLOCK, message.output))


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:  # noqa: ARG001
    """The first block of a round must be heard before other ranks notarize their own, or none becomes final."""
    return Patience("twice delta_bound is", 2 * _delta_bound_ns(chain, timing.delay_ns), delay_ns)


ICP = ProtocolKind(
    name="icp",
    title="ICP",
    messages=KINDS,
    policies=("halt",),
    outvoted=("resync", "stay"),
    keys=frozenset(
        {
            "delta_bound_ms",
            "epsilon_ms",
            "certified_gap_slow",
            "certified_gap_max",
            "cup_gap_max",
            "cup_interval",
        }
    ),
    delays_per_block=4,  # proposal, notarization share, finalization share, certification share
    quorum=n_minus_f,
    set_up=_set_up,
    held_back_ns=_held_back_ns,
    patience=_patience,
    orders_first=True,
    leader_states_output=False,
    new_view=None,
    output_vote=_output_vote,
)
