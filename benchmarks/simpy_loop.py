"""The yardstick: a bare SimPy loop that schedules and delivers events to an empty callback, and does nothing else."""

from __future__ import annotations

import time

import numpy as np
from simpy.core import Environment
from simpy.events import NORMAL, Event

BATCH = 16 * 15
"""As many events as copies of one phase at n = 16 are under way at once: a longer queue would make the loop slower."""


class BareEvent(Event):
    """An event whose outcome is known, with one callback."""

    _ok = True
    _value = None

    def __init__(self, environment: Environment) -> None:
        self.env = environment
        self.callbacks = [ignore]


def ignore(event: Event) -> None:
    """Take an event and do nothing."""


def seconds(events: int, batch: int = BATCH) -> float:
    """Time the loop: that many events (rounded up to whole batches), each batch scheduled at once and then delivered.

    What is taken is the processor's time, which other programs on a busy machine lengthen less than that on the wall.
    The delays are drawn before the watch starts.
    """
    environment = Environment()
    schedule = environment.schedule
    delays_ns = np.random.default_rng(1).integers(10**6, 10**8, size=batch).tolist()
    started = time.process_time()
    for _ in range(-(-events // batch)):
        for delay_ns in delays_ns:
            schedule(BareEvent(environment), NORMAL, delay_ns)
        environment.run()
    return time.process_time() - started
