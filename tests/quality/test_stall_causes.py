"""Is each stall called by its name, and does the chain go on once its cause is gone?"""

from __future__ import annotations

from typing import Any

import pytest
from support.scenarios import scenario

import lastbit


def stalls(**story: Any) -> list[tuple[str, bool]]:
    """Cause and permanence of each stall, and the outcome that goes with them."""
    result = lastbit.run(scenario(**story))
    found = [(stall.cause_code, stall.permanent) for stall in result.stalls]
    assert (result.outcome == "stalled") == any(permanent for _, permanent in found)
    return found


def silent(*replicas: int) -> list[dict[str, Any]]:
    return [{"id": each, "behaviour": "silent"} for each in replicas]


def test_one_silent_replica_of_four_stalls_nothing() -> None:
    assert stalls(replica=silent(3)) == []


@pytest.mark.parametrize("who", [(2, 3), (0, 1), (0, 1, 2, 3)])
def test_too_many_silent_replicas_are_no_quorum_alive(who: tuple[int, ...]) -> None:
    assert stalls(replica=silent(*who)) == [("no-quorum-alive", True)]


def test_replicas_that_all_crash_leave_no_quorum_alive_and_nothing_complete() -> None:
    crashes = [{"replica": each, "from_ms": 100} for each in range(4)]
    result = lastbit.run(scenario(crash=crashes))

    assert (result.outcome, result.heights.committed) == ("stalled", 3)
    assert result.stalls[-1].cause_code == "no-quorum-alive"


def test_a_fleet_without_an_honest_replica_decides_nothing_that_counts() -> None:
    assert stalls(fleet={"behaviour": "equivocating-leader"}) == [("nobody-honest", True)]


def test_a_leader_that_proposes_two_blocks_stalls_a_chain_that_halts_and_no_arithmetic_is_blamed() -> None:
    leader = [{"id": 0, "behaviour": "equivocating-leader"}]
    result = lastbit.run(scenario({"policy": "halt"}, replica=leader))
    (stall,) = result.stalls

    assert stall.cause_code == "split-proposal"
    assert stall.cause.startswith("replica 0, which led, proposed several blocks")
    assert result.agreement_failures == 0


def test_a_partition_without_a_majority_stalls_the_chain_until_it_heals() -> None:
    split = {"partition": [{"groups": [[0, 1], [2, 3]], "from_ms": 100, "until_ms": 3_000}]}
    result = lastbit.run(scenario({"blocks": 100}, network=split))
    (stall,) = result.stalls

    assert (result.outcome, result.heights.unanimous) == ("completed", 100)
    assert stall.cause == "partition: no side weighs 3 (replicas 0, 1 | 2, 3)"
    assert stall.from_ns < 200_000_000
    assert stall.until_ns is not None
    assert 3_000_000_000 < stall.until_ns < 10_000_000_000


@pytest.mark.parametrize("protocol", ["pbft", "pbft-classic", "tendermint", "icp"])
def test_a_stall_soon_after_another_is_noticed_as_the_first_was(protocol: str) -> None:
    """Well before the time in which the first would have been given up, which is 20 times as long as a stall."""
    splits = [{"groups": [[0, 1], [2, 3]], "from_ms": at, "until_ms": at + 1_500} for at in (200, 4_000, 8_000)]
    policy = "halt" if protocol in ("pbft-classic", "icp") else "retry"
    chain = {"protocol": protocol, "policy": policy, "blocks": 400, "stall_after_ms": 400}
    result = lastbit.run(scenario(chain, network={"partition": splits}))

    assert [stall.cause_code for stall in result.stalls] == ["partition"] * 3
    assert [round(stall.from_ns / 1e9) for stall in result.stalls] == [0, 4, 8]


def test_a_stall_that_waits_for_the_last_replica_ends_with_it_and_the_run_is_complete() -> None:
    """Nothing of the chain moves when replica 4, which takes over what it computed otherwise, is there at last."""
    chain = {"protocol": "tendermint", "outvoted": "resync", "replicas": 5, "blocks": 50, "stall_after_ms": 400}
    other = [{"id": 4, "profile": {"precision": "fp64"}}]
    result = lastbit.run(scenario(chain | {"give_up_after_ms": 4_000}, replica=other, state={}))
    *_, last = result.stalls

    assert (last.cause_code, last.permanent) == ("replica-behind", False)
    assert result.outcome == "completed"


def test_a_partition_that_leaves_a_quorum_together_stalls_nothing_and_the_other_catches_up() -> None:
    split = {"partition": [{"groups": [[1]], "from_ms": 100, "until_ms": 1_500}]}
    result = lastbit.run(scenario({"blocks": 100}, network=split))

    assert result.stalls == ()
    assert result.heights.committed == result.heights.unanimous == 100  # those that a state was adopted for, too


def test_a_replica_that_was_down_catches_up() -> None:
    result = lastbit.run(scenario({"blocks": 100}, crash=[{"replica": 1, "from_ms": 100, "until_ms": 1_500}]))

    assert (result.outcome, result.stalls) == ("completed", ())
    assert result.heights.committed == result.heights.unanimous == 100
    assert result.inferences.asked < 4 * 100


def test_crashes_that_touch_are_one_long_crash() -> None:
    windows = [{"replica": 1, "from_ms": 300}, {"replica": 1, "from_ms": 100, "until_ms": 300}]

    assert stalls(crash=windows) == []


def test_the_leader_may_crash_and_come_back() -> None:
    result = lastbit.run(scenario({"blocks": 60}, crash=[{"replica": 0, "from_ms": 100, "until_ms": 2_000}]))

    assert (result.outcome, result.heights.committed) == ("completed", 60)
    assert result.view_changes >= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_loses_a_fifth_of_all_messages_is_slow_and_gets_there(seed: int) -> None:
    result = lastbit.run(scenario({"blocks": 60}, network={"loss": 0.2}, seed=seed))

    assert (result.outcome, result.heights.committed) == ("completed", 60)
    assert result.agreement_failures == 0
    assert {stall.cause_code for stall in result.stalls} <= {"messages-lost"}


def test_timeouts_that_never_grow_long_enough_are_named() -> None:
    assert stalls(chain={"timeout_ms": 5, "timeout_cap_ms": 20}) == [("timeouts-too-short", True)]


def test_answers_that_differ_are_named_under_every_policy_that_they_stop() -> None:
    for policy in ("halt", "retry"):
        assert stalls(chain={"policy": policy}, divergence={"rate": 1.0}) == [("split-ballot", True)]
    assert stalls(chain={"policy": "skip"}, divergence={"rate": 1.0}) == []


def test_a_stall_is_told_at_the_height_where_the_chain_stands_although_a_replica_is_far_behind() -> None:
    alone = {"partition": [{"groups": [[3]], "from_ms": 100, "until_ms": 3_600_000}]}
    result = lastbit.run(scenario({"policy": "halt", "blocks": 2_000}, network=alone, divergence={"rate": 0.02}))

    assert result.stalls[-1].height == result.first_failure_height
    assert result.heights.committed < 10 < result.stalls[-1].height
    assert (result.stalls[-1].cause_code, len(result.stalls[-1].ballot)) == ("split-ballot", 3)


def test_leaders_that_are_down_for_longer_than_patience_lasts_are_called_away() -> None:
    down = [{"replica": each, "from_ms": 0} for each in (0, 1)]
    impatient = {"replicas": 7, "stall_after_ms": 50, "give_up_after_ms": 60}
    assert stalls(chain=impatient, crash=down) == [("leader-away", True)]


def test_replicas_that_crash_at_work_have_not_voted_and_nothing_is_blamed_on_arithmetic() -> None:
    crashes = [{"replica": each, "from_ms": 12} for each in range(1, 4)]
    slow = {"operations_per_second": 1_000_000}
    result = lastbit.run(scenario(crash=crashes, fleet=slow, divergence={"rate": 1.0}))

    assert result.agreement_failures == 0
    assert [line.replicas for line in result.stalls[-1].ballot] == [(0,)]
