"""Tendermint, as a scenario names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consensus.protocol import Message
from consensus.quorum import QuorumSystem
from consensus.tendermint import Tendermint, TendermintConfig
from consensus.tendermint.messages import KINDS
from lastbit.protocols.kind import OutputVote, Patience, ProtocolKind, Setup, never_held_back

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
)
