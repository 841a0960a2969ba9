"""What checkers find: an honest replica that broke the rules of its protocol. Ours has a fault, then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lastbit.result import VIOLATIONS_KEPT_MAX, ViolationKind


@dataclass(frozen=True, slots=True)
class ViolationSeen:
    """A rule that an honest replica broke.

    Attributes:
        kind: which.
        height: where.
        at_ns: when it was seen.
        replicas: whose word it is.
        what: a sentence.
    """

    kind: ViolationKind
    height: int
    at_ns: int
    replicas: tuple[int, ...]
    what: str


class Violations:
    """Takes down what the checkers report.

    Args:
        now_ns: tells the simulated time.

    Attributes:
        seen: the first hundred, in the order in which they were seen.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.seen: list[ViolationSeen] = []
        self._now_ns = now_ns

    def add(self, kind: ViolationKind, height: int, replicas: Iterable[int], what: str) -> None:
        """Take one down."""
        if len(self.seen) < VIOLATIONS_KEPT_MAX:
            self.seen.append(ViolationSeen(kind, height, self._now_ns(), tuple(sorted(replicas)), what))
