"""The executor of one node: runs what its protocol asks for, one block after another, in simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from consensus.protocol import Block, BlockSource, Decide, Execute
from lastbit.carried_state import CarriedState
from replicas.replica import BlockAnswer, Replica
from simcore.running_digest import EXECUTION, RunningDigest, content_of
from simcore.world import Timer, World


@lru_cache(maxsize=64)  # replicas that agree end their executions alike
def _execution_content(block: bytes, output: bytes) -> bytes:
    return content_of(block + output)


class ExecutionObserver(Protocol):
    """Who is told of each execution as it begins."""

    def executed(self, replica: int, block: Block, view: int, answer: BlockAnswer, done_ns: int) -> None: ...


class Executor:
    """What one replica computes, and when it is done.

    Args:
        replica: what answers.
        source: the blocks to come.
        world: the clock.
        history: the running digest of all events.
        observer: told of each execution.
        done: called with block, view and output when an execution ends.
        carried: the state that carries over; None where each block is answered by itself.
    """

    def __init__(
        self,
        replica: Replica,
        source: BlockSource,
        world: World,
        history: RunningDigest,
        observer: ExecutionObserver,
        done: Callable[[Block, int, bytes], None],
        carried: CarriedState | None,
    ) -> None:
        self.carried = carried
        self._replica = replica
        self._source = source
        self._world = world
        self._history = history
        self._observer = observer
        self._done = done
        self._under_way: deque[tuple[Timer, Block, int, bytes]] = deque()  # with view and output
        self._waiting: list[Execute] = []
        self._last_view = 0
        self._busy_until_ns = 0
        self._taking_over_until_ns = 0

    def execute(self, effect: Execute) -> None:
        """Run the model on a block, or wait with it until the state that it starts from is known."""
        if self.carried is not None and self.carried.after(effect.block.height - 1) is None:
            self._waiting.append(effect)
        else:
            self._begin(effect.block, effect.view)

    def decide(self, decide: Decide) -> None:
        """A height is decided: what waited for its state begins."""
        if self.carried is None:
            return
        self.carried.decide(decide)
        self._begin_what_waited()

    def adopt(self, height: int) -> None:
        """All up to a height came from others: what waited for the state there begins."""
        if self.carried is None:
            return
        self.carried.adopt(height)
        self._begin_what_waited()

    def take_over(self, height: int, state: bytes, cost_ns: int) -> None:
        """Drop what is being computed, and the own state for one of others; that takes time."""
        self.cancel()
        self._taking_over_until_ns = self._world.now_ns + cost_ns
        self._busy_until_ns = self._taking_over_until_ns
        if self.carried is not None:
            self.carried.take_over(height, state)

    def cancel(self) -> None:
        """Lose what is being computed, and what waits."""
        for timer, *_ in self._under_way:
            timer.cancel()
        self._under_way.clear()
        self._waiting.clear()

    def forget(self, carried: CarriedState | None) -> None:
        """Lose all that is remembered; `carried` begins anew."""
        self.cancel()
        self.carried = carried
        self._taking_over_until_ns = 0

    def restart(self) -> None:
        """Idle from now on, or once the state of others is taken over."""
        self._busy_until_ns = max(self._world.now_ns, self._taking_over_until_ns)

    @property
    def is_taking_over(self) -> bool:
        """Is it taking over the state of others?"""
        return self._taking_over_until_ns > self._world.now_ns

    def _begin_what_waited(self) -> None:
        waiting, self._waiting = self._waiting, []
        for effect in waiting:
            self.execute(effect)

    def _begin(self, block: Block, view: int) -> None:
        """Really run the model now; the answer is there after the simulated time that it takes."""
        if self._replica.ahead is not None:
            self._begin_next(block, view)
        if self.carried is None:
            answer = self._replica.answer_block(block.requests, view)
        else:
            answer = self.carried.answer(block, view)
        now_ns = self._world.now_ns
        begins_ns = max(now_ns, self._busy_until_ns)
        self._busy_until_ns = done_ns = begins_ns + self._replica.compute_ns(len(block.requests))
        self._observer.executed(self._replica.id, block, view, answer, done_ns)
        timer = self._world.call_after(done_ns - now_ns, self._finish)
        self._under_way.append((timer, block, view, answer.named))

    def _begin_next(self, block: Block, view: int) -> None:
        """Have the replica compute ahead what comes after this block: a guess, and no part of the simulated world.

        Before this block is answered: the threads come to work while its answer is waited for.
        """
        if not block.requests:
            return  # it stands for one that failed, behind which the next was begun
        is_view_lasting, self._last_view = view == self._last_view, view
        if self._replica.answers_by_attempt and not is_view_lasting:
            return  # blocks that fail take a view each: computed for this one, the next would be computed in vain
        following = self._source(block.height + 1)
        if following is not None:
            self._replica.begin_block(following.requests, view)

    def _finish(self) -> None:
        """A replica computes one block after another, so it is the first of those under way that is done."""
        _, block, view, output = self._under_way.popleft()
        content = _execution_content(block.digest, output)
        self._history.record(self._world.now_ns, replica=self._replica.id, kind=EXECUTION, content=content)
        self._done(block, view, output)
