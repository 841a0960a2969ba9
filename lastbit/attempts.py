"""Attempts, judged from outside: did the honest really answer differently, or was it something else?

An attempt is one try to agree on a height. It is an *agreement failure* when honest replicas with at least a
quorum of weight executed the same block, and for no digest do honest votes and the Byzantine votes really cast
reach a quorum. The judge knows who is faulty, which no replica does. A leader that proposed two blocks has split
the votes by lying, not by arithmetic, and no block then has a quorum that executed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem
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
        blocks: the block that each honest replica executed.
        answers: what each honest replica answered.
        byzantine: for each pair that a Byzantine replica voted for, who did. One may stand behind several.
        done_ns: when each honest replica has its answer; before that it has not voted.
    """

    view: int
    blocks: dict[int, Block] = field(default_factory=dict)
    answers: dict[int, BlockAnswer] = field(default_factory=dict)
    byzantine: dict[Pair, set[int]] = field(default_factory=dict)
    done_ns: dict[int, int] = field(default_factory=dict)

    def add(self, replica: int, block: Block, answer: BlockAnswer, done_ns: int) -> None:
        """A replica executes a block; its answer is known here at once, and to itself when it is done."""
        self.blocks[replica] = block
        self.answers[replica] = answer
        self.done_ns[replica] = done_ns

    def by(self, now_ns: int) -> Attempt:
        """The attempt as it stands: without the answers that nobody has yet."""
        if all(done_ns <= now_ns for done_ns in self.done_ns.values()):
            return self
        done = [replica for replica in self.blocks if self.done_ns[replica] <= now_ns]
        return Attempt(
            view=self.view,
            blocks={replica: self.blocks[replica] for replica in done},
            answers={replica: self.answers[replica] for replica in done},
            byzantine=self.byzantine,
            done_ns={replica: self.done_ns[replica] for replica in done},
        )

    def lose(self, replica: int, now_ns: int) -> None:
        """A replica crashed: what it had not done yet it will never say."""
        if self.done_ns.get(replica, now_ns) > now_ns:
            del self.blocks[replica], self.answers[replica], self.done_ns[replica]

    def judge(self, quorum: QuorumSystem) -> Verdict | None:
        """What came of it; None where too few executed one block to tell."""
        block = self._block_of_quorum(quorum)
        if block is None:
            return None
        ballot = self.ballot(block, quorum)
        return Verdict(
            self.view,
            block,
            ballot,
            agreed=ballot[0].weight >= quorum.threshold,
            at_ns=max(self.done_ns.values(), default=0),
        )

    def ballot(self, block: Block, quorum: QuorumSystem) -> tuple[Line, ...]:
        """The answers to one block, by falling weight, then by who gave them."""
        behind: dict[bytes, set[int]] = {}
        for group in self.groups():
            if group.block == block:
                behind.setdefault(group.answer.digest, set()).update(group.replicas)
        for pair, voters in self.byzantine.items():
            if pair.block == block.digest:
                behind.setdefault(pair.output, set()).update(voters)
        lines = [Line(digest, quorum.weight_of(who), tuple(sorted(who))) for digest, who in behind.items()]
        return tuple(sorted(lines, key=lambda line: (-line.weight, line.replicas)))

    @property
    def is_split(self) -> bool:
        """Did honest replicas execute different blocks? Only a leader that proposed both can have made them."""
        return len({group.block for group in self.groups()}) > 1

    def likeliest_block(self, quorum: QuorumSystem) -> Block | None:
        """The block that most honest weight executed."""
        weights = self._weights(quorum)
        return max(weights, key=lambda block: (weights[block], block.digest)) if weights else None

    def groups(self) -> list[Group]:
        """The honest replicas by what they executed and answered, which is mostly one group.

        Replicas that are handed one object share a group; equal objects may stand in several.
        """
        groups: list[Group] = []
        for replica, block in self.blocks.items():
            answer = self.answers[replica]
            for group in groups:  # few, and mostly the first
                if group.answer is answer and group.block is block:
                    group.replicas.append(replica)
                    break
            else:
                groups.append(Group(block, answer, [replica]))
        return groups

    def _block_of_quorum(self, quorum: QuorumSystem) -> Block | None:
        return next((block for block, weight in self._weights(quorum).items() if weight >= quorum.threshold), None)

    def _weights(self, quorum: QuorumSystem) -> dict[Block, int]:
        weights: dict[Block, int] = {}
        for group in self.groups():
            weights[group.block] = weights.get(group.block, 0) + quorum.weight_of(group.replicas)
        return weights


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an attempt.

    Attributes:
        view: which attempt.
        block: what was executed.
        ballot: the answers, by falling weight.
        agreed: some digest reached a quorum; False is an agreement failure.
        at_ns: when the last answer was there.
    """

    view: int
    block: Block
    ballot: tuple[Line, ...]
    agreed: bool
    at_ns: int


def naturally_divergent(attempt: Attempt, block: Block) -> Iterator[tuple[int, bool]]:
    """The requests of a block to which honest replicas without marks computed different outputs.

    Yields:
        The position in the block, and whether what is voted on differed, too.
    """
    answers = [group.answer for group in attempt.groups() if group.block == block]
    if len({answer.truths for answer in answers}) < 2:
        return
    for position in range(len(block.requests)):
        unmarked = [answer for answer in answers if not answer.marked[position]]
        if len({answer.truths[position] for answer in unmarked}) > 1:
            yield position, len({answer.votes[position] for answer in unmarked}) > 1
