"""Flights: messages under way, from when they leave until their last copy has arrived.

A message is one event that travels: at each stop it hands over the copies that arrive there together, and puts itself
into SimPy's queue again for the next stop. So the queue holds one entry for each message under way instead of one for
each copy, and a delivery allocates nothing but its record in the running digest.

Messages whose copies arrive all at one time, as where delays are constant, need even less: those that leave one after
another and arrive at the same time share one entry, a landing, as long as nothing else comes into the queue between
them. They would stand side by side there, so nothing happens in another order for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from simpy.core import Environment
from simpy.events import NORMAL, URGENT, Event

from simcore.itineraries import Itinerary, stops
from simcore.running_digest import RunningDigest, cause_of
from simcore.world import World

MessageT = TypeVar("MessageT")
EffectsT = TypeVar("EffectsT")

_Callbacks = list[Callable[[Any], None]]
_Leg = tuple[Any, bytes, Sequence[int], Sequence[bytes]]  # message, cause, receivers, arrivals


class _Flight(Event):
    """A message under way, with what remains of its itinerary."""

    _ok = True  # what SimPy asks of an event that is scheduled with its outcome known
    _value = None

    def __init__(
        self, environment: Environment, callbacks: _Callbacks, message: object, cause: bytes, way: Iterator[Any]
    ) -> None:
        # Event.__init__ is not called: it would make a list of callbacks to be thrown away.
        self.env = environment
        self.callbacks = callbacks
        self.message = message
        self.cause = cause
        self.way = way


class _Landing(Event):
    """Messages whose copies arrive all at one time, and stand side by side in the queue.

    Attributes:
        at_ns: when they arrive; no time, once they do.
        scheduled: how much had come into the queue with it.
        legs: the messages, in the order in which they left.
    """

    _ok = True
    _value = None

    def __init__(
        self, environment: Environment, callbacks: _Callbacks, at_ns: int, scheduled: int, leg: _Leg | None = None
    ) -> None:
        self.env = environment
        self.callbacks = callbacks
        self.at_ns = at_ns
        self.scheduled = scheduled
        self.legs: list[_Leg] = [] if leg is None else [leg]


class Flights(Generic[MessageT, EffectsT]):
    """Carries messages along their itineraries.

    Args:
        world: whose clock and queue to use.
        digest: takes a record of each delivery.
        receive: for each replica, what a message that arrives brings about.
        react: for each replica, what makes it happen; called with what `receive` returned, unless that is empty.
        legs_max: how many messages may share a landing.
    """

    def __init__(
        self,
        world: World,
        digest: RunningDigest,
        receive: Sequence[Callable[[MessageT], EffectsT]],
        react: Sequence[Callable[[EffectsT], None]],
        *,
        legs_max: int,
    ) -> None:
        self.travelling = 0
        """Messages under way that put themselves into the queue again: one that could come between two legs."""
        self._world = world
        self._digest = digest
        self._legs_max = legs_max
        self._on_arrival, self._on_stop, self._on_landing = _callbacks(self, world, digest.append, receive, react)
        self._landing = _Landing(world.environment, self._on_landing, at_ns=-1, scheduled=0)

    def launch(self, message: MessageT, content: bytes, kind: int, itinerary: Itinerary) -> None:
        """Let a message leave now.

        Raises:
            ValueError: content that is not 16 bytes long.
        """
        receivers, arrivals, first_ns, gaps_ns = itinerary
        if not receivers:
            return
        self._digest.fold_when_full()
        world, landing = self._world, self._landing
        environment = world.environment
        now_ns: int = environment._now  # type: ignore[assignment]  # `now`, without the call
        cause = cause_of(now_ns, kind, content)
        if len(gaps_ns) > 1:
            self._schedule(self._travelling(message, cause, itinerary), first_ns)
            return
        leg, at_ns = (message, cause, receivers, arrivals), now_ns + first_ns
        if (
            landing.at_ns == at_ns
            and landing.scheduled == world.scheduled
            and not self.travelling
            and len(landing.legs) < self._legs_max
        ):
            landing.legs.append(leg)
        else:
            self._landing = _Landing(environment, self._on_landing, at_ns, world.scheduled + 1, leg)
            self._schedule(self._landing, first_ns)

    def _schedule(self, event: Event, delay_ns: int) -> None:
        self._world.scheduled += 1
        self._world.environment.schedule(event, NORMAL, delay_ns)

    def _travelling(self, message: MessageT, cause: bytes, itinerary: Itinerary) -> _Flight:
        receivers, arrivals, _, gaps_ns = itinerary
        self.travelling += 1
        environment = self._world.environment
        if 0 in gaps_ns:
            return _Flight(environment, self._on_stop, message, cause, stops(itinerary))
        hops = zip(receivers, arrivals, gaps_ns, strict=False)
        return _Flight(environment, self._on_arrival, message, cause, hops)


def _callbacks(
    flights: Flights[Any, Any],
    world: World,
    append: Callable[[bytes], None],
    receive: Sequence[Callable[[Any], Any]],
    react: Sequence[Callable[[Any], None]],
) -> tuple[_Callbacks, _Callbacks, _Callbacks]:
    """Make the lists of callbacks: of flights whose copies arrive one by one, of all others, and of landings.

    SimPy takes an event's list away before it calls what stands in it, and does not change the list; so a flight is
    armed again by handing it the same list. This is the hottest code of a run, hence closures and no attributes.
    """
    schedule = world.environment.schedule
    one_by_one: _Callbacks = []
    together: _Callbacks = []
    side_by_side: _Callbacks = []

    def arrive(flight: _Flight) -> None:
        receiver, arrival, gap_ns = next(flight.way)
        append(flight.cause + arrival)
        if gap_ns > 0:
            flight.callbacks = one_by_one
            schedule(flight, NORMAL, gap_ns)
        else:
            flights.travelling -= 1
        effects = receive[receiver](flight.message)
        if effects:
            react[receiver](effects)

    def stop(flight: _Flight) -> None:
        receivers, arrivals, gap_ns = next(flight.way)
        if gap_ns > 0:
            flight.callbacks = together
            schedule(flight, NORMAL, gap_ns)
        else:
            flights.travelling -= 1
        cause, message = flight.cause, flight.message
        append(cause + cause.join(arrivals))
        for receiver in receivers:
            effects = receive[receiver](message)
            if effects:
                react[receiver](effects)

    def land(landing: _Landing) -> None:
        landing.at_ns = -1  # nothing lands with it any more, also not what arrives without delay
        legs = landing.legs
        for number, (message, cause, receivers, arrivals) in enumerate(legs, start=1):
            append(cause + cause.join(arrivals))
            for receiver in receivers:
                effects = receive[receiver](message)
                if effects:
                    react[receiver](effects)
            if world.is_stopping and number < len(legs):
                landing.legs, landing.callbacks = legs[number:], side_by_side
                schedule(landing, URGENT, 0)  # the others are next when the run goes on
                return

    one_by_one.append(arrive)
    together.append(stop)
    side_by_side.append(land)
    return one_by_one, together, side_by_side
