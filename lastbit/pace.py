"""How fast a quorum is: the delays and the computing of the fastest replicas that weigh one.

One replica that is slow holds nobody up, as long as the others weigh a quorum. So timers are to be compared with what a
quorum takes now, slow lines and delays that hold included.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from consensus.quorum import QuorumSystem
from simcore.disturbances import Disturbances, extra_ns


def quorum_takes(quorum: QuorumSystem, times_ns: Mapping[int, int]) -> int:
    """The time by which a quorum is done, given when each replica is; where they are none, the longest.

    Example:
        >>> quorum_takes(QuorumSystem.equal(4), {0: 5, 1: 90, 2: 7, 3: 6})
        7
    """
    weight = 0
    for replica, time_ns in sorted(times_ns.items(), key=lambda each: each[1]):
        weight += quorum.weights[replica]
        if weight >= quorum.threshold:
            return time_ns
    return max(times_ns.values(), default=0)


def quorum_delay_ns(
    quorum: QuorumSystem, replicas: Collection[int], delay_ns: int, disturbances: Disturbances, now_ns: int
) -> int:
    """The delay within which a quorum of replicas each hear a quorum and are heard by it.

    Args:
        quorum: who weighs what.
        replicas: those who take part.
        delay_ns: an undisturbed delay that few messages exceed.
        disturbances: slow lines, delays, and lateness before global stabilisation time.
        now_ns: when.
    """
    if not disturbances:
        return delay_ns
    between = _between(replicas, delay_ns, disturbances, now_ns)
    round_trips = {
        one: quorum_takes(
            quorum, {other: max(between(one, other), between(other, one)) if other != one else 0 for other in replicas}
        )
        for one in replicas
    }
    return quorum_takes(quorum, round_trips)


def _between(
    replicas: Collection[int], delay_ns: int, disturbances: Disturbances, now_ns: int
) -> Callable[[int, int], int]:
    """How long a copy may take from one replica to another."""
    factors = {replica: disturbances.factor(replica, now_ns) for replica in replicas}
    delays = {replica: disturbances.delays_of(replica, now_ns) for replica in replicas}
    gst = disturbances.before_gst
    late_ns = 0 if gst is None else min(gst.extra_ns_max, max(gst.gst_ns - now_ns, 0))

    def between(sender: int, receiver: int) -> int:
        slow_ns = round(delay_ns * factors[sender] * factors[receiver])
        return slow_ns + extra_ns(delays[sender], receiver) + late_ns

    return between
