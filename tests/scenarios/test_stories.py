"""Each bundled story, shortened: does it happen as it is told?"""

from __future__ import annotations

import pytest
from support import stories
from support.stories import told

from lastbit import resources
from lastbit.result import from_json, to_json


def test_every_bundled_scenario_is_told_here() -> None:
    assert sorted(stories.SHORTENED) == sorted(resources.scenario_names())


@pytest.mark.parametrize("name", sorted(stories.SHORTENED))
def test_the_digest_is_the_one_recorded_on_this_class_of_machine(name: str) -> None:
    golden = stories.golden_digests()
    if golden is None:
        pytest.skip(f"no digests were recorded on {stories.machine_class()}; all but the digest is checked")

    assert told(name).trace_digest == golden[name]


@pytest.mark.parametrize("name", sorted(stories.SHORTENED))
def test_the_figures_of_a_story_fit_together(name: str) -> None:
    result = told(name)
    heights = result.heights

    parts = (heights.unanimous, heights.with_dissent, heights.skipped, heights.uncertified)
    assert heights.committed == sum(parts)
    assert heights.certified <= heights.ordered
    assert result.forks == ()
    assert result.rate.trials <= heights.committed + 1
    assert result.rate.failures in (1, result.agreement_failures)  # a first failure that ends the chain ends the count
    assert result.agreement_failures + result.retries >= len(result.failures)
    assert result.inferences.run <= result.inferences.asked
    assert from_json(to_json(result)) == result


@pytest.mark.parametrize("name", sorted(stories.SHORTENED))
def test_a_story_ends_as_it_expects(name: str) -> None:
    assert told(name).as_expected
    assert told(name).exit_code == 0


def test_equal_replicas_agree_on_every_block() -> None:
    result = told("all-equal")

    assert result.heights.unanimous == 100
    assert (result.agreement_failures, result.natural_divergence, result.view_changes) == (0, 0, 0)
    assert result.inferences.asked == 4 * 100
    assert result.inferences.run <= 100


def test_one_marked_prompt_ends_the_chain_under_halt() -> None:
    result = told("one-in-ten-thousand")
    (stall,), (failure,) = result.stalls, result.failures

    assert result.as_expected
    assert (result.outcome, stall.permanent, stall.cause_code) == ("stalled", True, "split-ballot")
    assert stall.height == failure.height == result.first_failure_height == 298
    assert result.heights.committed == result.heights.unanimous == 297
    assert [answer.replicas for answer in stall.ballot] == [(0,), (1,), (2,), (3,)]
    assert (result.injected, result.injected_changed, result.natural_divergence) == (4, 4, 0)
    assert result.rate.low < 1e-4 < result.rate.high
    assert result.first_failure_height == result.rate.trials


def test_a_second_try_heals_what_does_not_last() -> None:
    result = told("one-in-ten-thousand-retry")

    assert result.heights.unanimous == 320
    assert (result.agreement_failures, result.retries, result.view_changes) == (1, 1, 1)
    assert result.stalls == ()


def test_trying_again_does_not_help_replicas_that_always_differ() -> None:
    result = told("one-in-ten-thousand-retry-persistent")
    (stall,) = result.stalls

    assert (stall.height, stall.cause_code, stall.permanent) == (298, "split-ballot", True)
    assert result.agreement_failures == 1
    assert result.retries > 50
    assert result.view_changes >= result.retries
    assert {failure.height for failure in result.failures} == {298}
    assert [failure.attempt for failure in result.failures] == list(range(100))


def test_a_block_is_as_fragile_as_all_its_requests_together() -> None:
    result = told("several-requests")
    (stall,) = result.stalls

    assert stall.height == -(-298 // 8)  # the block that holds the marked request
    assert result.inferences.asked == 4 * 8 * stall.height
    assert result.prediction is not None
    assert result.prediction.agreement_failure_probability == pytest.approx(8e-4, rel=1e-3)


def test_a_replica_that_is_wrong_alone_stalls_nobody() -> None:
    result = told("per-replica")

    assert result.outcome == "completed"
    assert result.agreement_failures == 0
    assert result.prediction is not None
    assert result.prediction.agreement_failure_probability == pytest.approx(5.999e-8, rel=1e-3)


def test_two_camps_skip_the_block_that_splits_them() -> None:
    result = told("shared-answers")

    assert (result.n, result.quorum) == (7, 5)
    assert result.first_failure_height == 251
    assert result.heights.skipped == result.agreement_failures == 1
    assert len(result.failures[0].ballot) == 2


def test_four_thread_counts_give_four_answers() -> None:
    result = told("forest-threads")

    assert result.agreement_failures >= 0.9 * result.rate.trials
    assert result.heights.skipped == result.agreement_failures
    assert result.injected == 0
    assert result.natural_divergence > 140
    assert all(replica.against is None or replica.against.differing > 100 for replica in result.replicas)


def test_the_label_survives_nearly_always_what_the_bytes_do_not() -> None:
    result = told("forest-threads-top1")

    assert result.heights.committed == 800
    assert result.agreement_failures <= 5
    assert result.inferences.run > 3 * 800  # four engines, noisy images


def test_an_order_drawn_on_each_run_splits_bytes_and_not_labels() -> None:
    on_bytes, on_labels = told("gpu-order"), told("gpu-order-top1")

    assert on_bytes.agreement_failures > 50
    assert on_labels.agreement_failures == 0
    assert on_bytes.prediction is None
    assert on_bytes.reason is not None
    assert "diverge by themselves" in on_bytes.reason


def test_a_leader_that_says_two_things_is_replaced_and_no_arithmetic_is_blamed() -> None:
    result = told("byzantine-leader")

    assert result.view_changes >= 1
    assert (result.agreement_failures, result.failures) == (0, ())
    assert result.heights.committed == 60


def test_too_many_silent_stall_for_what_it_is() -> None:
    result = told("too-many-silent")
    (stall,) = result.stalls

    assert (stall.height, stall.cause_code) == (1, "no-quorum-alive")
    assert stall.cause == "no quorum alive: 2 of 4 speak, 3 are needed (replicas 2, 3 silent)"
    assert stall.silent == (2, 3)
    assert result.agreement_failures == 0
