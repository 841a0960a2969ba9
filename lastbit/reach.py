"""Who reaches whom: what partitions leave of a network, over a span of time.

Two replicas are *together* where each reaches the other, and a quorum takes replicas that all are. Every partition puts
a replica into one group, and two replicas are together exactly if none has them in different groups, be it one way or
not. So to be together is an equivalence: its classes, the *sides*, are all the largest sets of replicas each of which
reaches the others, and none has to be searched for.

The span is what makes the answer right for partitions that move. At each moment one may leave a quorum together, and
yet no block gets through, since no quorum stays together for as long as a block takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from consensus.quorum import QuorumSystem
from simcore.faults import Partition


def reach_during(
    partitions: Iterable[Partition], replicas: Sequence[int], from_ns: int, until_ns: int
) -> dict[int, frozenset[int]]:
    """Whom each replica reaches at every moment of a span, itself among them.

    Args:
        partitions: all that there are; those of other times are left out here.
        replicas: all ids.
        from_ns: the first nanosecond of the span.
        until_ns: its last.

    Example:
        >>> moving = Partition(groups=(frozenset({0}), frozenset({1, 2})), from_ns=0, until_ns=90, every_ns=10)
        >>> [sorted(reached) for reached in reach_during([moving], range(3), 0, 9).values()]
        [[0], [1, 2], [1, 2]]
        >>> [sorted(reached) for reached in reach_during([moving], range(3), 5, 14).values()]
        [[0], [1], [2]]
    """
    reach = {replica: frozenset(replicas) for replica in replicas}
    for split in partitions:
        for moment_ns in _moments(split, len(replicas), from_ns, until_ns):
            for replica in replicas:
                reach[replica] &= split.reached_by(replica, moment_ns)
    return reach


def _moments(split: Partition, replicas: int, from_ns: int, until_ns: int) -> Iterator[int]:
    """One moment of the span for each place in which the groups stand: after a step for each replica they repeat."""
    first_ns, last_ns = max(from_ns, split.from_ns), min(until_ns, split.until_ns - 1)
    if first_ns > last_ns:
        return
    yield first_ns
    if split.every_ns is not None:
        begun = (first_ns - split.from_ns) // split.every_ns
        ended = (last_ns - split.from_ns) // split.every_ns
        for step in range(begun + 1, min(ended, begun + replicas - 1) + 1):
            yield split.from_ns + step * split.every_ns


def sides_of(reach: Mapping[int, frozenset[int]], among: Iterable[int]) -> tuple[frozenset[int], ...]:
    """The largest sets of some replicas each of which reaches the others, by their least.

    Example:
        >>> one_way = {0: frozenset({0, 1}), 1: frozenset({0, 1}), 2: frozenset({0, 1, 2})}
        >>> [sorted(side) for side in sides_of(one_way, (0, 1, 2))]
        [[0, 1], [2]]
    """
    chosen = frozenset(among)
    sides = {frozenset(other for other in reach[one] & chosen if one in reach[other]) for one in chosen}
    return tuple(sorted(sides, key=min))


def with_a_quorum(quorum: QuorumSystem, reach: Mapping[int, frozenset[int]], among: Iterable[int]) -> frozenset[int]:
    """Those of some replicas who are on a side that is a quorum; empty where no side is."""
    return frozenset[int]().union(*filter(quorum.is_quorum, sides_of(reach, among)))
