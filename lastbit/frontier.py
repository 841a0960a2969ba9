"""How far everybody has come on one track of the chain: heights decided, executed or certified."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class Frontier:
    """The height that each honest replica has reached, and the one that all of them have who count.

    Those who are down do not count while they are, and those who halted themselves never again.

    Attributes:
        all: the highest height that every honest live replica has reached, now or at any time before.
        tip: the highest height that any honest replica has reached.
    """

    def __init__(self, honest: Iterable[int]) -> None:
        self.all = 0
        self.tip = 0
        self._reached = dict.fromkeys(sorted(honest), 0)
        self._awaited = set(self._reached)  # counts, and is not beyond `all`: the next height waits for them
        self._away: set[int] = set()
        self._gone: set[int] = set()

    def reach(self, replica: int, height: int) -> bool:
        """A replica has come so far, if it was not there before.

        Returns:
            Whether `all` or `tip` moves.
        """
        is_first = height > self.tip
        if is_first:
            self.tip = height
        if height > self._reached[replica]:
            self._reached[replica] = height
            if height > self.all:
                return self._stop_waiting_for(replica) or is_first
        return is_first

    def went_down(self, replica: int) -> None:
        """A replica crashed: nobody waits for it until it is back."""
        self._away.add(replica)
        self._stop_waiting_for(replica)

    def came_up(self, replica: int) -> None:
        """A replica is back. The next height that all others reach waits for it."""
        self._away.discard(replica)
        self._stop_waiting_for(replica)  # nobody else may be there

    def begin_anew(self, replica: int) -> None:
        """A replica has lost what it had reached."""
        self._reached[replica] = 0

    def leave(self, replica: int) -> None:
        """A replica halted itself: nobody waits for it any more."""
        self._gone.add(replica)
        self._stop_waiting_for(replica)

    def everybody_reached(self, height: int) -> bool:
        """Has every honest live replica come so far by now? Where there is none, nobody has."""
        if height > self.tip:
            return False
        live = self._live()
        return bool(live) and min(live.values()) >= height

    def behind(self, height: int) -> tuple[int, ...]:
        """The honest live replicas that have not come so far yet."""
        return tuple(replica for replica, at in self._live().items() if at < height)

    def of(self, replica: int) -> int:
        """How far one honest replica has come."""
        return self._reached[replica]

    def lowest_of(self, replicas: Collection[int]) -> int:
        """How far the last of some honest replicas has come; of none, how far all have."""
        if len(replicas) == len(self._reached):
            return min(self._reached.values(), default=self.all)
        return min((self._reached[replica] for replica in replicas), default=self.all)

    def _live(self) -> dict[int, int]:
        if not self._away and not self._gone:
            return self._reached
        out = self._away | self._gone
        return {replica: at for replica, at in self._reached.items() if replica not in out}

    def _stop_waiting_for(self, replica: int) -> bool:
        """Does `all` move with that?"""
        self._awaited.discard(replica)
        return not self._awaited and self._move_on()

    def _move_on(self) -> bool:
        before, live = self.all, self._live()
        self.all = max(before, min(live.values(), default=0))
        self._awaited = {replica for replica, at in live.items() if at <= self.all}
        return self.all > before
