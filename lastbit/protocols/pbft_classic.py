"""PBFT as it is in the field, ordering first and executing after, as a scenario names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consensus.pbft.messages import NewView
from consensus.pbft_classic import PbftClassic, PbftClassicConfig
from consensus.pbft_classic.messages import KINDS
from consensus.protocol import Message
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import OutputVote, Patience, ProtocolKind, Setup, never_held_back

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


def _patience(chain: Chain, timing: Timing, delay_ns: int, compute_ns: int) -> Patience:  # noqa: ARG001
    """A proposal and the votes for it must fit in; what is prepared outlasts the view. Nothing is computed for that."""
    return Patience("timeouts grow to at most", timing.timeout_max_ns, 2 * delay_ns)


PBFT_CLASSIC = ProtocolKind(
    name="pbft-classic",
    title="PBFT, ordering first",
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
)
