"""The world's clock: SimPy's environment in whole nanoseconds.

Events of the same nanosecond keep the order in which they were scheduled (SimPy's counter). Nothing here reads a
wall clock. What happens in the world is put there by `call_after` and by the network; what ends a run is a bound, an
empty queue, or somebody who calls `stop`.
"""

from __future__ import annotations

import enum
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from operator import length_hint
from types import FrameType
from typing import Any, Protocol

import msgspec
from simpy.core import EmptySchedule, Environment
from simpy.events import NORMAL, URGENT, Event, EventPriority

_NO_TIME = -1
_ALL = object()
_FIRST = EventPriority(URGENT - 1)
"""Before whatever else happens at a time."""


class Ending(enum.Enum):
    """Why `World.run` came back."""

    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    REACHED = "reached until_ns"
    EVENTS_MAX = "events_max"
    EMPTY = "no event left"


class Timer(msgspec.Struct, eq=False):
    """A call to come; `cancel` makes it not come."""

    _callback: Callable[[], object] | None

    def cancel(self) -> None:
        """Take the call back. Once it was made, or taken back before, this changes nothing."""
        self._callback = None

    @property
    def pending(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None


class _Moment(Event):
    """Calls for one time that stand side by side in the queue, as one entry of it.

    Attributes:
        at_ns: when they come; no time, once they do.
        timers: the calls, in the order in which they were asked for.
    """

    _ok = True  # what SimPy asks of an event that is scheduled with its outcome known
    _value = None

    def __init__(
        self, environment: Environment, callbacks: list[Callable[[Any], None]], at_ns: int, timers: list[Timer]
    ) -> None:
        # Event.__init__ is not called: it would make a list of callbacks to be thrown away.
        self.env = environment
        self.callbacks = callbacks
        self.at_ns = at_ns
        self.timers = timers


class World:
    """Simulated time, and what is to happen in it.

    Example:
        >>> world = World()
        >>> _ = world.call_after(5, lambda: print("at", world.now_ns))
        >>> world.run()
        at 5
        <Ending.EMPTY: 'no event left'>
    """

    def __init__(self) -> None:
        self.environment = Environment(initial_time=0)
        self._stop: Ending | None = None
        # SimPy takes an event's list away, and does not change it: all moments share one.
        self._on_moment: list[Callable[[Any], None]] = [self._happen]
        self._latest = _Moment(self.environment, self._on_moment, _NO_TIME, [])
        self._travelling = 0
        self._steps_before = 0
        self._steps_left: Iterator[None] = repeat(None, 0)
        self._steps_of_run = 0
        self._silent_steps = 0

    @property
    def now_ns(self) -> int:
        """The simulated time."""
        # What `Environment.now` gives, without the call: this is asked for at nearly every effect.
        return self.environment._now  # type: ignore[return-value]  # every delay that goes in is an int

    def clock(self) -> int:
        """The same, for those who are to know the time and nothing else of the world."""
        return self.environment._now  # type: ignore[return-value]

    @property
    def events(self) -> int:
        """How many events happened, the one under way among them; cancelled timers are none."""
        return self._steps_before + self._steps_of_run - length_hint(self._steps_left) - self._silent_steps

    def call_after(self, delay_ns: int, callback: Callable[[], object]) -> Timer:
        """Have the callback called that much later.

        Calls for one time that are asked for one after another share an entry of SimPy's queue, as long as nothing else
        comes into it between them: they would stand side by side there. Each is an event, and a run may end between
        two of them.

        A cancelled timer stays in the queue until its time comes: it is no event, and the only thing it can still do is
        to bring a run without `until_ns` to its own time before it ends as EMPTY.

        Raises:
            ValueError: the delay is negative.
        """
        if delay_ns < 0:
            raise ValueError(f"delay_ns {delay_ns} is negative; nothing happens in the past")
        timer, latest = Timer(callback), self._latest
        at_ns = self.environment._now + delay_ns
        if latest.at_ns == at_ns and not self._travelling:
            latest.timers.append(timer)
        else:
            self._latest = _Moment(self.environment, self._on_moment, at_ns, [timer])  # type: ignore[arg-type]
            self.environment.schedule(self._latest, NORMAL, delay_ns)
        return timer

    def call_at(self, time_ns: int, callback: Callable[[], object]) -> Timer:
        """Have the callback called at that time.

        Raises:
            ValueError: the time has passed.
        """
        return self.call_after(time_ns - self.now_ns, callback)

    def set_out(self, event: Event, delay_ns: int) -> None:
        """Put an event into the queue that puts itself there again, until `come_home`: so it may come between any two
        calls that are asked for meanwhile."""
        self._travelling += 1
        self.environment.schedule(event, NORMAL, delay_ns)

    def come_home(self) -> None:
        """Such an event comes no more."""
        self._travelling -= 1

    def stop(self) -> None:
        """End the run after the event under way. A run not begun yet ends before its first event."""
        self._stop = self._stop or Ending.STOPPED

    def interrupt(self) -> None:
        """The same for a signal handler; whoever ran the world sees that it was cut."""
        self._stop = Ending.INTERRUPTED

    def run(self, *, until_ns: int | None = None, events_max: int | None = None) -> Ending:
        """Let events happen until something ends the run; the next call goes on from there.

        Args:
            until_ns: end before the first event of this time or later, with the clock at `until_ns`, also where the
                queue has run empty before. So a watcher's timer is a bound of the run and no event in it.
            events_max: how many events may happen in this call.

        Returns:
            What ended the run. STOPPED and INTERRUPTED come before EVENTS_MAX.

        Raises:
            ValueError: `until_ns` has passed, or `events_max` is negative.
        """
        if events_max is not None and events_max < 0:
            raise ValueError(f"events_max {events_max} is negative")
        bound = self._bound_at(until_ns) if until_ns is not None else None
        events_end = self.events + events_max if events_max is not None else sys.maxsize
        try:
            # An interruption between two calls waits for the next event, so a cut always lies just behind an event.
            while self._stop is not Ending.STOPPED and (left := events_end - self.events) > 0:
                self._step(left)
                if self._stop is not None:
                    break
        except EmptySchedule:
            self._silent_steps += 1  # the step that found nothing
            return Ending.EMPTY
        except _BoundReached:
            return Ending.REACHED
        finally:
            if bound is not None:
                bound.callbacks = [self._pass]
        ending = self._stop or Ending.EVENTS_MAX
        self._stop = None
        return ending

    def _step(self, steps_max: int) -> None:
        self._steps_before += self._steps_of_run - length_hint(self._steps_left)
        self._steps_of_run = steps_max
        # An iterator counts the steps, in C; whoever asks for `events` reads how far it is.
        self._steps_left = repeat(None, steps_max)
        step = self.environment.step
        for _ in self._steps_left:
            step()
            if self._stop is not None:
                return

    def _happen(self, moment: _Moment) -> None:
        moment.at_ns = _NO_TIME  # nothing joins it any more, also not what is to come without delay
        timers, steps_left, has_begun = moment.timers, self._steps_left, False
        for number, timer in enumerate(timers):
            callback = timer._callback
            if callback is None:
                continue
            # The first call is the step that is counted already; where the run ends before another, that comes next.
            if has_begun and (self._stop is not None or next(steps_left, _ALL) is _ALL):
                moment.timers, moment.callbacks = timers[number:], self._on_moment
                self.environment.schedule(moment, URGENT)
                return
            has_begun, timer._callback = True, None
            callback()
        if not has_begun:
            self._silent_steps += 1

    def _bound_at(self, until_ns: int) -> Event:
        if until_ns < self.now_ns:
            raise ValueError(f"until_ns {until_ns} has passed; it is {self.now_ns}")
        bound = _Moment(self.environment, [self._reach_bound], _NO_TIME, [])
        self.environment.schedule(bound, _FIRST, until_ns - self.now_ns)
        return bound

    def _reach_bound(self, _: Event) -> None:
        self._silent_steps += 1
        raise _BoundReached

    def _pass(self, _: Event) -> None:
        self._silent_steps += 1


class _BoundReached(Exception):  # noqa: N818 - a way out of the loop, not an error
    pass


class Interruptible(Protocol):
    """Something that goes on step by step, and can be told to end after the step under way."""

    def interrupt(self) -> None: ...


@contextmanager
def ctrl_c_ends_the_run(world: Interruptible) -> Iterator[None]:
    """Within: Ctrl-C ends the run between two steps, so that what was done can be reported. A second one raises.

    Only the main thread receives signals; in any other this changes nothing.

    Example:
        >>> world = World()
        >>> _ = world.call_after(1, lambda: signal.raise_signal(signal.SIGINT))
        >>> _ = world.call_after(1, lambda: print("never"))
        >>> with ctrl_c_ends_the_run(world):
        ...     world.run()
        <Ending.INTERRUPTED: 'interrupted'>
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        world.interrupt()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
