"""The clock, timers, and every way in which a run ends."""

from __future__ import annotations

import signal
import threading
from functools import partial

import pytest
from simpy.events import Event

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


# --- calls that share an entry of the queue -----------------------------------------------------------------------


def side_by_side(count: int = 4) -> tuple[World, list[int]]:
    """A world with that many calls for time 5, one asked for after another; each notes its number."""
    world, seen = World(), []
    for number in range(count):
        world.call_after(5, partial(seen.append, number))
    return world, seen


def entries(world: World) -> int:
    return len(world.environment._queue)


def test_calls_for_one_time_asked_for_one_after_another_share_an_entry_and_each_is_an_event() -> None:
    world, seen = side_by_side()
    assert entries(world) == 1
    assert world.run() is Ending.EMPTY
    assert (seen, world.events) == ([0, 1, 2, 3], 4)


def test_what_is_asked_for_later_shares_it_too_if_it_is_for_that_time() -> None:
    world, seen = World(), []
    world.call_at(2, lambda: world.call_at(9, partial(seen.append, "b")))
    world.call_at(9, partial(seen.append, "a"))
    world.run(until_ns=5)
    assert entries(world) == 1
    world.run()
    assert seen == ["a", "b"]


def test_a_call_for_another_time_in_between_keeps_them_apart() -> None:
    world, seen = World(), []
    world.call_after(5, partial(seen.append, "a"))
    world.call_after(6, partial(seen.append, "c"))
    world.call_after(5, partial(seen.append, "b"))
    assert entries(world) == 3
    world.run()
    assert seen == ["a", "b", "c"]


def test_what_is_asked_for_without_delay_comes_behind_all_that_was_there() -> None:
    world, seen = World(), []
    world.call_after(5, lambda: world.call_after(0, partial(seen.append, "answer")))
    world.call_after(5, partial(seen.append, "next"))
    world.call_after(6, partial(seen.append, "later"))
    world.call_after(5, partial(seen.append, "apart"))
    world.run()
    assert seen == ["next", "apart", "answer", "later"]


@pytest.mark.parametrize(("end", "ending"), [("stop", Ending.STOPPED), ("interrupt", Ending.INTERRUPTED)])
def test_a_run_ends_between_two_of_them_and_the_next_goes_on_there(end: str, ending: Ending) -> None:
    world, seen = World(), []
    for number in range(4):
        world.call_after(5, partial(seen.append, number))
        if number == 1:
            world.call_after(5, getattr(world, end))
    world.call_after(6, partial(seen.append, "later"))
    world.call_after(5, partial(seen.append, "apart"))
    assert world.run() is ending
    assert (seen, world.events) == ([0, 1], 3)
    assert world.run(events_max=1) is Ending.EVENTS_MAX
    assert seen == [0, 1, 2]
    assert world.run() is Ending.EMPTY
    assert (seen, world.events) == ([0, 1, 2, 3, "apart", "later"], 7)


def test_no_more_of_them_happen_than_may() -> None:
    world, seen = side_by_side()
    assert world.run(events_max=3) is Ending.EVENTS_MAX
    assert (seen, world.events) == ([0, 1, 2], 3)
    assert world.run(events_max=1) is Ending.EVENTS_MAX
    assert world.run() is Ending.EMPTY
    assert (seen, world.events) == ([0, 1, 2, 3], 4)


def test_a_bound_at_the_time_of_those_that_are_left_comes_first() -> None:
    world, seen = side_by_side()
    world.run(events_max=2)
    assert world.run(until_ns=5) is Ending.REACHED
    assert seen == [0, 1]
    assert world.run() is Ending.EMPTY
    assert seen == [0, 1, 2, 3]


def test_those_that_are_cancelled_are_no_events_even_all_of_them() -> None:
    world, seen = World(), []
    timers = [world.call_after(5, partial(seen.append, number)) for number in range(4)]
    for timer in timers[:3]:
        timer.cancel()
    world.call_after(4, lambda: None)
    for timer in [world.call_after(3, lambda: seen.append("never")) for _ in range(2)]:
        timer.cancel()
    assert world.run(events_max=2) is Ending.EVENTS_MAX
    assert (seen, world.events) == ([3], 2)


def test_an_event_that_comes_again_and_again_keeps_them_apart_until_it_is_home() -> None:
    world = World()
    world.set_out(Event(world.environment), 7)
    world.call_after(5, lambda: None)
    world.call_after(5, lambda: None)
    assert entries(world) == 3
    world.come_home()
    world.call_after(5, lambda: None)
    assert entries(world) == 3
