"""Faults of the world that a scenario can name: replicas that are down, and groups that cannot reach each other.

A window is half open: it holds from `from_ns` on, and no longer at `until_ns`. What a *Byzantine* replica does is a
protocol's business and stands elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A replica that is down for a while: it sends nothing, and what arrives is lost.

    Args:
        replica: who.
        from_ns: the first nanosecond of being down.
        until_ns: the first nanosecond of being up again; None: never.

    Raises:
        ValueError: a replica or time below 0, or a window that ends before it begins.
    """

    replica: int
    from_ns: int
    until_ns: int | None = None

    def __post_init__(self) -> None:
        if self.replica < 0:
            raise ValueError(f"crash: replica {self.replica} is negative; replicas are counted from 0")
        _check_window("crash", self.from_ns, self.until_ns)

    def holds_at(self, time_ns: int) -> bool:
        """Say whether the replica is down at that time."""
        return self.from_ns <= time_ns and (self.until_ns is None or time_ns < self.until_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A while in which only replicas of the same group reach each other.

    A copy is lost if sender and receiver are apart when it is *sent*: what is under way when a partition begins still
    arrives. A replica that no group names is a group of its own.

    Args:
        groups: who still reaches whom; no replica twice.
        from_ns: the first nanosecond of being apart.
        until_ns: the first nanosecond of being together again.

    Raises:
        ValueError: no group, an empty group, a replica named twice or below 0, or a window that is none.
    """

    groups: tuple[frozenset[int], ...]
    from_ns: int
    until_ns: int

    def __post_init__(self) -> None:
        if not self.groups or not all(self.groups):
            raise ValueError("partition: every group needs a replica, and there must be a group")
        named = [replica for group in self.groups for replica in group]
        if len(named) != len(set(named)):
            twice = sorted({replica for replica in named if named.count(replica) > 1})
            raise ValueError(f"partition: replicas {twice} stand in more than one group")
        if min(named) < 0:
            raise ValueError(f"partition: replica {min(named)} is negative; replicas are counted from 0")
        _check_window("partition", self.from_ns, self.until_ns)

    def holds_at(self, time_ns: int) -> bool:
        """Say whether the groups are apart at that time."""
        return self.from_ns <= time_ns < self.until_ns

    def reached_by(self, sender: int) -> frozenset[int]:
        """Name the replicas that the sender reaches while the window holds, itself among them.

        Example:
            >>> split = Partition(groups=(frozenset({0, 1}), frozenset({2})), from_ns=0, until_ns=5)
            >>> sorted(split.reached_by(0)), sorted(split.reached_by(3))
            ([0, 1], [3])
        """
        for group in self.groups:
            if sender in group:
                return group
        return frozenset({sender})


def _check_window(what: str, from_ns: int, until_ns: int | None) -> None:
    if from_ns < 0:
        raise ValueError(f"{what}: from_ns {from_ns} is negative; time begins at 0")
    if until_ns is not None and until_ns <= from_ns:
        raise ValueError(f"{what}: until_ns {until_ns} is not after from_ns {from_ns}")
