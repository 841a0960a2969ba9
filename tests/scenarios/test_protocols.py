"""What the four protocols make of the same event, in their bundled stories: two against two, one that drifts, two of
seven. In all of them request 75, and so block 76, is the first that splits the replicas."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.stories import told

import lastbit
from lastbit.result import Heights, Result

SPLIT = 76
PROTOCOLS = ("pbft", "pbft-classic", "tendermint", "icp")


def heights_of(result: Result) -> tuple[int, int, int]:
    return result.heights.committed, result.heights.ordered, result.heights.certified


def records(name: str, tmp_path: Path) -> list[dict[str, Any]]:
    trace = tmp_path / "run.jsonl"
    lastbit.run(name, trace=trace)
    return [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_two_against_two_stops_every_chain_for_the_same_reason(name: str) -> None:
    result = told(f"two-against-two-{name}")
    stall = result.stalls[-1]

    assert (result.outcome, stall.cause_code, stall.permanent) == ("stalled", "split-ballot", True)
    assert [answer.replicas for answer in stall.ballot] == [(0, 1), (2, 3)]
    assert result.first_failure_height == SPLIT
    assert result.heights.certified <= SPLIT - 1


def test_pbft_that_votes_on_outputs_decides_nothing_that_is_split() -> None:
    result = told("two-against-two-pbft")

    assert heights_of(result) == (SPLIT - 1, SPLIT - 1, SPLIT - 1)
    assert result.stalls[-1].height == SPLIT


def test_tendermint_has_committed_the_height_and_stands_at_the_next() -> None:
    result = told("two-against-two-tendermint")

    assert heights_of(result) == (SPLIT, SPLIT, SPLIT - 1)
    assert result.stalls[-1].height == SPLIT + 1
    assert result.halted_themselves == ()
    assert result.view_changes > 3  # rounds go on without end


def test_pbft_that_orders_first_stops_a_window_beyond_its_last_stable_checkpoint() -> None:
    result = told("two-against-two-pbft-classic")

    assert heights_of(result) == (96, 64 + 32, 64)
    assert result.stalls[-1].contributing == ("certification-behind",)


def test_icp_orders_seventy_heights_without_a_certified_state() -> None:
    result = told("two-against-two-icp")

    assert heights_of(result) == (SPLIT - 1 + 70, SPLIT - 1 + 70, SPLIT - 1)
    assert result.stalls[-1].contributing == ("certification-behind",)
    assert result.resyncs == 0  # nobody can tell who is wrong


def test_in_the_trace_of_icp_certification_stops_first_and_blocks_come_slower_afterwards(tmp_path: Path) -> None:
    found = [each for each in records("two-against-two-icp", tmp_path) if each["record"] == "height"]
    certified = [each["certified_at_ns"] for each in found if each["certified_at_ns"] is not None]
    ordered = [each["ordered_at_ns"] for each in found]
    gaps_ns = [after - before for before, after in pairwise(ordered)]
    usual_ns = gaps_ns[10]

    assert len(certified) == SPLIT - 1
    first_slow = next(height for height, gap_ns in enumerate(gaps_ns[10:], start=12) if gap_ns > usual_ns)
    assert first_slow > SPLIT + 3
    assert ordered[first_slow - 2] > certified[-1]
    assert gaps_ns[first_slow:] == sorted(gaps_ns[first_slow:])  # slower and slower
    assert gaps_ns[-1] > 50 * usual_ns


@pytest.mark.parametrize("story", ["one-drifts", "two-of-seven"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_minority_stops_no_chain(story: str, name: str) -> None:
    result = told(f"{story}-{name}")

    assert result.outcome == "completed"
    assert result.heights.ordered == 200
    assert result.agreement_failures == 0


@pytest.mark.parametrize(("story", "who"), [("one-drifts", (3,)), ("two-of-seven", (5, 6))])
def test_what_becomes_of_the_minority_is_the_protocols_own_answer(story: str, who: tuple[int, ...]) -> None:
    stays, classic, halts, icp = (told(f"{story}-{name}") for name in PROTOCOLS)

    assert (stays.heights.with_dissent, stays.resyncs, stays.halted_themselves) == (200 - SPLIT + 1, 0, ())
    assert (classic.heights.with_dissent, classic.resyncs) == (5, len(who))  # from 76 to the checkpoint at 80
    assert (halts.halted_themselves, halts.resyncs) == (who, 0)
    assert (icp.heights.with_dissent, icp.resyncs, icp.halted_themselves) == (1, len(who), ())


def test_where_two_halted_proposers_follow_each_other_the_chain_stands_still_for_their_rounds() -> None:
    result = told("two-of-seven-tendermint")

    assert {(stall.cause_code, stall.permanent) for stall in result.stalls} == {("minority-halted", False)}
    assert len(result.stalls) == 17  # once in seven heights from 83 on, when it is their turn
    assert {later.height - stall.height for stall, later in pairwise(result.stalls)} == {7}


def test_two_clients_believe_two_answers_of_honest_replicas() -> None:
    result = told("client-conflict")
    (conflict,) = result.client_conflicts

    assert conflict.height == SPLIT
    assert [side.replicas for side in conflict.sides] == [(0, 1), (2, 3)]
    assert result.forks == ()
    assert heights_of(result) == (96, 96, 64)


def test_what_drifts_and_never_syncs_stops_the_chain_in_the_end() -> None:
    result = told("drift-without-resync")

    assert result.heights == Heights(
        target=600, committed=518, unanimous=190, with_dissent=328, skipped=0, ordered=518, certified=518
    )
    assert result.injected == 2  # one replica at 191, another at 519: no third was needed
    assert result.drift is not None
    assert result.drift.expected_blocks == pytest.approx(583.5, abs=0.5)
