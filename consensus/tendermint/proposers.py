"""Who proposes when: in turn, each as often as its weight says, as CometBFT rotates its proposers.

At each turn every replica's priority grows by its weight; the highest proposes, the lowest id of several, and its
priority falls by the weight of all. With equal weights that is one after another. After as many turns as the weights
add up to, divided by what they have in common, all priorities are 0 again and the order repeats.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd


class Turns:
    """The proposers of all turns, worked out as far as they were asked for.

    Example:
        >>> turns = Turns((3, 1, 1))
        >>> [turns.proposer(turn) for turn in range(10)]
        [0, 1, 0, 2, 0, 0, 1, 0, 2, 0]
    """

    def __init__(self, weights: tuple[int, ...]) -> None:
        self._weights = weights
        self._total = sum(weights)
        self._period = self._total // gcd(*weights)
        self._priorities = [0] * len(weights)
        self._known: list[int] = []

    def proposer(self, turn: int) -> int:
        at = turn % self._period
        while len(self._known) <= at:
            self._take_turn()
        return self._known[at]

    def _take_turn(self) -> None:
        priorities = [priority + weight for priority, weight in zip(self._priorities, self._weights, strict=True)]
        chosen = priorities.index(max(priorities))
        priorities[chosen] -= self._total
        self._priorities = priorities
        self._known.append(chosen)


@lru_cache(maxsize=16)  # all replicas of a run ask for the same
def turns_of(weights: tuple[int, ...]) -> Turns:
    return Turns(weights)
