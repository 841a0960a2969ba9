"""The facts of a stall: all that `causes` asks about. `diagnosis` gathers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consensus.quorum import QuorumSystem
from lastbit.attempts import Verdict
from lastbit.protocols.kind import Patience
from lastbit.reach import sides_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known from outside when a chain stands still.

    Attributes:
        quorum: who weighs what.
        policy: of the chain.
        silent: the replicas that never speak.
        down: the replicas that have crashed and are not back.
        halted_themselves: the honest replicas that were outvoted and take no further part.
        resyncing: the honest replicas that are taking over the state of others.
        catching_up: the honest replicas that were down or cut off, and have not decided what others have.
        resync_ns: how long it takes to take a state over.
        honest_up: the honest replicas that are up.
        reach: whom each replica has reached for as long as a block takes, itself among them.
        reach_changes: that differs from whom it reaches now.
        down_since: the replicas that were down at any time since the last progress.
        reach_since: whom each replica has reached all the time since.
        split_since: on the last attempt at the height that split; None where none did.
        verdict: on the attempt that tells most: the last one at the height that did not come, or, where outputs are
            compared later, at the first whose output nobody certified; None where no honest replica executed.
        height: that did not come.
        liar: the leader that proposed several blocks in the last attempt at the height; None where none did.
        halted: replicas have stopped voting, as the policy `halt` says.
        is_done: the chain has reached its target.
        behind: honest live replicas that have not decided all that others have.
        delay_ns: the delay within which a quorum hear each other now.
        compute_ns: the time within which a quorum compute a block.
        patience: how long the protocol waits, and must with those.
        computing_ns: how long each honest live replica has to compute yet; those who have nothing to are left out, and
            all where nobody computes before it votes.
        block_ns: how long a block takes with those.
        stall_after_ns: standing still for longer is a stall.
        leaders: who led the last view of each live replica, and their behaviour.
        leader_states_output: what a leader proposes states its own output.
        uncertified: heights ordered and not certified, where that comes later.
        uncertified_max: from so many on the protocol holds ordering back; None: it never does.
        held_back: the honest live replicas that lack so many certificates themselves.
        leader_is_needed: nobody orders anything that the leader does not propose.
        loss: the probability that a message is lost, the greatest since the last progress.
        is_of_all_the_stall: who is down and who reaches whom is said of all the time since the last progress.
    """

    quorum: QuorumSystem
    policy: str
    silent: tuple[int, ...]
    down: tuple[int, ...]
    halted_themselves: tuple[int, ...]
    resyncing: tuple[int, ...]
    catching_up: tuple[int, ...]
    resync_ns: int
    honest_up: tuple[int, ...]
    reach: Mapping[int, frozenset[int]]
    reach_changes: bool
    down_since: tuple[int, ...]
    reach_since: Mapping[int, frozenset[int]]
    split_since: Verdict | None
    verdict: Verdict | None
    height: int
    liar: int | None
    halted: bool
    is_done: bool
    behind: tuple[int, ...]
    delay_ns: int
    compute_ns: int
    patience: Patience
    computing_ns: Mapping[int, int]
    block_ns: int
    stall_after_ns: int
    leaders: Mapping[int, str]
    leader_states_output: bool
    uncertified: int
    uncertified_max: int | None
    held_back: tuple[int, ...]
    leader_is_needed: bool
    loss: float
    is_of_all_the_stall: bool = False

    def of_all_the_stall(self) -> Facts:
        """The same, said of all the time since the last progress: who is down, who reaches whom, and what split."""
        return replace(
            self, down=self.down_since, reach=self.reach_since, verdict=self.split_since, is_of_all_the_stall=True
        )

    @property
    def speaking(self) -> frozenset[int]:
        """Who is up and not silent by nature."""
        return frozenset(self.reach).difference(self.silent, self.down)

    @property
    def voting(self) -> frozenset[int]:
        """Who of them has not halted itself."""
        return self.speaking.difference(self.halted_themselves)

    @property
    def recovering(self) -> frozenset[int]:
        """Who cannot vote yet, and will."""
        return frozenset((*self.resyncing, *self.catching_up))

    @property
    def ready(self) -> frozenset[int]:
        """Who can vote now."""
        return self.voting - self.recovering

    def sides(self, among: frozenset[int]) -> tuple[frozenset[int], ...]:
        """The largest sets of some replicas each of which reaches the others."""
        return sides_of(self.reach, among)

    def weight_together(self, among: frozenset[int]) -> int:
        """The weight of the heaviest of those sets."""
        return max(map(self.quorum.weight_of, self.sides(among)), default=0)
