"""Calls and messages that share an entry of the queue come in the order in which they would if each had its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

from hypothesis import event, given
from hypothesis import strategies as st
from simpy.events import Event

from simcore.flights import Flights
from simcore.itineraries import Itinerary, itinerary_of
from simcore.running_digest import RunningDigest, content_of
from simcore.world import Ending, World

REPLICAS = 3
MESSAGES_MAX = 40
FOREVER_NS = 1_000
CONTENT = content_of(b"message")
DELAYS_NS = st.integers(min_value=0, max_value=3)


@dataclass(frozen=True)
class Doing:
    """What happens when a copy arrives or a timer fires: messages with their delays, a timer, and perhaps a stop."""

    messages: list[tuple[int, ...]]
    timer_ns: int | None
    stops: bool


DOINGS = st.lists(
    st.builds(
        Doing,
        st.lists(DELAYS_NS.map(lambda each: (each,) * REPLICAS) | st.tuples(*[DELAYS_NS] * REPLICAS), max_size=3),
        st.none() | DELAYS_NS,
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=12,
)


def itinerary(delays_ns: tuple[int, ...]) -> Itinerary:
    """That of a message to all replicas; where all copies arrive together, -1 is the only gap."""
    way = itinerary_of(sorted(zip(delays_ns, range(REPLICAS), strict=True)))
    return way if any(way[3][:-1]) else (*way[:3], [-1])


def history(doings: list[Doing], *, events_max: int, apart: bool) -> tuple[list[tuple[int, str]], str, int, int]:
    """All that happens, in order; the digest of it; and in how many events, and entries of the queue."""
    world, digest, happened, sent, turns = World(), RunningDigest(), [], count(), count()

    def go_on() -> None:
        doing = doings[next(turns) % len(doings)]
        for delays_ns in doing.messages:
            if (number := next(sent)) < MESSAGES_MAX:
                flights.launch(f"message {number}", CONTENT, 0, itinerary(delays_ns))
        if doing.timer_ns is not None and (number := next(sent)) < MESSAGES_MAX:
            world.call_after(doing.timer_ns, partial(happen, f"timer {number}"))
        if doing.stops:
            world.stop()

    def happen(what: str) -> None:
        happened.append((world.now_ns, what))
        go_on()

    def receive(receiver: int, message: str) -> None:
        happen(f"{message} at {receiver}")

    receivers: list[Callable[[str], None]] = [partial(receive, receiver) for receiver in range(REPLICAS)]
    flights: Flights[str, None] = Flights(world, digest, receivers, [])
    if apart:
        world.set_out(Event(world.environment), FOREVER_NS)  # it may come between any two
    for _ in range(4):
        go_on()
    while (ending := world.run(until_ns=FOREVER_NS - 1, events_max=events_max)) is not Ending.REACHED:
        happened.append((world.now_ns, f"{ending} after {world.events}"))
    return happened, digest.hexdigest(), world.events, next(world.environment._eid)


@given(DOINGS, st.integers(min_value=1, max_value=9))
def test_sharing_an_entry_changes_the_order_of_nothing_nor_where_a_run_ends(
    doings: list[Doing], events_max: int
) -> None:
    shared, apart = (history(doings, events_max=events_max, apart=apart) for apart in (False, True))
    assert shared[:3] == apart[:3]
    event("some were shared" if shared[3] < apart[3] - 1 else "each had its own")
