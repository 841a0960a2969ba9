"""Messages that land together, and what may come between them."""

from __future__ import annotations

from functools import partial

import pytest
from support.wire import Wire

from simcore.latency import Constant, Matrix
from simcore.world import Ending

TOGETHER = Constant(5)
STOPS = Matrix(((0, 5, 9, 9), (5, 0, 5, 5), (3, 3, 0, 3), (5, 5, 5, 0)))
"""What replica 0 broadcasts stops twice. What is sent to one has one stop."""


def told(wire: Wire) -> list[tuple[int, str]]:
    """Whom a message came to, and which, in order."""
    return [(receiver, message) for _, receiver, message in wire.arrived]


def test_broadcasts_that_leave_one_after_another_and_arrive_together_are_one_event() -> None:
    wire = Wire(TOGETHER)
    wire.broadcast(0, "a")
    wire.broadcast(1, "b")
    wire.send(2, 0)
    wire.run()

    assert told(wire) == [(1, "a"), (2, "a"), (0, "b"), (2, "b"), (0, "m")]
    assert wire.world.events == 1
    assert wire.counts() == (5, 5, 0)


def test_broadcasts_that_arrive_at_different_times_are_events_of_their_own() -> None:
    wire = Wire(TOGETHER)
    wire.broadcast_at(0, 1)
    wire.run()

    assert wire.world.events == 4  # two that leave, two that arrive


def test_who_leaves_later_may_land_with_who_left_before() -> None:
    wire = Wire(Matrix(((0, 5, 5), (3, 0, 3), (5, 5, 0))))
    wire.world.call_at(2, partial(wire.broadcast, 1, "b"))
    wire.broadcast(0, "a")
    wire.run()

    assert told(wire) == [(1, "a"), (2, "a"), (0, "b"), (2, "b")]
    assert wire.world.events == 2


def test_what_is_to_happen_between_them_happens_between_them() -> None:
    wire = Wire(TOGETHER)
    wire.broadcast(0, "a")
    wire.world.call_after(5, lambda: wire.arrived.append((5, -1, "a timer")))
    wire.broadcast(1, "b")
    wire.run()

    assert told(wire) == [(1, "a"), (2, "a"), (-1, "a timer"), (0, "b"), (2, "b")]


def test_a_message_with_a_further_stop_may_come_between_them() -> None:
    wire = Wire(STOPS, replicas=4)
    wire.broadcast(0, "a")  # at 5 it comes into the queue again, for 9
    wire.world.call_at(4, partial(wire.send, 1, 3))
    wire.world.call_at(6, partial(wire.send, 2, 3))
    wire.run()

    assert wire.arrived == [(5, 1, "a"), (9, 3, "m"), (9, 2, "a"), (9, 3, "a"), (9, 3, "m")]


def test_once_it_has_arrived_everywhere_others_land_together_again() -> None:
    wire = Wire(STOPS, replicas=4)
    wire.broadcast(0)
    wire.run()
    before = wire.world.events
    wire.send(1, 2)
    wire.send(3, 2)
    wire.run()

    assert wire.world.events == before + 1


def test_what_is_answered_without_delay_comes_behind_all_that_was_there() -> None:
    wire = Wire(Constant(0))
    wire.broadcast(0, "a")
    wire.world.call_after(0, lambda: wire.arrived.append((0, -1, "a timer")))
    wire.answers[1, "a"] = partial(wire.broadcast, 1, "an answer")
    wire.run()

    assert told(wire) == [(1, "a"), (2, "a"), (-1, "a timer"), (0, "an answer"), (2, "an answer")]


def test_nothing_lands_with_what_has_landed() -> None:
    """The last copy of a message that travelled comes behind a landing, and is answered without delay."""
    wire = Wire(Matrix(((0, 1, 5, 5), (5, 0, 5, 5), (0, 5, 0, 5), (5, 5, 5, 0))), replicas=4)
    wire.broadcast(0, "a")  # at 1 it comes into the queue again, for 5
    wire.send(1, 3)
    wire.answers[2, "a"] = partial(wire.send, 2, 0)
    wire.run()

    assert wire.arrived == [(1, 1, "a"), (5, 3, "m"), (5, 2, "a"), (5, 3, "a"), (5, 0, "m")]
    assert wire.counts() == (5, 5, 0)


def test_a_run_that_is_to_stop_stops_between_two_of_them_and_goes_on_there() -> None:
    wire = Wire(TOGETHER)
    wire.broadcast(0, "a")
    wire.broadcast(1, "b")
    wire.world.call_after(5, lambda: wire.arrived.append((5, -1, "a timer")))
    wire.answers[2, "a"] = wire.world.stop

    assert wire.world.run() is Ending.STOPPED
    assert told(wire) == [(1, "a"), (2, "a")]
    assert wire.world.run() is Ending.EMPTY
    assert told(wire) == [(1, "a"), (2, "a"), (0, "b"), (2, "b"), (-1, "a timer")]
    assert wire.counts() == (4, 4, 0)


def test_an_interruption_waits_until_all_have_landed() -> None:
    """A trace says after how many events it was cut, and a replay stops there: not in the middle of one."""
    wire = Wire(TOGETHER)
    wire.broadcast(0, "a")
    wire.broadcast(1, "b")
    wire.answers[1, "a"] = wire.world.interrupt

    assert wire.world.run() is Ending.INTERRUPTED
    assert len(wire.arrived) == 4


@pytest.mark.parametrize("replicas", [2, 3, 8])
def test_as_many_land_together_as_there_are_replicas(replicas: int) -> None:
    wire = Wire(TOGETHER, replicas=replicas)
    for _ in range(3):
        for sender in range(replicas):
            wire.broadcast(sender)
    wire.run()

    assert wire.world.events == 3
    assert wire.network.delivered == 3 * replicas * (replicas - 1)
