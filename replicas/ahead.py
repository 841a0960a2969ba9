"""Inferences begun before they are asked for, in worker threads, while the simulated world goes on.

Between two blocks a run does what the protocol asks, and the runtime would stand idle. Here it answers the next block
meanwhile, on as many processors as there are. A thread does nothing but call the engine, which lets go of the
interpreter; inputs, orders of summation, digests and counts stay with the caller. So nothing that threads do reaches a
result: which inferences are begun follows from the run alone, an answer is taken by its key, whoever was done first,
and one that nobody takes counts nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from replicas.outputs import Outputs

__all__ = ["AHEAD_OPERATIONS_MIN", "RunAhead"]

AHEAD_OPERATIONS_MIN = 50_000_000
"""From so many operations on an inference is worth a thread: about a millisecond. At a tenth of that a run with threads
takes longer, at half of it the two are even. Counted and not timed, so that a run does the same wherever it happens."""


class RunAhead:
    """Inferences under way, by what determines their outputs. Outside its `with` nothing is begun.

    Args:
        room: so many inferences are kept at most, those under way among them; then the one begun first is let go.
        threads: one for each processor, if not given.

    Example:
        >>> with RunAhead(room=4) as ahead:
        ...     ahead.begin("a question", lambda: Outputs.of({"y": 42}))
        ...     ahead.take("a question")["y"], ahead.take("another")
        (42, None)
    """

    def __init__(self, room: int, *, threads: int | None = None) -> None:
        if room < 1:
            raise ValueError(f"room: {room} is not allowed; at least 1")
        self._room = room
        self._workers = threads or os.cpu_count() or 1
        self._begun: dict[Hashable, Future[Outputs]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="lastbit-ahead")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the inferences under way; the others are not begun any more."""
        assert self._threads is not None
        threads, self._threads = self._threads, None
        threads.shutdown(cancel_futures=True)
        self._begun.clear()

    def begin(self, key: Hashable, infer: Callable[[], Outputs]) -> None:
        """Have an inference run in a worker thread, unless it is under way.

        The caller holds the interpreter, so the worker comes to call the runtime when the caller waits next: begin
        first what comes later, then take what is needed now.
        """
        if self._threads is None or key in self._begun:
            return
        self._begun[key] = self._threads.submit(infer)
        if len(self._begun) > self._room:
            self._begun.pop(next(iter(self._begun))).cancel()

    def take(self, key: Hashable) -> Outputs | None:
        """The outputs of an inference that was begun, once they are there; None if it was not. A second time is None.

        Raises:
            EngineError: and whatever else the inference raised.
        """
        begun = self._begun.pop(key, None)
        return None if begun is None else begun.result()
