"""The chain as seen from outside: who has decided what, how far everybody is, and whether two chains exist.

The watch knows who is honest. It takes every decision at the moment it is made, so a fork is found at the event
that makes it, whatever the replicas themselves believe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from consensus.protocol import Adopt, Decide, Pair
from consensus.quorum import QuorumSystem
from lastbit.result import ForkKind


@dataclass(frozen=True, slots=True)
class ForkSeen:
    """A safety violation.

    Attributes:
        height: where.
        at_ns: when the decision came that made it one.
        kind: `two-decisions`, `two-states` or `no-certificate`.
        what: a sentence.
        sides: the digests that exclude each other, and who holds each.
    """

    height: int
    at_ns: int
    kind: ForkKind
    what: str
    sides: tuple[tuple[bytes, tuple[int, ...]], ...]


@dataclass(slots=True)
class Decided:
    """What honest replicas decided at one height.

    Attributes:
        decide: the first decision.
        at_ns: when it was made.
        holders: for each pair decided, by whom; more than one pair is a fork.
    """

    decide: Decide
    at_ns: int
    holders: dict[Pair, list[int]] = field(default_factory=dict)


class ChainWatch:
    """Follows the decisions of the honest replicas.

    Attributes:
        frontier: the highest height that every honest live replica has decided, now or at any time before.
        tip: the highest height that any honest replica has decided.
        forks: what must never be, in the order in which it was seen.
    """

    def __init__(self, quorum: QuorumSystem, honest: Iterable[int]) -> None:
        self.frontier = 0
        self.tip = 0
        self.forks: list[ForkSeen] = []
        self._quorum = quorum
        self._reached = dict.fromkeys(sorted(honest), 0)
        self._awaited = set(self._reached)  # live, and not beyond the frontier: the next height waits for them
        self._down: set[int] = set()
        self._remembered = set(self._reached)  # who may still decide what is behind the others
        self._last_quorum: tuple[int, ...] | None = None
        self._forgotten = 0
        self._heights: dict[int, Decided] = {}
        self._states: dict[int, bytes] = {}

    def decided(self, replica: int, decide: Decide, now_ns: int) -> None:
        """An honest replica decided the next height."""
        height, pair = decide.block.height, Pair(decide.block.digest, decide.output)
        if decide.voters == self._last_quorum or self._quorum.is_quorum(decide.voters):
            self._last_quorum = decide.voters  # mostly the same for all, and then judged once
        else:
            weight = self._quorum.weight_of(decide.voters)
            what = f"replica {replica} decided on votes of weight {weight}; a quorum is {self._quorum.threshold}"
            self._fork(height, now_ns, "no-certificate", what, {decide.output: list(decide.voters)})
        known = self._heights.get(height)
        if known is None:
            known = self._heights[height] = Decided(decide, now_ns)
            self._states[height] = decide.state
        holders = known.holders.get(pair)
        if holders is not None:
            holders.append(replica)
        else:
            known.holders[pair] = [replica]
        if holders is None and len(known.holders) > 1:
            same_block = len({holder.block for holder in known.holders}) == 1
            what = f"honest replicas decided different {'outputs' if same_block else 'blocks'}"
            sides = {(each.output if same_block else each.block): who for each, who in known.holders.items()}
            self._fork(height, now_ns, "two-decisions", what, sides)
        self._reach(replica, height)

    def adopted(self, replica: int, adopt: Adopt, now_ns: int) -> None:
        """An honest replica took the state after a height over from others."""
        known = self._states.get(adopt.height)
        if known is not None and known != adopt.state:
            what = f"replica {replica} took over another state than the one that honest replicas decided"
            self._fork(adopt.height, now_ns, "two-states", what, {known: [], adopt.state: [replica]})
        self._reach(replica, adopt.height)

    def went_down(self, replica: int, *, for_good: bool = False) -> None:
        """A replica crashed: nobody waits for it until it is back."""
        self._down.add(replica)
        if for_good:
            self._remembered.discard(replica)
        self._stop_waiting_for(replica)

    def came_up(self, replica: int) -> None:
        """A replica is back. The next height that all others reach waits for it."""
        self._down.discard(replica)

    def everybody_reached(self, height: int) -> bool:
        """Has every honest live replica decided this height by now? Where there is none, nobody has."""
        live = [at for replica, at in self._reached.items() if replica not in self._down]
        return bool(live) and min(live) >= height

    def behind(self, height: int) -> tuple[int, ...]:
        """The honest live replicas that have not decided this height yet."""
        return tuple(replica for replica, at in self._reached.items() if at < height and replica not in self._down)

    def at(self, height: int) -> Decided | None:
        """What was decided at a height, while some honest replica may still decide it."""
        return self._heights.get(height)

    def forget(self) -> None:
        """Drop the heights that every honest replica has behind it, those included that are down and will be back."""
        lowest = min((self._reached[replica] for replica in self._remembered), default=self.frontier)
        while self._forgotten < min(lowest, self.frontier):
            self._forgotten += 1
            self._heights.pop(self._forgotten, None)
            self._states.pop(self._forgotten, None)

    def _reach(self, replica: int, height: int) -> None:
        self._reached[replica] = height
        self.tip = max(self.tip, height)
        if height > self.frontier:
            self._stop_waiting_for(replica)

    def _stop_waiting_for(self, replica: int) -> None:
        self._awaited.discard(replica)
        if self._awaited:
            return
        live = {replica: at for replica, at in self._reached.items() if replica not in self._down}
        self.frontier = max(self.frontier, min(live.values(), default=0))
        self._awaited = {replica for replica, at in live.items() if at <= self.frontier}

    def _fork(self, height: int, at_ns: int, kind: ForkKind, what: str, sides: dict[bytes, list[int]]) -> None:
        held = tuple((digest, tuple(sorted(who))) for digest, who in sides.items())
        self.forks.append(ForkSeen(height, at_ns, kind, what, held))
