"""What agreement on one block costs by the papers: undisturbed, one block at a time, nobody sends to itself.

Everything is broadcast, so the copies of a kind are those who broadcast it, times n - 1. Delays are counted from the
moment at which a block is proposed, and hold for equal replicas from n = 4 on: among fewer, the leader's word and a
replica's own may be a quorum already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedForm:
    """One protocol.

    Args:
        agreement: the messages that agree on a block, as a formula in n.
        source: where that is from.
        first_votes, second_votes: the kinds of message in which replicas vote once, and once more.
        proposal: the kind of message that proposes.
        first_voters: how many of n broadcast a first vote.
        certificates: kinds of certificates that every replica combines and broadcasts for each block.
        output_votes: kinds in which every replica votes on its output of each block, apart from agreement.
        checkpoint_votes: kinds that every replica broadcasts once in an interval.
        decided_delays: message delays until a block is decided.
        next_block_delays: message delays until the next block is proposed.
        certified_delays: message delays until the output of a block is certified, first and last block of an interval
            of so many blocks.
        computed_before_decision: executions between a proposal and its decision.
    """

    agreement: str
    source: str
    proposal: str
    first_votes: str
    second_votes: str
    first_voters: Callable[[int], int]
    certificates: tuple[str, ...] = ()
    output_votes: tuple[str, ...] = ()
    checkpoint_votes: tuple[str, ...] = ()
    decided_delays: int = 3
    next_block_delays: int = 3
    certified_delays: Callable[[int], tuple[int, int]]
    computed_before_decision: int


def _everybody(n: int) -> int:
    return n


CLOSED_FORMS: dict[str, ClosedForm] = {
    "pbft": ClosedForm(
        agreement="(n - 1) + 2n(n - 1)",
        source="Castro and Liskov 1999, 4.2; here the leader sends a prepare, too, since that names its output",
        proposal="pre-prepare",
        first_votes="prepare",
        second_votes="commit",
        first_voters=_everybody,
        checkpoint_votes=("checkpoint",),
        certified_delays=lambda interval: (3, 3),  # noqa: ARG005 - the decision names the output
        computed_before_decision=1,
    ),
    "pbft-classic": ClosedForm(
        agreement="(n - 1) + (n - 1)² + n(n - 1) = 2n(n - 1)",
        source="Castro and Liskov 1999, 4.2; outputs are compared in checkpoints, 4.3",
        proposal="pre-prepare",
        first_votes="prepare",
        second_votes="commit",
        first_voters=lambda n: n - 1,  # the pre-prepare stands for the leader's
        checkpoint_votes=("checkpoint",),
        certified_delays=lambda interval: (4, 4 + 3 * (interval - 1)),
        computed_before_decision=0,
    ),
    "tendermint": ClosedForm(
        agreement="(n - 1) + 2n(n - 1)",
        source="Buchman, Kwon and Milosevic 2018, on a full mesh in the place of gossip; the next header certifies",
        proposal="proposal",
        first_votes="prevote",
        second_votes="precommit",
        first_voters=_everybody,
        certified_delays=lambda interval: (6, 6),  # noqa: ARG005 - by the decision of the next height
        computed_before_decision=1,
    ),
    "icp": ClosedForm(
        agreement="(n - 1) + 2n(n - 1)",
        source="Camenisch et al. 2022, ICC0 without echoed blocks; the next block follows after 2 delays; then outputs",
        proposal="proposal",
        first_votes="notarization-share",
        second_votes="finalization-share",
        first_voters=_everybody,
        certificates=("notarization", "finalization"),
        output_votes=("certification-share",),
        checkpoint_votes=("catch-up-share",),
        next_block_delays=2,
        certified_delays=lambda interval: (4, 4),  # noqa: ARG005 - of each block by itself
        computed_before_decision=0,
    ),
}
"""By the name that a scenario gives the protocol."""
