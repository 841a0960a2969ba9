"""Crashes that lose the memory, in whole runs: who comes back is a newcomer."""

from __future__ import annotations

from typing import Any

import pytest
from support.scenarios import scenario

import lastbit
from consensus.behaviours import EquivocatingVoter
from lastbit.protocols import PROTOCOLS
from lastbit.running import Prepared
from lastbit.simulation import Simulation
from simcore.trace import TraceWriter

MS = 1_000_000


def run(replica: int = 1, memory: str = "lost", until_ms: float = 400, **tables: Any) -> lastbit.Result:
    crash = {"replica": replica, "from_ms": 200, "until_ms": until_ms, "memory": memory}
    return lastbit.run(scenario(crash=[crash], **tables))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("replica", [0, 1])
def test_a_replica_without_memory_catches_up_and_the_chain_completes(replica: int, protocol: str) -> None:
    told = run(replica, chain={"protocol": protocol, "policy": PROTOCOLS[protocol].policies[0]})

    assert told.outcome == "completed"
    assert told.heights.committed == 20
    assert told.forks == ()


def test_whether_the_memory_is_lost_makes_another_run() -> None:
    assert run(memory="lost").trace_digest != run(memory="kept").trace_digest


def begun(replica_lost: int = 1, **tables: Any) -> Simulation:
    """A run in which a replica loses its memory from 200 ms to 400 ms, before its first event."""
    crash = {"replica": replica_lost, "from_ms": 200, "until_ms": 400, "memory": "lost"}
    prepared = Prepared(scenario(crash=[crash], **tables))
    simulation = Simulation(
        prepared.scenario, prepared.replicas, prepared.streams, TraceWriter(None, prepared.header())
    )
    simulation.run(events_max=0)
    return simulation


def test_a_liar_without_memory_still_lies() -> None:
    simulation = begun(replica=[{"id": 1, "behaviour": "equivocating-voter"}])
    before = simulation.nodes[1].protocol
    simulation.world.run(until_ns=500 * MS)
    after = simulation.nodes[1].protocol

    assert after is not before
    assert isinstance(after, EquivocatingVoter)
    assert after.protocol is simulation.protocols[1]
    assert simulation.protocols[1].decided > 0


def test_a_state_that_carries_over_is_lost_too_and_taken_over_from_the_others() -> None:
    told = run(state={"carries": "hash-chain"})

    assert (told.outcome, told.heights.committed, told.forks) == ("completed", 20, ())


def test_what_comes_back_is_a_fresh_replica_that_has_asked() -> None:
    simulation = begun()
    before = simulation.protocols[1]
    simulation.world.run(until_ns=400 * MS)

    assert simulation.protocols[1] is before
    assert before.decided > 0

    simulation.world.run(until_ns=400 * MS + 1)
    after = simulation.protocols[1]

    assert after is not before
    assert after.decided == 0
    assert simulation.observation.chain.heights.of(1) == 0

    simulation.world.run(until_ns=450 * MS)

    assert after.decided > before.decided


def test_a_newcomer_that_leads_executes_nothing_twice() -> None:
    simulation = begun(0, chain={"blocks": 200, "pipeline": 3})
    simulation.world.run(until_ns=400 * MS + 1)

    heights = [block.height for _, block, *_ in simulation.nodes[0].executor._under_way]
    assert heights == [1, 2, 3]


def test_the_state_that_carries_over_begins_anew() -> None:
    simulation = begun(state={"carries": "hash-chain"})
    carried = simulation.nodes[1].executor.carried
    simulation.world.run(until_ns=400 * MS + 1)

    assert simulation.nodes[1].executor.carried is not carried
