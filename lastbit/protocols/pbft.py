"""PBFT with votes on outputs, as a scenario names it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from consensus.pbft import Pbft, PbftConfig
from consensus.pbft.messages import (
    KINDS,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Sync,
    ViewChange,
)
from consensus.protocol import Adopt, Decide, Message, Pair
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import OutputVote, Patience, ProtocolKind, Setup, never_held_back
from lastbit.protocols.votes import PROPOSAL, Reading, Readings, Vote, VoteRules, VotesSeen, nobody, own_votes

if TYPE_CHECKING:
    from lastbit.scenario.tables import Chain
    from lastbit.timing import Timing


def _set_up(chain: Chain, timing: Timing, quorum: QuorumSystem, seed: int) -> Setup:  # noqa: ARG001 - nothing is drawn
    assert chain.outvoted != "halt", "refused with the scenario"
    config = PbftConfig(
        quorum=quorum,
        policy=chain.policy,
        outvoted=chain.outvoted,
        pipeline=chain.pipeline,
        checkpoint_interval=chain.checkpoint_interval,
        watermark_window=chain.watermark_window_heights,
        timeout_ns=timing.timeout_ns,
        timeout_max_ns=timing.timeout_max_ns,
    )
    return Setup(
        replica=lambda replica, source: Pbft(replica, config, source),
        leader=lambda _, view: config.leader(view),
    )


def _output_vote(message: Message) -> OutputVote | None:
    return OutputVote(message.height, message.view, message.pair) if isinstance(message, Prepare) else None


_READINGS: Readings = {
    PrePrepare: Reading(lambda said: (Vote(said.height, (PROPOSAL, said.view), said.block.digest),)),
    Prepare: Reading(
        lambda said: (Vote(said.height, ("prepare", said.view), said.pair, said.pair.output),),
        attrgetter("height", "view", "pair"),
    ),
    Commit: Reading(
        lambda said: (Vote(said.height, ("commit", said.view), said.pair, said.pair.output),),
        attrgetter("height", "view", "pair"),
    ),
    Checkpoint: Reading(
        lambda said: (Vote(said.height, ("checkpoint", 0), said.state),), attrgetter("height", "state")
    ),
    ViewChange: Reading(lambda said: own_votes(said, said.checkpoints, _READINGS)),
    Sync: Reading(lambda said: own_votes(said, said.votes, _READINGS)),
}


def _behind_decision(seen: VotesSeen, decide: Decide) -> Iterable[set[int]]:
    block = decide.block
    yield seen.voters(block.height, ("commit", decide.view), Pair(block.digest, decide.output))


def _behind_state(seen: VotesSeen, adopt: Adopt) -> Iterable[set[int]]:
    yield seen.voters(adopt.height, ("checkpoint", 0), adopt.state)


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:
    """A proposal and the votes for its output must fit in; what is prepared outlasts the view."""
    return Patience(
        "timeouts grow to at most", timing.timeout_max_ns, max(2 * delay_ns, delay_ns + chain.pipeline * compute_ns)
    )


PBFT = ProtocolKind(
    name="pbft",
    title="PBFT",
    view="view",
    messages=KINDS,
    policies=("halt", "retry", "skip"),
    outvoted=("stay", "resync"),
    keys=frozenset({"pipeline", "checkpoint_interval", "watermark_window"}),
    delays_per_block=3,  # pre-prepare, prepare, commit
    quorum=QuorumSystem,
    set_up=_set_up,
    held_back_ns=never_held_back,
    patience=_patience,
    orders_first=False,
    leader_states_output=False,
    new_view=NewView,
    output_vote=_output_vote,
    vote_rules=VoteRules(_READINGS, _behind_decision, nobody, _behind_state),
)
