"""The consensus of the Internet Computer, as a scenario names it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from consensus.icp import Icp, IcpConfig
from consensus.icp.config import n_minus_f
from consensus.icp.messages import (
    KINDS,
    BlockId,
    CatchUpShare,
    CertificationShare,
    FinalizationShare,
    NotarizationShare,
    Proposal,
    Sync,
)
from consensus.protocol import Adopt, Certify, Decide, Message, Pair
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import ANY_BLOCK, OutputVote, Patience, ProtocolKind, Setup
from lastbit.protocols.votes import PROPOSAL, Reading, Readings, Vote, VoteRules, VotesSeen, own_votes

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
        timeout_max_ns=timing.timeout_max_ns,
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


_FINAL, _CERTIFIED, _CATCH_UP = ("finalization", 0), ("certification", 0), ("catch-up", 0)

_READINGS: Readings = {
    Proposal: Reading(lambda said: (Vote(said.height, (PROPOSAL, 0), said.block.id, meaning=said.block.parent),)),
    NotarizationShare: Reading(
        lambda said: (Vote(said.height, ("notarization", said.rank), said.block),),
        attrgetter("height", "rank", "block"),
    ),
    FinalizationShare: Reading(lambda said: (Vote(said.height, _FINAL, said.block),), attrgetter("height", "block")),
    CertificationShare: Reading(
        lambda said: (Vote(said.height, _CERTIFIED, said.output, said.output),), attrgetter("height", "output")
    ),
    CatchUpShare: Reading(
        lambda said: (Vote(said.height, _CATCH_UP, (said.block, said.output), said.output),),
        attrgetter("height", "block", "output"),
    ),
    Sync: Reading(lambda said: own_votes(said, said.messages, _READINGS)),
}


def _behind_decision(seen: VotesSeen, decide: Decide) -> Iterable[set[int]]:
    """Who finalizes a block finalizes all that it stands on."""
    for height in seen.heights_from(decide.block.height):
        for block, voters in seen.ballot(height, _FINAL).items():
            if _ancestor(seen, block, height, decide.block.height) == decide.state:
                yield voters


def _ancestor(seen: VotesSeen, block: BlockId, height: int, of_height: int) -> BlockId | None:
    """The block of an earlier height that one stands on, as far as proposals have told."""
    known: BlockId | None = block
    for at in range(height, of_height, -1):
        known = seen.proposed(at, known)
    return known


def _behind_output(seen: VotesSeen, certify: Certify) -> Iterable[set[int]]:
    """Shares of the output, or of a catch-up package that holds it."""
    yield seen.voters(certify.height, _CERTIFIED, certify.output)
    for (_, output), voters in seen.ballot(certify.height, _CATCH_UP).items():
        if output == certify.output:
            yield voters


def _behind_state(seen: VotesSeen, adopt: Adopt) -> Iterable[set[int]]:
    votes = seen.ballot(adopt.height, _CATCH_UP)
    return (voters for (block, _), voters in votes.items() if block == adopt.state)


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:  # noqa: ARG001
    """The first block of a round must be heard before other ranks notarize their own, or none becomes final."""
    return Patience("twice delta_bound is", 2 * _delta_bound_ns(chain, timing.delay_ns), delay_ns)


ICP = ProtocolKind(
    name="icp",
    title="ICP",
    view="rank",
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
    vote_rules=VoteRules(_READINGS, _behind_decision, _behind_output, _behind_state),
)
