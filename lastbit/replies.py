"""What clients are told: the answers of single replicas, of which they believe so many equal ones.

A client takes an answer when one of those who gave it must be honest (Castro and Liskov 1999, section 2: f + 1 replies
with the same result). Replicas that order first and execute after can make two answers believable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consensus.quorum import QuorumSystem

CONFLICTS_KEPT_MAX = 100


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """Two answers to one block that clients may both believe.

    Attributes:
        height: of the block.
        at_ns: when the second of them became believable.
        sides: the answers that are, and who gave each.
    """

    height: int
    at_ns: int
    sides: tuple[tuple[bytes, tuple[int, ...]], ...]


class Replies:
    """Counts the replies to each block.

    Attributes:
        conflicts: the first hundred blocks with two believable answers, as they stood when the second became one.
        conflicts_count: how many there were.

    Example:
        >>> replies = Replies(QuorumSystem.equal(4))
        >>> for replica, output in enumerate((b"a", b"a", b"b", b"b")):
        ...     replies.add(replica, 1, output, now_ns=replica)
        >>> replies.conflicts
        [ConflictSeen(height=1, at_ns=3, sides=((b'a', (0, 1)), (b'b', (2, 3))))]
    """

    def __init__(self, quorum: QuorumSystem) -> None:
        self.conflicts: list[ConflictSeen] = []
        self.conflicts_count = 0
        self._quorum = quorum
        self._replies: dict[int, dict[bytes, list[int]]] = {}

    def add(self, replica: int, height: int, output: bytes, now_ns: int) -> None:
        """A replica tells its answer; telling it again changes nothing."""
        outputs = self._replies.setdefault(height, {})
        who = outputs.setdefault(output, [])
        if replica in who:
            return
        who.append(replica)
        if len(outputs) < 2 or self._quorum.has_honest(who[:-1]) or not self._quorum.has_honest(who):
            return  # mostly all answer alike; and what was believable before is no news
        self._note_conflict(height, outputs, now_ns)

    def _note_conflict(self, height: int, outputs: Mapping[bytes, list[int]], now_ns: int) -> None:
        believable = tuple((each, tuple(sorted(by))) for each, by in outputs.items() if self._quorum.has_honest(by))
        if len(believable) == 2:
            self.conflicts_count += 1
            if len(self.conflicts) < CONFLICTS_KEPT_MAX:
                self.conflicts.append(ConflictSeen(height, now_ns, believable))

    def forget(self, height: int) -> None:
        """Nothing more is to come for a height."""
        self._replies.pop(height, None)
