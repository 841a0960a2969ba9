"""Flights: messages under way, from when they leave until their last copy has arrived.

A message is one event that travels: at each stop it hands over the copies that arrive there together, and puts itself
into SimPy's queue again for the next stop. So the queue holds one entry for each message under way instead of one for
each copy, and a delivery allocates nothing but its record in the running digest.

A message whose copies arrive all at one time, as where delays are constant, does not travel: it is a call to come, and
such calls may share an entry; see `World.call_after`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from simpy.core import Environment
from simpy.events import NORMAL, Event

from simcore.itineraries import Itinerary, stops
from simcore.running_digest import RunningDigest, cause_of
from simcore.world import World

MessageT = TypeVar("MessageT")
EffectsT = TypeVar("EffectsT")

_Callbacks = list[Callable[[Any], None]]


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


class Flights(Generic[MessageT, EffectsT]):
    """Carries messages along their itineraries.

    Args:
        world: whose clock and queue to use.
        digest: takes a record of each delivery.
        receive: for each replica, what a message that arrives brings about.
        react: for each replica, what makes it happen; called with what `receive` returned, unless that is empty.
    """

    def __init__(
        self,
        world: World,
        digest: RunningDigest,
        receive: Sequence[Callable[[MessageT], EffectsT]],
        react: Sequence[Callable[[EffectsT], None]],
    ) -> None:
        self._world = world
        self._digest = digest
        self._on_arrival, self._on_stop, self._land = _callbacks(world, digest.append, receive, react)

    def launch(self, message: MessageT, content: bytes, kind: int, itinerary: Itinerary) -> None:
        """Let a message leave now.

        Raises:
            ValueError: content that is not 16 bytes long.
        """
        receivers, arrivals, first_ns, gaps_ns = itinerary
        if not receivers:
            return
        self._digest.fold_when_full()
        world = self._world
        now_ns: int = world.environment._now  # type: ignore[assignment]  # `now_ns`, without the call
        cause = cause_of(now_ns, kind, content)
        if len(gaps_ns) == 1:
            world.call_after(first_ns, partial(self._land, message, cause, receivers, arrivals))
        elif 0 in gaps_ns:
            world.set_out(_Flight(world.environment, self._on_stop, message, cause, stops(itinerary)), first_ns)
        else:
            hops = zip(receivers, arrivals, gaps_ns, strict=False)
            world.set_out(_Flight(world.environment, self._on_arrival, message, cause, hops), first_ns)


def _callbacks(
    world: World,
    append: Callable[[bytes], None],
    receive: Sequence[Callable[[Any], Any]],
    react: Sequence[Callable[[Any], None]],
) -> tuple[_Callbacks, _Callbacks, Callable[[object, bytes, Sequence[int], Sequence[bytes]], None]]:
    """Make the lists of callbacks that flights share: of those whose copies arrive one by one, and of all others. And
    what hands over the copies of a message that all arrive together.

    SimPy takes an event's list away before it calls what stands in it, and does not change the list; so a flight is
    armed again by handing it the same list. This is the hottest code of a run, hence closures and no attributes.
    """
    schedule = world.environment.schedule
    one_by_one: _Callbacks = []
    together: _Callbacks = []

    def arrive(flight: _Flight) -> None:
        receiver, arrival, gap_ns = next(flight.way)
        append(flight.cause + arrival)
        if gap_ns > 0:
            flight.callbacks = one_by_one
            schedule(flight, NORMAL, gap_ns)
        else:
            world.come_home()
        effects = receive[receiver](flight.message)
        if effects:
            react[receiver](effects)

    def stop(flight: _Flight) -> None:
        receivers, arrivals, gap_ns = next(flight.way)
        if gap_ns > 0:
            flight.callbacks = together
            schedule(flight, NORMAL, gap_ns)
        else:
            world.come_home()
        land(flight.message, flight.cause, receivers, arrivals)

    def land(message: object, cause: bytes, receivers: Sequence[int], arrivals: Sequence[bytes]) -> None:
        append(cause + cause.join(arrivals))
        for receiver in receivers:
            effects = receive[receiver](message)
            if effects:
                react[receiver](effects)

    one_by_one.append(arrive)
    together.append(stop)
    return one_by_one, together, land
