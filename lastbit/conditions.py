"""The conditions of a run: what a scenario says of network and crashes, as the world takes it."""

from __future__ import annotations

from lastbit.scenario import Scenario
from lastbit.scenario.network import ConstantLatency, LognormalLatency, Network, UniformLatency
from lastbit.timing import slow_delay_ns
from simcore.disturbances import BeforeGst, Delay, Disturbances, Reordering, Slow
from simcore.faults import Crash, Partition
from simcore.latency import DELAY_NS_MAX, Constant, Latency, LogNormal, Matrix, Uniform


def latency_of(scenario: Scenario) -> Latency:
    """The latency model of a scenario."""
    match scenario.network.latency:
        case ConstantLatency() as constant:
            return Constant(constant.latency_ns)
        case UniformLatency() as uniform:
            return Uniform(uniform.low_ns, uniform.high_ns)
        case LognormalLatency() as lognormal:
            return LogNormal(lognormal.median_ns, lognormal.sigma)
        case matrix:
            return Matrix(matrix.latency_ns)


def crashes_of(scenario: Scenario) -> tuple[Crash, ...]:
    """When replicas are down."""
    return tuple(
        Crash(
            replica=each.replica,
            from_ns=each.from_ns,
            until_ns=each.until_ns,
            memory_is_lost=each.memory == "lost",
        )
        for each in scenario.crash
    )


def partitions_of(scenario: Scenario) -> tuple[Partition, ...]:
    """When replicas are apart: those that no group names form one more group, the last."""
    return tuple(
        Partition(
            groups=_all_groups(each.groups, scenario.chain.replicas),
            from_ns=each.from_ns,
            until_ns=each.until_ns,
            one_way=each.one_way,
            every_ns=each.every_ns,
        )
        for each in scenario.network.partition
    )


def disturbances_of(scenario: Scenario) -> Disturbances:
    """What makes messages late, or brings them twice."""
    network = scenario.network
    return Disturbances(
        slow=tuple(
            Slow(replica=each.replica, factor=each.factor, from_ns=each.from_ns, until_ns=each.until_ns)
            for each in network.slow
        ),
        delays=tuple(
            Delay(
                extra_ns=each.extra_ns,
                from_ns=each.from_ns,
                until_ns=each.until_ns,
                senders=None if each.senders is None else frozenset(each.senders),
                receivers=None if each.receivers is None else frozenset(each.receivers),
            )
            for each in network.delay
        ),
        duplication=network.duplication,
        reordering=_reordering_of(network),
        before_gst=_before_gst_of(network),
    )


def _reordering_of(network: Network) -> Reordering | None:
    """Left out, a message is held back for up to a slow but usual latency, so that the next one may overtake it."""
    if not network.reordering:
        return None
    held_ns = slow_delay_ns(network.latency) if network.reordering_ns is None else network.reordering_ns
    return Reordering(probability=network.reordering, held_ns_max=min(held_ns, DELAY_NS_MAX))


def _before_gst_of(network: Network) -> BeforeGst | None:
    if network.gst_ns is None or network.before_gst is None:
        return None
    return BeforeGst(gst_ns=network.gst_ns, loss=network.before_gst.loss, extra_ns_max=network.before_gst.extra_ns)


def _all_groups(named: tuple[tuple[int, ...], ...], replicas: int) -> tuple[frozenset[int], ...]:
    groups = [frozenset(group) for group in named if group]
    rest = frozenset(range(replicas)).difference(*groups)
    return (*groups, rest) if rest else tuple(groups)
