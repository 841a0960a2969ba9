"""The store of results: equal work is done once.

The store is bounded: what was not asked for longest is dropped, and dropping changes no result, since a repeated run
gives the same bits. That is not taken on trust: some of the runs are done twice and compared.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["NotRepeatable", "ResultStore"]

Answer = TypeVar("Answer")

# Multiples of the golden ratio modulo 1 fall evenly, and in step with no period of the run, such as one replica in
# four; a plain "every thousandth" would check the same replica again and again.
_GOLDEN_64 = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


class NotRepeatable(ValueError):  # noqa: N818  # it names what was found
    """A model answered differently when it was run again on the same input."""


class ResultStore(Generic[Answer]):
    """Answers by what determines them, and how many were asked for and really run.

    Args:
        digest: of an answer; equal digests are equal answers.
        room: how much is kept, in units of `size`; the latest answer always is.
        size: how much room an answer takes; 1 each, if not given.
        rerun_every: of so many runs one is done twice, on average; the first always is.
        reruns_max: and no more of them than this.

    Attributes:
        asked: answers asked for.
        run: of these, how many had to be computed.
        rerun: runs done a second time to see the same bits.

    Example:
        >>> store = ResultStore(bytes.upper)
        >>> [store.answer("a", lambda: b"x", subject="x") for _ in range(3)]
        [b'x', b'x', b'x']
        >>> store.asked, store.run, store.rerun
        (3, 1, 1)
    """

    def __init__(
        self,
        digest: Callable[[Answer], bytes],
        *,
        room: int = 65536,
        size: Callable[[Answer], int] = lambda _: 1,
        rerun_every: int = 1000,
        reruns_max: int = 100,
    ) -> None:
        for name, value in (("room", room), ("rerun_every", rerun_every)):
            if value < 1:
                raise ValueError(f"{name}: {value} is not allowed; at least 1")
        self._digest = digest
        self._room = room
        self._size = size
        self._used = 0
        self._rerun_below = _WORD // rerun_every
        self._reruns_max = reruns_max
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self.asked = 0
        self.run = 0
        self.rerun = 0

    def __contains__(self, key: Hashable) -> bool:
        """Is the answer at hand? To look asks for nothing: it counts nowhere and keeps nothing longer."""
        return key in self._answers

    def answer(self, key: Hashable, compute: Callable[[], Answer], *, subject: object) -> Answer:
        """Give the stored answer, or compute it and store it.

        Args:
            key: everything that determines the answer: model, profile, input, order of summation.
            compute: computes it; called again for the sample that is done twice.
            subject: whose answer it is, for a person; only made into text when something is wrong.

        Raises:
            NotRepeatable: computed again, the answer was another.
        """
        self.asked += 1
        try:
            found = self._answers[key]
        except KeyError:
            return self._compute(key, compute, subject)
        self._answers.move_to_end(key)
        return found

    def _compute(self, key: Hashable, compute: Callable[[], Answer], subject: object) -> Answer:
        answer = compute()
        if self._is_sampled():
            self.rerun += 1
            if self._digest(compute()) != self._digest(answer):
                raise NotRepeatable(
                    f"{subject} answered differently when run again on the same input; it cannot be replicated"
                )
        self.run += 1
        self._answers[key] = answer
        self._used += self._size(answer)
        while self._used > self._room and len(self._answers) > 1:
            _, oldest = self._answers.popitem(last=False)
            self._used -= self._size(oldest)
        return answer

    def _is_sampled(self) -> bool:
        return self.rerun < self._reruns_max and (self.run * _GOLDEN_64) & _WORD <= self._rerun_below
