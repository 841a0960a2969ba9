from __future__ import annotations

from typing import Any

import pytest
from support.scenarios import scenario

from lastbit.timing import timing_of

MS = 1_000_000


def latency(**table: Any) -> dict[str, Any]:
    return {"network": {"latency": table}}


def test_a_block_is_three_delays_and_the_computing_and_all_else_follows_from_it() -> None:
    timing = timing_of(scenario(), compute_ns=5 * MS)

    assert timing.block_ns == 35 * MS
    assert timing.timeout_ns == 4 * 35 * MS
    assert timing.timeout_max_ns == 16 * 4 * 35 * MS
    assert timing.stall_after_ns == 10 * 35 * MS
    assert timing.give_up_after_ns == 20 * 10 * 35 * MS


def test_heights_in_flight_compute_one_after_another() -> None:
    assert timing_of(scenario({"pipeline": 8}), compute_ns=5 * MS).block_ns == (30 + 8 * 5) * MS


@pytest.mark.parametrize(
    ("tables", "block_ns"),
    [
        (latency(kind="uniform", low_ms=1, high_ms=20), 60 * MS),
        (latency(kind="lognormal", median_ms=10, sigma=0), 30 * MS),
        (latency(kind="matrix", ms=[[0, 5, 7, 1]] * 4), 21 * MS),
        (latency(kind="constant", ms=0), 0),
    ],
)
def test_a_slow_but_usual_delay_counts_for_each_kind_of_latency(tables: dict[str, Any], block_ns: int) -> None:
    assert timing_of(scenario(**tables), compute_ns=0).block_ns == block_ns


def test_a_lognormal_delay_is_taken_two_deviations_up() -> None:
    timing = timing_of(scenario(**latency(kind="lognormal", median_ms=10, sigma=0.5)), compute_ns=0)

    assert timing.block_ns == 3 * round(10 * MS * 2.718281828459045)


def test_a_world_without_time_still_has_timeouts() -> None:
    timing = timing_of(scenario(**latency(kind="constant", ms=0)), compute_ns=0)

    assert timing.timeout_ns >= 2  # a half of it is waited for, too
    assert timing.stall_after_ns >= 1


def test_what_the_scenario_says_is_taken() -> None:
    chain = {"timeout_ms": 50, "timeout_cap_ms": 70, "stall_after_ms": 900, "give_up_after_ms": 1_000}
    timing = timing_of(scenario(chain), compute_ns=0)

    assert timing.timeout_ns == 50 * MS
    assert timing.timeout_max_ns == 70 * MS
    assert timing.stall_after_ns == 900 * MS
    assert timing.give_up_after_ns == 1_000 * MS


def test_a_cap_holds_for_the_first_timeout_too() -> None:
    timing = timing_of(scenario({"timeout_cap_ms": 40}), compute_ns=0)

    assert timing.timeout_ns == timing.timeout_max_ns == 40 * MS


@pytest.mark.parametrize(
    ("chain", "block_ms", "stall_ms"),
    [
        ({"protocol": "pbft"}, 35, 350),
        ({"protocol": "pbft-classic", "policy": "halt"}, 35, 350),
        ({"protocol": "pbft-classic", "policy": "halt", "pipeline": 8}, 70, 700),
        ({"protocol": "tendermint"}, 35, 350),
        # Notaries wait twice the bound, a delay, for each of the heights between slowing down and stopping.
        ({"protocol": "icp", "policy": "halt"}, 45, 450 + (70 - 3) * 2 * 10),
        ({"protocol": "icp", "policy": "halt", "certified_gap_slow": 2, "certified_gap_max": 7}, 45, 450 + 5 * 2 * 10),
        ({"protocol": "icp", "policy": "halt", "delta_bound_ms": 50}, 45, 450 + (70 - 3) * 2 * 50),
    ],
)
def test_each_protocol_takes_its_own_number_of_delays_and_bears_its_own_delay_of_blocks(
    chain: dict[str, Any], block_ms: int, stall_ms: int
) -> None:
    timing = timing_of(scenario(chain), compute_ns=5 * MS)

    assert timing.delay_ns == 10 * MS
    assert timing.block_ns == block_ms * MS
    assert timing.timeout_ns == 4 * block_ms * MS
    assert timing.stall_after_ns == stall_ms * MS
    assert timing.give_up_after_ns == 20 * stall_ms * MS


def test_taking_over_the_state_of_others_takes_five_blocks_or_what_the_scenario_says() -> None:
    assert timing_of(scenario(), compute_ns=5 * MS).resync_ns == 5 * 35 * MS
    assert timing_of(scenario({"resync_ms": 8}), compute_ns=5 * MS).resync_ns == 8 * MS
