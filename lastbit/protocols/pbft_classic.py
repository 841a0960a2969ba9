"""PBFT as it is in the field, ordering first and executing after, as a scenario names it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING

from consensus.pbft.messages import Checkpoint, NewView, PrePrepare, Sync
from consensus.pbft_classic import PbftClassic, PbftClassicConfig
from consensus.pbft_classic.messages import KINDS, Commit, Prepare, ViewChange
from consensus.protocol import Adopt, Certify, Decide, Message
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import HistoryVote, OutputVote, Patience, ProtocolKind, Setup, never_held_back
from lastbit.protocols.votes import PROPOSAL, Reading, Readings, Vote, VoteRules, VotesSeen, own_votes

if TYPE_CHECKING:
    from lastbit.scenario.tables import Chain
    from lastbit.timing import Timing


def _set_up(chain: Chain, timing: Timing, quorum: QuorumSystem, seed: int) -> Setup:  # noqa: ARG001 - nothing is drawn
    config = PbftClassicConfig(
        quorum=quorum,
        pipeline=chain.pipeline,
        checkpoint_interval=chain.checkpoint_interval,
        watermark_window=chain.watermark_window_heights,
        timeout_ns=timing.timeout_ns,
        timeout_max_ns=timing.timeout_max_ns,
        outvoted=chain.outvoted,
    )
    return Setup(
        replica=lambda replica, source: PbftClassic(replica, config, source),
        leader=lambda _, view: config.leader(view),
        certified_at=lambda height: height - height % config.checkpoint_interval,
        uncertified_max=config.watermark_window,
    )


def _output_vote(message: Message) -> OutputVote | None:  # noqa: ARG001
    """Votes name no output; a checkpoint names a whole history of them."""
    return None


_READINGS: Readings = {
    PrePrepare: Reading(lambda said: (Vote(said.height, (PROPOSAL, said.view), said.block.digest),)),
    Prepare: Reading(
        lambda said: (Vote(said.height, ("prepare", said.view), said.block),), attrgetter("height", "view", "block")
    ),
    Commit: Reading(
        lambda said: (Vote(said.height, ("commit", said.view), said.block),), attrgetter("height", "view", "block")
    ),
    Checkpoint: Reading(
        lambda said: (Vote(said.height, ("checkpoint", 0), said.state, said.state.output),),
        attrgetter("height", "state"),
    ),
    ViewChange: Reading(lambda said: own_votes(said, said.checkpoints, _READINGS)),
    Sync: Reading(lambda said: own_votes(said, said.votes, _READINGS)),
}


def _behind_decision(seen: VotesSeen, decide: Decide) -> Iterable[set[int]]:
    yield seen.voters(decide.block.height, ("commit", decide.view), decide.block.digest)


def _behind_output(seen: VotesSeen, certify: Certify) -> Iterable[set[int]]:
    """A checkpoint names its own output, and stands for those below it by the digest of all that was executed."""
    for height in seen.heights_from(certify.height):
        for snapshot, voters in seen.ballot(height, ("checkpoint", 0)).items():
            if height > certify.height or snapshot.output == certify.output:
                yield voters


def _behind_state(seen: VotesSeen, adopt: Adopt) -> Iterable[set[int]]:
    votes = seen.ballot(adopt.height, ("checkpoint", 0))
    return (voters for snapshot, voters in votes.items() if snapshot.chain == adopt.state)


def _history_vote(message: Message) -> HistoryVote | None:
    return HistoryVote(message.height, message.state.execution) if isinstance(message, Checkpoint) else None


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:  # noqa: ARG001
    """A proposal and the votes for it must fit in; what is prepared outlasts the view. Nothing is computed for that."""
    return Patience("timeouts grow to at most", timing.timeout_max_ns, 2 * delay_ns)


PBFT_CLASSIC = ProtocolKind(
    name="pbft-classic",
    title="classic PBFT",
    view="view",
    messages=KINDS,
    policies=("halt",),
    outvoted=("resync", "stay", "halt"),
    keys=frozenset({"pipeline", "checkpoint_interval", "watermark_window"}),
    delays_per_block=3,  # pre-prepare, prepare, commit
    quorum=QuorumSystem,
    set_up=_set_up,
    held_back_ns=never_held_back,
    patience=_patience,
    orders_first=True,
    leader_states_output=False,
    new_view=NewView,
    output_vote=_output_vote,
    history_vote=_history_vote,
    vote_rules=VoteRules(_READINGS, _behind_decision, _behind_output, _behind_state),
)
