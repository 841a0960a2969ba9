"""The chain as seen from outside: who has decided what, how far everybody is, and whether two chains exist.

The watch knows who is honest. It takes every decision at the moment it is made, so a fork is found at the event
that makes it, whatever the replicas themselves believe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from consensus.protocol import Adopt, Certify, Decide, Pair
from consensus.quorum import QuorumSystem
from lastbit.frontier import Frontier
from lastbit.result import ForkKind


@dataclass(frozen=True, slots=True)
class ForkSeen:
    """A safety violation.

    Attributes:
        height: where.
        at_ns: when the decision came that made it one.
        kind: `two-decisions`, `two-states`, `two-certificates` or `no-certificate`.
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


@dataclass(frozen=True, slots=True)
class Certified:
    """The first certificate for the output of a height."""

    output: bytes
    voters: tuple[int, ...]
    at_ns: int


class ChainWatch:
    """Follows the decisions of the honest replicas.

    Args:
        quorum: who weighs what.
        honest: whose decisions count.
        newcomers: those of them who will lose their memory. They may decide again what everybody has behind them, so
            the digest of each height's state is kept to compare.

    Attributes:
        heights: how far everybody has decided.
        certified: how far everybody holds certificates of outputs that were compared later.
        forks: what must never be, in the order in which it was seen.
    """

    def __init__(self, quorum: QuorumSystem, honest: Iterable[int], newcomers: Iterable[int] = ()) -> None:
        self.heights = Frontier(honest)
        self.certified = Frontier(honest)
        self.forks: list[ForkSeen] = []
        self._quorum = quorum
        self._newcomers = frozenset(newcomers)
        self._remembered = set(honest)  # who may still decide what is behind the others
        self._last_quorum: tuple[int, ...] | None = None
        self._forgotten = 0
        self._heights: dict[int, Decided] = {}
        self._states: dict[int, bytes] = {}
        self._certificates: dict[int, Certified] = {}

    @property
    def frontier(self) -> int:
        """The highest height that every honest live replica has decided, now or at any time before."""
        return self.heights.all

    @property
    def tip(self) -> int:
        """The highest height that any honest replica has decided."""
        return self.heights.tip

    def decided(self, replica: int, decide: Decide, now_ns: int) -> None:
        """An honest replica decided the next height."""
        height, pair = decide.block.height, Pair(decide.block.digest, decide.output)
        self._check_quorum(replica, height, decide.output, decide.voters, now_ns)
        known = self._heights.get(height)
        if known is None:
            if height <= self._forgotten:
                self._decided_again(replica, height, decide.state, now_ns)
                return
            known = self._heights[height] = Decided(decide, now_ns)
            self._states[height] = decide.state
        holders = known.holders.get(pair)
        if holders is not None:
            if not self._newcomers or replica not in holders:
                holders.append(replica)
        else:
            known.holders[pair] = [replica]
        if holders is None and len(known.holders) > 1:
            same_block = len({holder.block for holder in known.holders}) == 1
            what = f"honest replicas decided different {'outputs' if same_block else 'blocks'}"
            sides = {(each.output if same_block else each.block): who for each, who in known.holders.items()}
            self._fork(height, now_ns, "two-decisions", what, sides)
        self.heights.reach(replica, height)

    def _decided_again(self, replica: int, height: int, state: bytes, now_ns: int) -> None:
        """A newcomer decided what all others have behind them."""
        self._compare_state(replica, height, state, now_ns, "decided another state than honest replicas did before it")
        self.heights.reach(replica, height)

    def certify(self, replica: int, certify: Certify, now_ns: int) -> None:
        """An honest replica holds a certificate for the output of a height."""
        height, output = certify.height, certify.output
        self._check_quorum(replica, height, output, certify.voters, now_ns)
        known = self._certificates.get(height)
        if known is None:
            self._certificates[height] = Certified(output, certify.voters, now_ns)
        elif known.output != output:
            sides = {known.output: list(known.voters), output: list(certify.voters)}
            self._fork(height, now_ns, "two-certificates", "two outputs of one height are certified", sides)
        self.certified.reach(replica, max(height, self.certified.of(replica)))

    def _check_quorum(self, replica: int, height: int, output: bytes, voters: tuple[int, ...], now_ns: int) -> None:
        if voters == self._last_quorum or self._quorum.is_quorum(voters):
            self._last_quorum = voters  # mostly the same for all, and then judged once
            return
        weight = self._quorum.weight_of(voters)
        what = f"replica {replica} decided on votes of weight {weight}; a quorum is {self._quorum.threshold}"
        self._fork(height, now_ns, "no-certificate", what, {output: list(voters)})

    def adopted(self, replica: int, adopt: Adopt, now_ns: int) -> None:
        """An honest replica took the state after a height over from others."""
        what = "took over another state than the one that honest replicas decided"
        self._compare_state(replica, adopt.height, adopt.state, now_ns, what)
        self.heights.reach(replica, adopt.height)

    def _compare_state(self, replica: int, height: int, state: bytes, now_ns: int, what: str) -> None:
        known = self._states.get(height)
        if known is not None and known != state:
            sides: dict[bytes, list[int]] = {known: [], state: [replica]}
            self._fork(height, now_ns, "two-states", f"replica {replica} {what}", sides)

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
        lowest = min(map(self.heights.of, self._remembered), default=self.frontier)
        while self._forgotten < min(lowest, closed):
            self._forgotten += 1
            self._heights.pop(self._forgotten, None)
            if not self._newcomers:
                self._states.pop(self._forgotten, None)
                self._certificates.pop(self._forgotten, None)

    def _fork(self, height: int, at_ns: int, kind: ForkKind, what: str, sides: dict[bytes, list[int]]) -> None:
        held = tuple((digest, tuple(sorted(who))) for digest, who in sides.items())
        self.forks.append(ForkSeen(height, at_ns, kind, what, held))
