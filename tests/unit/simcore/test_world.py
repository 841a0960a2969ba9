"""The clock, timers, and every way in which a run ends."""

from __future__ import annotations

import signal
import threading
from functools import partial

import pytest

from simcore.world import Ending, World, ctrl_c_ends_the_run


def test_events_of_one_nanosecond_keep_the_order_in_which_they_were_scheduled() -> None:
    world = World()
    seen: list[str] = []
    for name in "abc":
        world.call_after(5, partial(seen.append, name))
    world.call_after(4, lambda: seen.append("first"))
    assert world.run() is Ending.EMPTY
    assert seen == ["first", "a", "b", "c"]


def test_call_at_names_a_time_and_call_after_a_distance() -> None:
    world, seen = World(), []
    world.call_at(5, lambda: world.call_after(5, lambda: seen.append(world.now_ns)))
    world.run()
    assert seen == [10]
    assert type(world.now_ns) is int


def test_the_past_is_refused() -> None:
    world = World()
    world.call_after(5, lambda: None)
    world.run()
    with pytest.raises(ValueError, match="negative"):
        world.call_at(4, lambda: None)
    with pytest.raises(ValueError, match="until_ns 4 has passed; it is 5"):
        world.run(until_ns=4)
    with pytest.raises(ValueError, match="events_max -1 is negative"):
        world.run(events_max=-1)


def test_a_cancelled_timer_makes_no_call_and_is_no_event() -> None:
    world, seen = World(), []
    world.call_after(1, lambda: seen.append("kept"))
    timer = world.call_after(2, lambda: seen.append("cancelled"))
    assert timer.pending
    timer.cancel()
    assert not timer.pending
    world.run()
    assert seen == ["kept"]
    assert world.events == 1


def test_a_timer_that_fired_is_not_pending_and_may_be_cancelled() -> None:
    world = World()
    timer = world.call_after(1, lambda: None)
    world.run()
    assert not timer.pending
    timer.cancel()


def test_a_bound_ends_the_run_before_the_events_of_its_own_time() -> None:
    world, seen = World(), []
    world.call_after(9, lambda: seen.append(9))
    world.call_after(10, lambda: seen.append(10))
    assert world.run(until_ns=10) is Ending.REACHED
    assert (seen, world.now_ns, world.events) == ([9], 10, 1)
    assert world.run(until_ns=11) is Ending.REACHED
    assert seen == [9, 10]


def test_a_bound_moves_the_clock_on_where_nothing_happens() -> None:
    world = World()
    assert world.run(until_ns=1000) is Ending.REACHED
    assert (world.now_ns, world.events) == (1000, 0)
    assert world.run(until_ns=1000) is Ending.REACHED


def test_a_bound_that_was_not_reached_ends_no_later_run() -> None:
    world = World()
    world.call_after(1, world.stop)
    assert world.run(until_ns=5) is Ending.STOPPED
    world.call_after(10, lambda: None)
    assert world.run() is Ending.EMPTY
    assert (world.now_ns, world.events) == (11, 2)


def test_stop_ends_the_run_after_the_event_under_way_and_the_next_run_goes_on() -> None:
    world, seen = World(), []

    def first() -> None:
        world.stop()
        seen.append("first")

    world.call_after(1, first)
    world.call_after(1, lambda: seen.append("second"))
    assert world.run() is Ending.STOPPED
    assert seen == ["first"]
    assert world.run() is Ending.EMPTY
    assert seen == ["first", "second"]


def test_a_run_takes_no_more_events_than_it_may_and_counts_them_while_they_happen() -> None:
    world, counted = World(), []
    for delay_ns in range(10):
        timer = world.call_after(delay_ns, lambda: counted.append(world.events))
        if delay_ns % 3 == 0:
            timer.cancel()
    assert world.run(events_max=4) is Ending.EVENTS_MAX
    assert counted == [1, 2, 3, 4]
    assert world.run(events_max=0) is Ending.EVENTS_MAX
    assert world.run() is Ending.EMPTY
    assert counted == [1, 2, 3, 4, 5, 6]
    assert world.events == 6


def test_stopping_in_the_last_event_allowed_counts_as_stopping() -> None:
    world = World()
    world.call_after(1, world.stop)
    assert world.run(events_max=1) is Ending.STOPPED


def test_an_error_in_a_callback_comes_through_and_its_event_was_one() -> None:
    world = World()

    def fail() -> None:
        raise RuntimeError("broken")

    world.call_after(1, fail)
    world.call_after(2, lambda: None)
    with pytest.raises(RuntimeError, match="broken"):
        world.run(until_ns=10)
    assert world.events == 1
    assert world.run(until_ns=10) is Ending.REACHED
    assert world.events == 2


def test_ctrl_c_lets_the_event_under_way_end_and_a_second_one_raises() -> None:
    world, seen = World(), []

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        seen.append("event ended")

    world.call_after(1, interrupted)
    world.call_after(1, lambda: seen.append("never"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # somebody's own choice, to be put back
    with ctrl_c_ends_the_run(world):
        assert world.run() is Ending.INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert seen == ["event ended"]
    assert signal.signal(signal.SIGINT, before) is signal.SIG_IGN


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    world, endings = World(), []

    def run() -> None:
        with ctrl_c_ends_the_run(world):
            endings.append(world.run())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert endings == [Ending.EMPTY]
