"""The conditions of a run: what a scenario says of network and crashes, as the world takes it."""

from __future__ import annotations

from lastbit.scenario import Scenario
from lastbit.scenario.network import ConstantLatency, LognormalLatency, UniformLatency
from simcore.faults import Crash, Partition
from simcore.latency import Constant, Latency, LogNormal, Matrix, Uniform


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
    return tuple(Crash(replica=each.replica, from_ns=each.from_ns, until_ns=each.until_ns) for each in scenario.crash)


def partitions_of(scenario: Scenario) -> tuple[Partition, ...]:
    """When replicas are apart: those that no group names form one more group."""
    return tuple(
        Partition(
            groups=_all_groups(each.groups, scenario.chain.replicas),
            from_ns=each.from_ns,
            until_ns=each.until_ns,
        )
        for each in scenario.network.partition
    )


def _all_groups(named: tuple[tuple[int, ...], ...], replicas: int) -> tuple[frozenset[int], ...]:
    groups = [frozenset(group) for group in named if group]
    rest = frozenset(range(replicas)).difference(*groups)
    return (*groups, rest) if rest else tuple(groups)
