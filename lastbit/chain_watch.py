"""The chain as seen from outside: who has decided what, how far everybody is, and whether two chains exist.

The watch knows who is honest. It takes every decision at the moment it is made, so a fork is found at the event
that makes it, whatever the replicas themselves believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consensus.protocol import Adopt, Certify, Decide, Resync
from lastbit.frontier import Frontier
from lastbit.result import ForkKind


@dataclass(frozen=True, slots=True)
class ForkSeen:
    """A safety violation.

    Attributes:
        height: where.
        at_ns: when the decision came that made it one.
        kind: `two-decisions`, `two-states` or `two-certificates`.
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
        holders: for each block and output decided, by whom; more than one pair is a fork.
    """

    decide: Decide
    at_ns: int
    holders: dict[tuple[bytes, bytes], list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certified:
    """The first certificate for the output of a height."""

    output: bytes
    voters: tuple[int, ...]
    at_ns: int


class ChainWatch:
    """Follows the decisions of the honest replicas.

    Args:
        honest: whose decisions count.
        newcomers: those of them who will lose their memory. They may decide again what everybody has behind them, so
            the digest of each height's state is kept to compare.

    Attributes:
        heights: how far everybody has decided.
        certified: how far everybody holds certificates of outputs that were compared later.
        forks: what must never be, in the order in which it was seen.
        forgotten: the height up to which decisions are remembered no more.
    """

    def __init__(self, honest: Iterable[int], newcomers: Iterable[int] = ()) -> None:
        self.heights = Frontier(honest)
        self.certified = Frontier(honest)
        self.forks: list[ForkSeen] = []
        self._newcomers = frozenset(newcomers)
        self._remembered = set(honest)  # who may still decide what is behind the others
        self.forgotten = 0
        self._heights: dict[int, Decided] = {}
        self._states: dict[int, bytes] = {}
        self._certificates: dict[int, Certified] = {}
        self._taken: dict[int, list[tuple[int, bytes]]] = {}  # by whom, while no certificate of it is known

    @property
    def frontier(self) -> int:
        """The highest height that every honest live replica has decided, now or at any time before."""
        return self.heights.all

    @property
    def tip(self) -> int:
        """The highest height that any honest replica has decided."""
        return self.heights.tip

    def decided(self, replica: int, decide: Decide, now_ns: int) -> bool:
        """An honest replica decided the next height; does `frontier` or `tip` move with that?"""
        height = decide.block.height
        has_moved = self.heights.reach(replica, height)
        if height > self.forgotten:
            known = self._heights.get(height)
            if known is None:
                known = self._heights[height] = Decided(decide, now_ns)
            self._compare_decision(replica, decide, known, now_ns)
        what = "decided another state than honest replicas did before it"
        self._compare_state(replica, height, decide.state, now_ns, what)
        return has_moved

    def _compare_decision(self, replica: int, decide: Decide, known: Decided, now_ns: int) -> None:
        pair = decide.block.digest, decide.output
        holders = known.holders.get(pair)
        if holders is None:
            known.holders[pair] = [replica]
            if len(known.holders) > 1:
                self._fork_by_decisions(decide.block.height, known.holders, now_ns)
        elif not self._newcomers or replica not in holders:
            holders.append(replica)

    def _fork_by_decisions(self, height: int, holders: Mapping[tuple[bytes, bytes], list[int]], now_ns: int) -> None:
        same_block = len({block for block, _ in holders}) == 1
        what = f"honest replicas decided different {'outputs' if same_block else 'blocks'}"
        sides = {(output if same_block else block): who for (block, output), who in holders.items()}
        self._fork(height, now_ns, "two-decisions", what, sides)

    def certify(self, replica: int, certify: Certify, now_ns: int) -> bool:
        """An honest replica holds a certificate for the output of a height; do the certified heights move with that?"""
        height, output = certify.height, certify.output
        has_moved = self.certified.reach(replica, height)
        known = self._certificates.get(height)
        if known is None:
            if height > self.forgotten:
                self._certificates[height] = Certified(output, certify.voters, now_ns)
                self._compare_taken(height, now_ns)
        elif known.output != output:
            sides = {known.output: list(known.voters), output: list(certify.voters)}
            self._fork(height, now_ns, "two-certificates", "two outputs of one height are certified", sides)
        return has_moved

    def adopted(self, replica: int, adopt: Adopt, now_ns: int) -> None:
        """An honest replica took the state after a height over from others."""
        self.heights.reach(replica, adopt.height)
        what = "took over another state than the one that honest replicas decided"
        self._compare_state(replica, adopt.height, adopt.state, now_ns, what)

    def _compare_state(self, replica: int, height: int, state: bytes, now_ns: int, what: str) -> None:
        """Where the chain has forked, all states above differ for that, and nobody need hear it again."""
        known = self._states.get(height)
        if known is None:
            if height > self.forgotten:
                self._states[height] = state
        elif known != state and not self.forks:
            sides: dict[bytes, list[int]] = {known: [], state: [replica]}
            self._fork(height, now_ns, "two-states", f"replica {replica} {what}", sides)

    def resynced(self, replica: int, resync: Resync, now_ns: int) -> None:
        """An honest replica took the output of a height, and the state that goes with it, over from others."""
        if resync.height > self.forgotten:
            self._taken.setdefault(resync.height, []).append((replica, resync.output))
            self._compare_taken(resync.height, now_ns)

    def _compare_taken(self, height: int, now_ns: int) -> None:
        """What was taken over must be what is certified; that may be known here only afterwards."""
        certified = self._output_that_holds(height)
        if certified is None:
            return
        for replica, output in self._taken.pop(height, ()):
            if output != certified:
                what = f"replica {replica} took over another output than the certified one"
                self._fork(height, now_ns, "two-states", what, {certified: [], output: [replica]})

    def _output_that_holds(self, height: int) -> bytes | None:
        certificate, decided = self._certificates.get(height), self._heights.get(height)
        if certificate is not None:
            return certificate.output
        return None if decided is None else decided.decide.output or None

    def went_down(self, replica: int, *, for_good: bool = False) -> None:
        """A replica crashed: nobody waits for it until it is back."""
        if for_good:
            self._remembered.discard(replica)
        self.heights.went_down(replica)
        self.certified.went_down(replica)

    def came_up(self, replica: int) -> None:
        """A replica is back. The next height that all others reach waits for it."""
        self.heights.came_up(replica)
        self.certified.came_up(replica)

    def began_anew(self, replica: int) -> None:
        """A replica has lost its memory, and begins at the first height."""
        self.heights.begin_anew(replica)
        self.certified.begin_anew(replica)

    def halted_itself(self, replica: int) -> None:
        """A replica takes no further part."""
        self._remembered.discard(replica)
        self.heights.leave(replica)
        self.certified.leave(replica)

    def at(self, height: int) -> Decided | None:
        """What was decided at a height, while some honest replica may still decide it."""
        return self._heights.get(height)

    def certified_at(self, height: int) -> Certified | None:
        """The certificate of an output, while some honest replica may still decide the height."""
        return self._certificates.get(height)

    def forget(self, closed: int) -> None:
        """Drop the heights that are closed and that every honest replica has behind it, also those that are down and
        will be back."""
        lowest = self.heights.lowest_of(self._remembered)
        while self.forgotten < min(lowest, closed):
            self.forgotten += 1
            self._heights.pop(self.forgotten, None)
            self._taken.pop(self.forgotten, None)
            if not self._newcomers:
                self._states.pop(self.forgotten, None)
                self._certificates.pop(self.forgotten, None)

    def _fork(self, height: int, at_ns: int, kind: ForkKind, what: str, sides: dict[bytes, list[int]]) -> None:
        held = tuple((digest, tuple(sorted(who))) for digest, who in sides.items())
        self.forks.append(ForkSeen(height, at_ns, kind, what, held))
