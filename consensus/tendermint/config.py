"""What all replicas of a Tendermint chain have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from consensus.quorum import QuorumSystem
from consensus.tendermint.proposers import Turns, turns_of

DigestPlace: TypeAlias = Literal["next-header", "proposal"]
OutvotedPolicy: TypeAlias = Literal["halt", "resync"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TendermintConfig:
    """What all replicas of a chain have in common.

    Args:
        quorum: who votes with which weight; `vote_keeper.two_thirds` gives Tendermint's own.
        digest: where the output of a height stands. `next-header`: in the header of the next one, as in CometBFT, so
            that a height is committed before anybody knows whether its outputs agree. `proposal`: in the proposal
            itself, so that votes name it.
        outvoted: what a replica does where two thirds stand behind another output than its own. `halt`: it stops for
            good, as CometBFT does. `resync`: it takes the state that goes with theirs over, and goes on.
        timeout_ns: the timeout of each step in the first round of a height.
        timeout_max_ns: the cap of that time, which grows by the first with each round.

    Example:
        >>> from consensus.tendermint.vote_keeper import two_thirds
        >>> config = TendermintConfig(quorum=two_thirds((1, 1, 1, 1)), timeout_ns=10, timeout_max_ns=25)
        >>> [config.timeout_of(round) for round in range(4)], [config.proposer(1, round) for round in range(5)]
        ([10, 20, 25, 25], [0, 1, 2, 3, 0])
    """

    quorum: QuorumSystem
    digest: DigestPlace = "next-header"
    outvoted: OutvotedPolicy = "halt"
    timeout_ns: int = 1_000_000_000
    timeout_max_ns: int = 64_000_000_000
    _turns: Turns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_turns", turns_of(self.quorum.weights))
        if self.timeout_ns < 1:
            raise ValueError(f"timeout_ns is {self.timeout_ns}; at least 1")
        if self.timeout_max_ns < self.timeout_ns:
            raise ValueError(f"timeout_max_ns is {self.timeout_max_ns}; at least timeout_ns, {self.timeout_ns}")

    def proposer(self, height: int, round_: int) -> int:
        """Who proposes: the replicas in turn, by weight, one further with each height and each round."""
        return self._turns.proposer(height - 1 + round_)

    def timeout_of(self, round_: int) -> int:
        """How long a step of a round is waited for, in ns."""
        timeout_ns = self.timeout_ns * (round_ + 1)
        return timeout_ns if timeout_ns < self.timeout_max_ns else self.timeout_max_ns
