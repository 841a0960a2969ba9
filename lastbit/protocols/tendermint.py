"""Tendermint, as a scenario names it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from consensus.protocol import Certify, Decide, Message, Pair
from consensus.quorum import QuorumSystem
from consensus.tendermint import Tendermint, TendermintConfig
from consensus.tendermint.messages import KINDS, Precommit, Prevote, Proposal, Sync
from lastbit.protocols.kind import OutputVote, Patience, ProtocolKind, Setup, never_held_back
from lastbit.protocols.votes import PROPOSAL, Reading, Readings, Vote, VoteRules, VotesSeen, nobody, own_votes

if TYPE_CHECKING:
    from lastbit.scenario.tables import Chain
    from lastbit.timing import Timing


def _quorum(weights: tuple[int, ...], faulty_weight_max: int) -> QuorumSystem:
    return QuorumSystem(weights, faulty_weight_max, 2 * sum(weights) // 3 + 1)


def _set_up(chain: Chain, timing: Timing, quorum: QuorumSystem, seed: int) -> Setup:  # noqa: ARG001 - nothing is drawn
    assert chain.outvoted != "stay", "refused with the scenario"
    config = TendermintConfig(
        quorum=quorum,
        digest=chain.digest,
        outvoted=chain.outvoted,
        timeout_ns=timing.timeout_ns,
        timeout_max_ns=timing.timeout_max_ns,
    )
    return Setup(
        replica=lambda replica, source: Tendermint(replica, config, source),
        leader=config.proposer,
        certified_at=(lambda height: height - 1) if chain.digest == "next-header" else None,
    )


def _output_vote(message: Message) -> OutputVote | None:  # noqa: ARG001
    """Votes name a header: whose outputs it states, and which, its proposer says and not the voter."""
    return None


def _proposed(said: Proposal) -> tuple[Vote, ...]:
    block, digest = said.value.block, said.value.digest
    return (Vote(said.height, (PROPOSAL, said.round), said.value.id, digest, Pair(block.digest, digest)),)


_READINGS: Readings = {
    Proposal: Reading(_proposed),
    Prevote: Reading(
        lambda said: (Vote(said.height, ("prevote", said.round), said.value),), attrgetter("height", "round", "value")
    ),
    Precommit: Reading(
        lambda said: (Vote(said.height, ("precommit", said.round), said.value),), attrgetter("height", "round", "value")
    ),
    Sync: Reading(lambda said: own_votes(said, said.messages, _READINGS)),
}


def _behind_decision(seen: VotesSeen, decide: Decide) -> Iterable[set[int]]:
    """Votes name a header by its digest. What stands in it, its proposal has told."""
    height = decide.block.height
    for value, voters in seen.ballot(height, ("precommit", decide.view)).items():
        header = seen.proposed(height, value)
        if header is not None and header.block == decide.block.digest and decide.output in (b"", header.output):
            yield voters


def _behind_output(seen: VotesSeen, certify: Certify) -> Iterable[set[int]]:
    """The header of the next height states it."""
    height = certify.height + 1
    for votes in seen.ballots(height, "precommit"):
        for value, voters in votes.items():
            header = seen.proposed(height, value)
            if header is not None and header.output == certify.output:
                yield voters


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:
    """A proposal must be heard and computed; where it states its own output, its proposer computes first."""
    return Patience(
        "timeouts grow to at most",
        timing.timeout_max_ns,
        delay_ns + compute_ns * (2 if chain.digest == "proposal" else 1),
    )


TENDERMINT = ProtocolKind(
    name="tendermint",
    title="Tendermint",
    view="round",
    messages=KINDS,
    policies=("retry",),
    outvoted=("halt", "resync"),
    keys=frozenset({"digest"}),
    delays_per_block=3,  # proposal, prevote, precommit
    quorum=_quorum,
    set_up=_set_up,
    held_back_ns=never_held_back,
    patience=_patience,
    orders_first=False,
    leader_states_output=True,
    new_view=None,
    output_vote=_output_vote,
    vote_rules=VoteRules(_READINGS, _behind_decision, _behind_output, nobody),
)
