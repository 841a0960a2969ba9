"""Attempts, judged from outside: did the honest really answer differently, or was it something else?

An attempt is one try to agree on a height. It is an *agreement failure* when honest replicas with at least a
quorum of weight executed the same block, and for no digest do honest votes and the Byzantine votes really cast
reach a quorum. The judge knows who is faulty, which no replica does. A leader that proposed two blocks has split
the votes by lying, not by arithmetic, and no block then has a quorum that executed it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem
from lastbit.protocols.kind import ANY_BLOCK
from replicas.replica import BlockAnswer


class Line(NamedTuple):
    """One line of a ballot: a digest, the weight behind it, and whose."""

    digest: bytes
    weight: int
    replicas: tuple[int, ...]


class Group(NamedTuple):
    """Honest replicas that executed one block and answered alike."""

    block: Block
    answer: BlockAnswer
    replicas: list[int]


@dataclass(slots=True)
class Attempt:
    """What the replicas did in one view at one height.

    Attributes:
        view: the protocol's number for it.
        groups: the honest replicas by what they executed and answered, mostly one group. Replicas that are handed one
            object share a group; equal objects may stand in several.
        done_ns: when each honest replica has its answer; before that it has not voted.
        byzantine: for each pair that a Byzantine replica voted for, or one that has lost its memory since, who did. One
            may stand behind several.
    """

    view: int
    groups: list[Group] = field(default_factory=list)
    done_ns: dict[int, int] = field(default_factory=dict)
    byzantine: dict[Pair, set[int]] = field(default_factory=dict)

    def add(self, replica: int, block: Block, answer: BlockAnswer, done_ns: int) -> bool:
        """A replica executes a block; its answer is known here at once, and to itself when it is done.

        Returns:
            Whether it stands alone with that, so far.
        """
        if replica in self.done_ns:  # it crashed before it was done, and does it once more
            self.groups = _without(self.groups, {replica})
        self.done_ns[replica] = done_ns
        for known_block, known_answer, replicas in self.groups:
            if known_answer is answer and known_block is block:
                replicas.append(replica)
                return False
        self.groups.append(Group(block, answer, [replica]))
        return True

    def by(self, now_ns: int) -> Attempt:
        """The attempt as it stands: without the answers that nobody has yet."""
        open_ = {replica for replica, done_ns in self.done_ns.items() if done_ns > now_ns}
        if not open_:
            return self
        done_ns = {replica: done_ns for replica, done_ns in self.done_ns.items() if replica not in open_}
        return Attempt(self.view, _without(self.groups, open_), done_ns, self.byzantine)

    def lose(self, replica: int, now_ns: int) -> None:
        """A replica crashed: what it had not done yet it will never say."""
        if self.done_ns.get(replica, now_ns) > now_ns:
            del self.done_ns[replica]
            self.groups = _without(self.groups, {replica})

    def forget(self, replica: int) -> None:
        """A replica lost its memory: what it voted is out, and it may contradict that now, as a faulty one may."""
        for block, answer, who in self.groups:
            if replica in who:
                self.byzantine.setdefault(Pair(block.digest, answer.named), set()).add(replica)

    def judge(self, quorum: QuorumSystem) -> Verdict | None:
        """What came of it, for the block that most honest weight executed; None where nobody honest executed any."""
        weights: dict[Block, int] = {}
        for group in self.groups:
            weights[group.block] = weights.get(group.block, 0) + quorum.weight_of(group.replicas)
        if not weights:
            return None
        block = max(weights, key=lambda block: (weights[block], block.digest))
        ballot = self._ballot(block, quorum)
        return Verdict(
            view=self.view,
            block=block,
            ballot=ballot,
            agreed=ballot[0].weight >= quorum.threshold,
            is_trial=weights[block] >= quorum.threshold,
            is_split_proposal=len(weights) > 1,
            at_ns=max(self.done_ns.values()),
        )

    def answers(self, block: Block, quorum: QuorumSystem) -> tuple[Line, ...]:
        """The honest replicas by what they answered to a block, apart from the state that it led to."""
        behind: dict[bytes, set[int]] = {}
        for group in self.groups:
            if group.block == block:
                behind.setdefault(group.answer.digest, set()).update(group.replicas)
        return _by_weight(behind, quorum)

    def _ballot(self, block: Block, quorum: QuorumSystem) -> tuple[Line, ...]:
        behind: dict[bytes, set[int]] = {}
        for group in self.groups:
            if group.block == block:
                behind.setdefault(group.answer.named, set()).update(group.replicas)
        for pair, voters in self.byzantine.items():
            if pair.block in (block.digest, ANY_BLOCK):
                behind.setdefault(pair.output, set()).update(voters)
        return _by_weight(behind, quorum)


def _by_weight(behind: Mapping[bytes, Set[int]], quorum: QuorumSystem) -> tuple[Line, ...]:
    lines = [Line(digest, quorum.weight_of(who), tuple(sorted(who))) for digest, who in behind.items()]
    return tuple(sorted(lines, key=lambda line: (-line.weight, line.replicas)))


def _without(groups: Iterable[Group], replicas: Container[int]) -> list[Group]:
    rest = [Group(block, answer, [each for each in who if each not in replicas]) for block, answer, who in groups]
    return [group for group in rest if group.replicas]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an attempt.

    Attributes:
        view: which attempt.
        block: what was executed, by most honest weight.
        ballot: the answers to it, by falling weight, then by who gave them.
        agreed: some digest reached a quorum. In a trial that did not, agreement failed.
        is_trial: honest replicas with a quorum of weight executed the block; nothing else tells whether they agree.
        is_split_proposal: honest replicas executed different blocks. Only a leader that proposed both can have made
            them.
        at_ns: when the last answer was there.
        is_of_history: what the ballot compares is not the answers to the block, but all of them up to there.
    """

    view: int
    block: Block
    ballot: tuple[Line, ...]
    agreed: bool
    is_trial: bool
    is_split_proposal: bool
    at_ns: int
    is_of_history: bool = False

    def among(self, replicas: frozenset[int], quorum: QuorumSystem) -> Verdict:
        """What would have come of it, were these alone there."""
        lines = [(line.digest, replicas.intersection(line.replicas)) for line in self.ballot]
        ballot = _by_weight({digest: who for digest, who in lines if who}, quorum)
        if not ballot:
            return self
        voters = {replica for line in ballot for replica in line.replicas}
        return replace(
            self,
            ballot=ballot,
            agreed=ballot[0].weight >= quorum.threshold,
            is_trial=self.is_trial and quorum.is_quorum(voters),
        )


def verdict_of_history(block: Block, votes: Mapping[int, bytes], quorum: QuorumSystem, at_ns: int) -> Verdict:
    """What came of votes on the whole past up to a block, given by replica."""
    behind: dict[bytes, set[int]] = {}
    for replica, digest in votes.items():
        behind.setdefault(digest, set()).add(replica)
    ballot = _by_weight(behind, quorum)
    return Verdict(
        view=0,
        block=block,
        ballot=ballot,
        agreed=ballot[0].weight >= quorum.threshold,
        is_trial=quorum.is_quorum(votes),
        is_split_proposal=False,
        at_ns=at_ns,
        is_of_history=True,
    )


def naturally_divergent(attempt: Attempt, block: Block) -> Iterator[tuple[int, bool]]:
    """The requests of a block to which honest replicas without marks computed different outputs.

    Yields:
        The position in the block, and whether what is voted on differed, too.
    """
    answers = [group.answer for group in attempt.groups if group.block == block]
    if len({answer.truths for answer in answers}) < 2:
        return
    for position in range(len(block.requests)):
        unmarked = [answer for answer in answers if not answer.marked[position]]
        if len({answer.truths[position] for answer in unmarked}) > 1:
            yield position, len({answer.votes[position] for answer in unmarked}) > 1
