"""What PBFT replicas have signed, and what follows from it: the certificates that there can be, and what they bind.

One replica signs what it likes whenever it likes, so it counts as a voter for everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from consensus.pbft.messages import (
    Checkpoint,
    Commit,
    Decision,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    StableCheckpoint,
    ViewChange,
)
from consensus.protocol import Block, Message, Pair
from consensus.quorum import QuorumSystem

Place = tuple[int, int, Pair]
"""Height, view and pair."""


class Signed:
    """The books of all that was signed. Each vote is checked as it is noted.

    Attributes:
        prepares, commits: who voted, by height, view and pair.
        states: who told a checkpoint, by height and state.
        blocks: all that was proposed, by digest.
        changes: the view changes of the honest, by view and sender.
        new_views: what the honest began views with.
    """

    def __init__(self, quorum: QuorumSystem, liar: int) -> None:
        self.quorum = quorum
        self.liar = liar
        self.prepares: dict[Place, set[int]] = defaultdict(set)
        self.commits: dict[Place, set[int]] = defaultdict(set)
        self.states: dict[tuple[int, bytes], set[int]] = defaultdict(set)
        self.blocks: dict[bytes, Block] = {}
        self.changes: dict[int, dict[int, ViewChange]] = defaultdict(dict)
        self.new_views: list[NewView[ViewChange]] = []
        self._said: dict[tuple[object, ...], object] = {}
        self._certified: dict[tuple[int, int], Pair] = {}  # what can have a prepared certificate, by height and view
        self._decidable: dict[int, tuple[int, Pair]] = {}  # what can be decided, and since which view

    def note(self, message: Message) -> None:
        match message:
            case PrePrepare(sender, view, block):
                self._once(sender, "pre-prepare", (view, block.height), block)
                self.blocks[block.digest] = block
            case Prepare(sender, view, height, pair):
                self._once(sender, "prepare", (view, height), pair)
                self.prepares[height, view, pair].add(sender)
                if self._can_be_quorum(self.prepares[height, view, pair]):
                    self._note_certified(height, view, pair)
            case Commit(sender, view, height, pair):
                self._note_commit(sender, height, view, pair)
            case Checkpoint(sender, height, state):
                self._once(sender, "checkpoint", (height,), state)
                self.states[height, state].add(sender)
            case ViewChange(sender, view) if sender != self.liar:
                self._once(sender, "view-change", (view,), message)
                self.changes[view][sender] = message
            case NewView(sender, view) if sender != self.liar:
                self._once(sender, "new-view", (view,), message)
                self.new_views.append(message)

    def _once(self, sender: int, kind: str, place: tuple[int, ...], said: object) -> None:
        if sender != self.liar:
            assert self._said.setdefault((sender, kind, *place), said) == said, f"two of a {kind} by {sender}: {place}"

    def _can_be_quorum(self, voters: set[int]) -> bool:
        return self.quorum.is_quorum(voters | {self.liar})

    def _note_certified(self, height: int, view: int, pair: Pair) -> None:
        assert self._certified.setdefault((height, view), pair) == pair, "two certificates in one view"
        since, bound = self._decidable.get(height, (view, pair))
        assert view < since or pair == bound, f"height {height} was bound in view {since}, and not in {view}"

    def _note_commit(self, sender: int, height: int, view: int, pair: Pair) -> None:
        self._once(sender, "commit", (view, height), pair)
        self.commits[height, view, pair].add(sender)
        if sender != self.liar:
            assert self.quorum.is_quorum(self.prepares[height, view, pair]), "committed without a prepared certificate"
        if self._can_be_quorum(self.commits[height, view, pair]):
            since, bound = self._decidable.get(height, (view, pair))
            assert bound == pair, f"two pairs can be decided at height {height}"
            self._decidable[height] = min(since, view), pair
            later = [at for (of, at) in self._certified if of == height and at >= view]
            assert all(self._certified[height, at] == pair for at in later), "a later view had another certificate"

    # --- the certificates that the liar can show ------------------------------------------------------------

    def prepared(self, view: int) -> list[PreparedCertificate]:
        """Of views before this one."""
        certificates = self._certificates(self.prepares, PreparedCertificate)
        return [certificate for certificate in certificates if certificate.view < view]

    def decisions(self) -> list[Decision]:
        return self._certificates(self.commits, Decision)

    def _certificates(self, votes: dict[Place, set[int]], kind: Callable[..., object]) -> list:  # type: ignore[type-arg]
        return [
            kind(view, self.blocks[pair.block], pair.output, tuple(sorted(voters | {self.liar})))
            for (height, view, pair), voters in sorted(votes.items())
            if self._can_be_quorum(voters) and pair.block in self.blocks
        ]

    def stable(self) -> list[StableCheckpoint[bytes]]:
        return [
            StableCheckpoint(height, state, tuple(sorted(voters | {self.liar})))
            for (height, state), voters in sorted(self.states.items())
            if self._can_be_quorum(voters)
        ]
