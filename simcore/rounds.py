"""Addresses of draws: which round, and which repeat, a message takes its draws from, and the arrays drawn for them.

All that is random about a message is drawn for a whole round at once, as arrays over kinds, senders and receivers. A
sending of the same kind by the same sender in the same round again is a repeat, and each repeat has arrays of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ROUNDS_KEPT_MAX = 64
NO_HEIGHT = 0
ARRAYS_KEPT_MAX = 4
"""Of one round. A repeat whose array was let go has it drawn again, and the same draws come of it."""

RoundKey = tuple[int, int]
"""Height and round. What belongs to no height says so with a height that no block has, 0."""

ArraysT = TypeVar("ArraysT")


@dataclass(slots=True)
class Round(Generic[ArraysT]):
    """What was sent in one round, by place, and the arrays of its repeats."""

    repeats: dict[int, int] = field(default_factory=dict)
    arrays: dict[int, ArraysT] = field(default_factory=dict)


class Rounds(Generic[ArraysT]):
    """Counts what is sent, and keeps what was drawn for it.

    Memory is bounded: the arrays of the 64 rounds begun last are kept. A round that was forgotten and is sent in again
    begins again with its first array.

    Args:
        draw: draws what belongs to a round and a repeat, the same whenever it is asked. True as a condition.
    """

    def __init__(self, draw: Callable[[RoundKey, int], ArraysT]) -> None:
        self.kept: dict[RoundKey, Round[ArraysT]] = {}
        self._draw = draw
        self._of_no_height: dict[int, int] = {}

    def next(self, round_key: RoundKey, place: int) -> ArraysT:
        """What the next message takes that is sent in that round from that place, its kind and sender in one number.

        What belongs to no height is counted over all rounds instead. Such messages come again and again under few round
        keys, and would begin with the same draws whenever their round had been forgotten: the first one lost would be
        lost every time.
        """
        repeat = 0
        if round_key[0] == NO_HEIGHT:
            count = self._of_no_height.get(place, 0)
            self._of_no_height[place] = count + 1
            round_key = NO_HEIGHT, count
            round_ = self.kept.get(round_key) or self._begin(round_key)
        else:
            round_ = self.kept.get(round_key) or self._begin(round_key)
            repeat = round_.repeats.get(place, 0)
            round_.repeats[place] = repeat + 1
        return round_.arrays.get(repeat) or self._array(round_, round_key, repeat)

    def _begin(self, round_key: RoundKey) -> Round[ArraysT]:
        if len(self.kept) == ROUNDS_KEPT_MAX:
            del self.kept[next(iter(self.kept))]  # the one begun first
        round_ = self.kept[round_key] = Round()
        return round_

    def _array(self, round_: Round[ArraysT], round_key: RoundKey, repeat: int) -> ArraysT:
        if len(round_.arrays) == ARRAYS_KEPT_MAX:
            del round_.arrays[next(iter(round_.arrays))]
        arrays = round_.arrays[repeat] = self._draw(round_key, repeat)
        return arrays
