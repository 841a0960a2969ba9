"""Faults that keep a copy from arriving: replicas that are down, and groups that cannot reach each other.

A window is half open: it holds from `from_ns` on, and no longer at `until_ns`. What a *Byzantine* replica does is a
protocol's business and stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A replica that is down for a while: it sends nothing, and what arrives is lost.

    Args:
        replica: who.
        from_ns: the first nanosecond of being down.
        until_ns: the first nanosecond of being up again; None: never.
        memory_is_lost: whether it comes back as a newcomer. The network does not care; who runs the replica does.

    Raises:
        ValueError: a replica or time below 0, or a window that ends before it begins.
    """

    replica: int
    from_ns: int
    until_ns: int | None = None
    memory_is_lost: bool = False

    def __post_init__(self) -> None:
        check_replicas("crash", (self.replica,))
        check_window("crash", self.from_ns, self.until_ns)

    def holds_at(self, time_ns: int) -> bool:
        """Say whether the replica is down at that time."""
        return holds(self.from_ns, self.until_ns, time_ns)

    def holds_within(self, from_ns: int, until_ns: int) -> bool:
        """Say whether the replica is down at any nanosecond of a span, both ends included.

        Example:
            >>> Crash(replica=1, from_ns=5, until_ns=9).holds_within(8, 20)
            True
            >>> Crash(replica=1, from_ns=5, until_ns=9).holds_within(9, 20)
            False
        """
        return self.from_ns <= until_ns and (self.until_ns is None or from_ns < self.until_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A while in which only replicas of the same group reach each other.

    A copy is lost if sender and receiver are apart when it is *sent*: what is under way when a partition begins still
    arrives. A replica that no group names is a group of its own.

    Args:
        groups: who still reaches whom; no replica twice.
        from_ns: the first nanosecond of being apart.
        until_ns: the first nanosecond of being together again.
        one_way: only what goes from an earlier group to a later one is lost; what goes back arrives.
        every_ns: so often the groups move on by one replica: each takes the place of the one before it, and the first
            that of the last. None: they stay.

    Raises:
        ValueError: no group, an empty group, a replica named twice or below 0, a window that is none, or groups that
            move or are apart one way and leave a replica out.
    """

    groups: tuple[frozenset[int], ...]
    from_ns: int
    until_ns: int
    one_way: bool = False
    every_ns: int | None = None

    def __post_init__(self) -> None:
        if not self.groups or not all(self.groups):
            raise ValueError("partition: every group needs a replica, and there must be a group")
        named = [replica for group in self.groups for replica in group]
        if len(named) != len(set(named)):
            twice = sorted({replica for replica in named if named.count(replica) > 1})
            raise ValueError(f"partition: replicas {twice} stand in more than one group")
        check_replicas("partition", named)
        check_window("partition", self.from_ns, self.until_ns)
        if self.every_ns is not None and self.every_ns < 1:
            raise ValueError(f"partition: every_ns {self.every_ns} is no time; at least 1")
        if self.names_everybody and max(named) >= len(named):
            raise ValueError("partition: groups that move or are apart one way name every replica, from 0 to the last")

    @property
    def names_everybody(self) -> bool:
        """Whether the groups must name every replica: where they move, and where their order means something."""
        return self.one_way or self.every_ns is not None

    def holds_at(self, time_ns: int) -> bool:
        """Say whether the groups are apart at that time."""
        return holds(self.from_ns, self.until_ns, time_ns)

    def reached_by(self, sender: int, time_ns: int) -> frozenset[int]:
        """Name the replicas that the sender reaches at a time at which the window holds, itself among them.

        Example:
            >>> split = Partition(groups=(frozenset({0, 1}), frozenset({2, 3})), from_ns=0, until_ns=9, every_ns=3)
            >>> sorted(split.reached_by(0, 2)), sorted(split.reached_by(0, 3)), sorted(split.reached_by(0, 6))
            ([0, 1], [0, 3], [0, 1])
        """
        groups = self._groups_at(time_ns)
        for place, group in enumerate(groups):
            if sender in group:
                return group.union(*groups[:place]) if self.one_way else group
        return frozenset({sender})

    def _groups_at(self, time_ns: int) -> tuple[frozenset[int], ...]:
        if self.every_ns is None:
            return self.groups
        replicas = sum(map(len, self.groups))
        steps = (time_ns - self.from_ns) // self.every_ns
        return tuple(frozenset((replica + steps) % replicas for replica in group) for group in self.groups)


def holds(from_ns: int, until_ns: int | None, time_ns: int) -> bool:
    """Say whether a time lies within a window; None: it has no end."""
    return from_ns <= time_ns and (until_ns is None or time_ns < until_ns)


def check_replicas(what: str, replicas: Iterable[int]) -> None:
    """Raise ValueError where a replica is below 0."""
    for replica in replicas:
        if replica < 0:
            raise ValueError(f"{what}: replica {replica} is negative; replicas are counted from 0")


def check_window(what: str, from_ns: int, until_ns: int | None) -> None:
    """Raise ValueError where a window begins before time does, or ends before it begins."""
    if from_ns < 0:
        raise ValueError(f"{what}: from_ns {from_ns} is negative; time begins at 0")
    if until_ns is not None and until_ns <= from_ns:
        raise ValueError(f"{what}: until_ns {until_ns} is not after from_ns {from_ns}")
