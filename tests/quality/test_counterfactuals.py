"""Is the cause of a stall its cause? Each of the eight is the answer in a scenario; with it alone removed, the same
seed moves on."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from support.scenarios import scenario

import lastbit
from lastbit import resources
from lastbit.result import Result, Stall
from lastbit.scenario import Scenario


class Counterfactual(NamedTuple):
    """A scenario, the cause that it shows, and what takes that cause out of it and nothing else."""

    scenario: str
    cause: str
    take_out: Callable[[dict[str, Any]], object]


def equal_replicas(found: dict[str, Any]) -> None:
    """The fleet's profile and speed for all."""
    del found["replica"]


def one_speaks_again(found: dict[str, Any]) -> None:
    found["replica"].pop()


def no_partition(found: dict[str, Any]) -> None:
    del found["network"]["partition"]


def longer_timeouts(found: dict[str, Any]) -> None:
    found["chain"]["timeout_cap_ms"] = 200


def quick_recovery(found: dict[str, Any]) -> None:
    found["chain"]["resync_ms"] = 30


COUNTERFACTUALS = [
    Counterfactual("two-against-two-pbft", "split-ballot", equal_replicas),
    Counterfactual("two-against-two-pbft-classic", "split-ballot", equal_replicas),
    Counterfactual("two-against-two-tendermint", "split-ballot", equal_replicas),
    Counterfactual("two-against-two-icp", "split-ballot", equal_replicas),
    Counterfactual("too-many-silent", "no-quorum-alive", one_speaks_again),
    Counterfactual("partitioned", "partition", no_partition),
    Counterfactual("minority-leader", "minority-leader", equal_replicas),
    Counterfactual("timeouts-too-short", "timeouts-too-short", longer_timeouts),
    Counterfactual("certification-behind", "certification-behind", equal_replicas),
    Counterfactual("halted-minority", "minority-halted", equal_replicas),
    Counterfactual("resync-too-slow", "recovery-too-slow", quick_recovery),
]
EIGHT = {
    "split-ballot",
    "no-quorum-alive",
    "partition",
    "minority-leader",
    "timeouts-too-short",
    "certification-behind",
    "minority-halted",
    "recovery-too-slow",
}
each_of_the_eight = pytest.mark.parametrize("shown", COUNTERFACTUALS, ids=lambda shown: shown.scenario)


def as_written(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.scenario_path(name).read_text(encoding="utf-8"))


@cache
def as_told(name: str) -> Result:
    return lastbit.run(Scenario.from_mapping(as_written(name)))


def test_all_eight_are_here() -> None:
    assert {each.cause for each in COUNTERFACTUALS} == EIGHT


@each_of_the_eight
def test_it_is_the_first_cause_of_the_stall(shown: Counterfactual) -> None:
    assert {stall.cause_code for stall in as_told(shown.scenario).stalls} == {shown.cause}


@each_of_the_eight
def test_with_that_cause_alone_taken_out_the_same_seed_moves_on(shown: Counterfactual) -> None:
    changed = as_written(shown.scenario)
    shown.take_out(changed)
    result = lastbit.run(Scenario.from_mapping(changed))

    assert (result.outcome, result.stalls) == ("completed", ())
    assert result.seed == as_told(shown.scenario).seed
    assert result.heights.ordered > as_told(shown.scenario).stalls[0].height


# --- two causes at once ---------------------------------------------------------------------------------------


def first_stall(chain: dict[str, Any] | None = None, **tables: Any) -> Stall:
    return lastbit.run(scenario(chain, **tables)).stalls[0]


HALVES = {"partition": [{"groups": [[0, 1], [2, 3]], "from_ms": 0, "until_ms": 3_600_000}]}
TWO_SILENT = [{"id": each, "behaviour": "silent"} for each in (2, 3)]
SHORT = {"timeout_ms": 5, "timeout_cap_ms": 15}


def test_too_few_alive_come_before_the_partition_that_would_do_by_itself() -> None:
    stall = first_stall(replica=TWO_SILENT, network=HALVES)

    assert (stall.cause_code, stall.contributing) == ("no-quorum-alive", ("partition",))


def test_too_few_alive_are_no_partition() -> None:
    assert first_stall(replica=TWO_SILENT).contributing == ()


def test_a_partition_comes_before_timeouts_that_would_do_by_themselves() -> None:
    stall = first_stall(SHORT, network=HALVES)

    assert (stall.cause_code, stall.contributing) == ("partition", ("timeouts-too-short",))


def test_a_split_that_a_recovery_would_tip_is_named_for_the_recovery() -> None:
    stalls = as_told("resync-too-slow").stalls

    assert {stall.contributing for stall in stalls} == {("split-ballot",)}


def test_answers_that_differ_come_before_a_network_that_loses_messages() -> None:
    stall = first_stall({"policy": "halt"}, divergence={"rate": 1.0}, network={"loss": 0.01})

    assert stall.cause_code == "split-ballot"
    assert "messages-lost" in stall.contributing


# --- what the network does, under every protocol --------------------------------------------------------------

PROTOCOLS = ("pbft", "pbft-classic", "tendermint", "icp")
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def stalls_of(protocol: str, chain: dict[str, Any] | None = None, **tables: Any) -> tuple[Stall, ...]:
    policy = "retry" if protocol in ("pbft", "tendermint") else "halt"
    whole = {"protocol": protocol, "policy": policy, "blocks": 60} | (chain or {})
    result = lastbit.run(scenario(whole, **tables))
    assert result.outcome == "completed"  # all of these faults pass
    return result.stalls


def split(**more: Any) -> dict[str, Any]:
    return {"partition": [{"from_ms": 200, "until_ms": 3_000} | more]}


@each_protocol
def test_where_two_are_heard_by_nobody_else_the_partition_says_who_does_not_reach_whom(protocol: str) -> None:
    (stall,) = stalls_of(protocol, network=split(groups=[[0, 1], [2, 3]], one_way=True))

    assert (stall.cause_code, stall.contributing) == ("partition", ())
    gap = "replicas 0, 1 do not reach replicas 2, 3"
    assert stall.cause == f"partition: no replicas that reach each other weigh 3 ({gap})"


@each_protocol
def test_a_partition_that_moves_faster_than_a_block_is_one_though_a_quorum_is_together_at_each_moment(
    protocol: str,
) -> None:
    (stall,) = stalls_of(protocol, network=split(groups=[[0]], every_ms=5))

    assert (stall.cause_code, stall.contributing) == ("partition", ())
    assert stall.cause == "partition: no side weighs 3 for as long as a block takes (replicas 0 | 1 | 2 | 3)"


@each_protocol
def test_timers_are_compared_with_the_delays_that_hold_now(protocol: str) -> None:
    late = {"delay": [{"ms": 300, "from_ms": 200, "until_ms": 4_000}]}
    stall, *_ = stalls_of(protocol, {"timeout_ms": 100, "timeout_cap_ms": 100}, network=late)

    assert stall.cause_code == "timeouts-too-short"
    assert "with delays of 310 ms" in stall.cause


def test_timers_that_suit_the_delays_leave_a_block_that_is_slow() -> None:
    late = {"delay": [{"ms": 300, "from_ms": 200, "until_ms": 4_000}]}
    stalls = stalls_of("pbft", network=late)

    assert [stall.cause_code for stall in stalls] == ["slow-block", "slow-block"]


@pytest.mark.parametrize("protocol", ["pbft", "pbft-classic", "tendermint"])  # icp is not stalled by it
def test_messages_lost_before_the_network_is_stable_count(protocol: str) -> None:
    stall, *_ = stalls_of(protocol, network={"gst_ms": 4_000, "before_gst": {"loss": 0.6}})

    assert stall.cause_code == "messages-lost"
    assert stall.cause.startswith("the network loses 0.6 of all messages")


def test_a_replica_that_is_back_and_not_caught_up_when_the_next_one_fails_recovers_too_slowly() -> None:
    crashes = [{"replica": 1, "from_ms": 100, "until_ms": 5_000}, {"replica": 2, "from_ms": 5_050}]
    slow = {"operations_per_second": 1_000_000}
    (stall,) = stalls_of("tendermint", {"blocks": 100}, crash=crashes, fleet=slow)

    assert stall.cause_code == "recovery-too-slow"
    assert stall.cause == "replica 1 has not caught up yet, and the rest weigh 2; 3 are needed"


@pytest.mark.parametrize(
    ("chain", "computing", "contributing"),
    [
        ({"timeout_cap_ms": 200}, [3], ()),  # one that is slow holds no quorum up
        ({"timeout_cap_ms": 200}, [2, 3], ("timeouts-too-short",)),
        ({"protocol": "pbft-classic", "policy": "halt", "timeout_cap_ms": 200}, [2, 3], ()),  # computes after it votes
        ({"protocol": "tendermint", "timeout_cap_ms": 400}, [2, 3], ()),
        ({"protocol": "tendermint", "timeout_cap_ms": 400, "digest": "proposal"}, [2, 3], ("timeouts-too-short",)),
    ],
)
def test_timers_are_compared_with_what_a_quorum_has_to_compute(
    chain: dict[str, Any], computing: list[int], contributing: tuple[str, ...]
) -> None:
    slow = [{"id": each, "operations_per_second": 100_000} for each in computing]  # 342 ms a block
    stall = first_stall(chain | {"timeout_ms": 20}, replica=slow, network=HALVES)

    assert (stall.cause_code, stall.contributing) == ("partition", contributing)


def test_a_chain_that_is_done_but_for_its_certificates_waits_for_certification() -> None:
    slow = [{"id": each, "operations_per_second": 100_000} for each in (2, 3)]
    whole = {"protocol": "pbft-classic", "policy": "halt", "blocks": 16, "stall_after_ms": 1_000}
    (stall,) = lastbit.run(scenario(whole, replica=slow)).stalls

    assert stall.cause_code == "certification-behind"
    assert stall.cause == "all heights are ordered, and the last 16 of them not certified"


def test_a_replica_that_was_cut_off_and_has_not_caught_up_recovers_too_slowly() -> None:
    """Replica 0 is cut off, then replica 1; as that ends, replica 2 crashes."""
    one_by_one = split(groups=[[0]], from_ms=100, until_ms=5_000, every_ms=2_450)
    slow = {"operations_per_second": 1_000_000}
    crash = [{"replica": 2, "from_ms": 5_005}]
    stalls = stalls_of("tendermint", network=one_by_one, crash=crash, fleet=slow)

    assert [stall.cause_code for stall in stalls] == ["recovery-too-slow", "leader-away"]


@pytest.mark.parametrize("who", [{"replica": [{"id": 0, "operations_per_second": 100_000}]}, {}])
def test_a_leader_that_computes_slowly_waits_for_its_own_checkpoint_though_all_others_have_theirs(
    who: dict[str, Any],
) -> None:
    found = stalls_of("pbft-classic", {"checkpoint_interval": 4, "replicas": 6, "stall_after_ms": 400}, **who)

    assert {stall.cause_code for stall in found} == ({"certification-behind"} if who else set())
    assert all("replica 0, which leads" in stall.cause for stall in found)


MOVING = {"partition": [{"groups": [[2]], "from_ms": 500, "until_ms": 2_500, "every_ms": 100}]}


@pytest.mark.parametrize("network", [MOVING, {}])
def test_a_partition_that_moves_is_named_though_a_quorum_is_together_as_the_stall_is_noticed(
    network: dict[str, Any],
) -> None:
    """Five of six are a quorum. Replica 1 is down, and so together are five only while it is the one cut off."""
    crash = [{"replica": 1, "from_ms": 600, "until_ms": 4_500}]
    chain = {"replicas": 6, "stall_after_ms": 400}
    found = stalls_of("tendermint", chain, network=network, crash=crash)

    assert [stall.cause_code for stall in found] == (["partition"] if network else [])


def test_a_stall_that_outlasts_its_fault_keeps_the_cause_until_the_end() -> None:
    down = [{"replica": each, "from_ms": 500, "until_ms": 4_400} for each in (1, 2)]
    chain = {"protocol": "pbft-classic", "policy": "halt", "stall_after_ms": 400, "give_up_after_ms": 4_000}
    *_, stall = lastbit.run(
        scenario(chain | {"blocks": 60}, crash=down, replica=[{"id": 0, "behaviour": "silent"}])
    ).stalls

    assert (stall.permanent, stall.cause_code) == (True, "no-quorum-alive")
