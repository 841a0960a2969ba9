"""What may come between messages that arrive at one time."""

from __future__ import annotations

from functools import partial
from typing import Any

from support.wire import Wire

from simcore.latency import Constant, Matrix

STOPS = Matrix(((0, 5, 9, 9), (5, 0, 5, 5), (3, 3, 0, 3), (5, 5, 5, 0)))
"""What replica 0 broadcasts stops twice. What is sent to one has one stop."""


def told(wire: Wire) -> list[tuple[int, Any]]:
    """Whom a message came to, and which, in order."""
    return [(receiver, message) for _, receiver, message in wire.arrived]


def entries(wire: Wire) -> int:
    """How many the queue has."""
    return len(wire.world.environment._queue)


def test_broadcasts_that_leave_one_after_another_and_arrive_together_are_one_entry_of_the_queue() -> None:
    wire = Wire(Constant(5))
    wire.broadcast(0, "a")
    wire.broadcast(1, "b")
    wire.send(2, 0)
    assert entries(wire) == 1
    wire.run()

    assert told(wire) == [(1, "a"), (2, "a"), (0, "b"), (2, "b"), (0, "m")]
    assert wire.counts() == (5, 5, 0)
    assert wire.world.events == 3


def test_a_message_with_a_further_stop_may_come_between_them() -> None:
    wire = Wire(STOPS, replicas=4)
    wire.broadcast(0, "a")  # at 5 it comes into the queue again, for 9
    wire.world.call_at(4, partial(wire.send, 1, 3))
    wire.world.call_at(6, partial(wire.send, 2, 3))
    wire.run()

    assert wire.arrived == [(5, 1, "a"), (9, 3, "m"), (9, 2, "a"), (9, 3, "a"), (9, 3, "m")]


def test_once_it_has_arrived_everywhere_others_share_an_entry_again() -> None:
    wire = Wire(STOPS, replicas=4)
    wire.broadcast(0)
    wire.run()
    wire.send(1, 2)
    wire.send(3, 2)

    assert entries(wire) == 1


def test_the_last_copy_of_a_message_that_travelled_may_be_answered_without_delay() -> None:
    """It comes behind another, which is over by then: nothing joins that any more."""
    wire = Wire(Matrix(((0, 1, 5, 5), (5, 0, 5, 5), (0, 5, 0, 5), (5, 5, 5, 0))), replicas=4)
    wire.broadcast(0, "a")  # at 1 it comes into the queue again, for 5
    wire.send(1, 3)
    wire.answers[2, "a"] = partial(wire.send, 2, 0)
    wire.run()

    assert wire.arrived == [(1, 1, "a"), (5, 3, "m"), (5, 2, "a"), (5, 3, "a"), (5, 0, "m")]
    assert wire.counts() == (5, 5, 0)
