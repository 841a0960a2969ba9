"""Times that follow from one another: an undisturbed block, the timeouts, and when standing still is a stall."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lastbit.scenario import Scenario
from lastbit.scenario.network import ConstantLatency, Latency, LognormalLatency, UniformLatency

RESYNC_BLOCKS = 5
TIMEOUT_BLOCKS = 4
TIMEOUT_CAP_TIMEOUTS = 16
STALL_AFTER_BLOCKS = 10
GIVE_UP_AFTER_STALLS = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of a run, in nanoseconds of simulated time.

    Attributes:
        delay_ns: a delay that few messages exceed.
        block_ns: an undisturbed block: as many slow but usual delays as the protocol takes, and the slowest replica's
            computing.
        timeout_ns: how long a replica waits for progress before it asks for the next view; four blocks by default,
            or the cap where that is less.
        timeout_max_ns: what timeouts grow to, the cap; sixteen times the first by default.
        stall_after_ns: standing still for longer is a stall; ten blocks by default, and what a protocol holds back
            ordering while certification lags.
        give_up_after_ns: standing still for so long ends the run; twenty stalls by default.
        resync_ns: how long a replica takes to take over the state of others; five blocks by default.
    """

    delay_ns: int
    block_ns: int
    timeout_ns: int
    timeout_max_ns: int
    stall_after_ns: int
    give_up_after_ns: int
    resync_ns: int


def timing_of(scenario: Scenario, compute_ns: int) -> Timing:
    """The times of a scenario whose slowest honest replica computes a block in `compute_ns`."""
    chain = scenario.chain
    delay_ns = slow_delay_ns(scenario.network.latency)
    block_ns = chain.kind.delays_per_block * delay_ns + chain.pipeline * compute_ns
    derived_ns = max(TIMEOUT_BLOCKS * block_ns, 2)
    timeout_ns = chain.timeout_ns or min(derived_ns, chain.timeout_cap_ns or derived_ns)
    held_back_ns = chain.kind.held_back_ns(chain, delay_ns)
    stall_after_ns = chain.stall_after_ns or max(STALL_AFTER_BLOCKS * block_ns + held_back_ns, 1)
    return Timing(
        delay_ns=delay_ns,
        block_ns=block_ns,
        timeout_ns=timeout_ns,
        timeout_max_ns=chain.timeout_cap_ns or TIMEOUT_CAP_TIMEOUTS * timeout_ns,
        stall_after_ns=stall_after_ns,
        give_up_after_ns=chain.give_up_after_ns or GIVE_UP_AFTER_STALLS * stall_after_ns,
        resync_ns=chain.resync_ns or RESYNC_BLOCKS * block_ns,
    )


def slow_delay_ns(latency: Latency) -> int:
    """A delay that few messages exceed."""
    match latency:
        case ConstantLatency():
            return latency.latency_ns
        case UniformLatency():
            return latency.high_ns
        case LognormalLatency():
            return round(latency.median_ns * math.exp(2 * latency.sigma))  # two deviations: all but one in 44
        case _:
            return max(max(row) for row in latency.latency_ns)
