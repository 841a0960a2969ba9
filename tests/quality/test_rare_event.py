"""Is the one prompt in ten thousand really found, and is what follows from it what the policy says?"""

from __future__ import annotations

import pytest
from support.scenarios import noisy, scenario

import lastbit
from lastbit.scenario import load_scenario
from replicas.dial import Dial, Marks
from simcore.streams import Streams

# Seeds of the demo at which its event comes early enough to be waited for, and where the dial says that it comes.
EARLY = {132: 6, 46: 26, 123: 382}


def marked_heights(seed: int, *, rate: float, blocks: int) -> list[int]:
    marks = Marks(Dial(rate=rate), Streams(seed), replicas=4)
    return [request + 1 for request in range(blocks) if marks.wrong_answer_index(request, 0, 0) is not None]


@pytest.mark.parametrize(("seed", "height"), EARLY.items())
def test_the_demo_stalls_at_the_very_prompt_that_was_marked(seed: int, height: int) -> None:
    result = lastbit.run("one-in-ten-thousand", seed=seed)

    assert marked_heights(seed, rate=1e-4, blocks=height) == [height]
    assert (result.outcome, result.exit_code) == ("stalled", 0)
    assert result.stalls[-1].height == result.first_failure_height == height
    assert result.heights.committed == height - 1


def test_the_demo_as_bundled_stalls_where_its_seed_says() -> None:
    story = load_scenario("one-in-ten-thousand")
    assert story.divergence is not None

    (first, *_) = marked_heights(story.seed, rate=story.divergence.rate, blocks=story.chain.blocks)

    assert 5_000 < first < 40_000  # late enough to make the point, early enough to be waited for


def test_every_marked_block_is_found_and_no_other() -> None:
    story = scenario({"blocks": 1_000, "policy": "skip"}, inputs=noisy(), divergence={"rate": 0.01}, seed=3)
    result = lastbit.run(story)

    assert [failure.height for failure in result.failures] == marked_heights(3, rate=0.01, blocks=1_000)
    assert result.agreement_failures == len(result.failures) > 3


def test_a_transient_difference_is_healed_by_trying_again_and_a_persistent_one_is_not() -> None:
    chain = {"blocks": 200, "policy": "retry"}
    dial = {"rate": 0.05}
    healed = lastbit.run(scenario(chain, divergence=dial | {"duration": "transient"}))
    stuck = lastbit.run(scenario(chain, divergence=dial | {"duration": "persistent"}))

    assert healed.outcome == "completed"
    assert healed.agreement_failures > 0
    assert healed.retries >= healed.agreement_failures
    assert (stuck.outcome, stuck.stalls[-1].cause_code) == ("stalled", "split-ballot")
    assert stuck.retries > 50
    assert stuck.heights.committed == (stuck.first_failure_height or 0) - 1


def test_who_voted_what_is_shown_to_the_last_bit() -> None:
    (failure,) = lastbit.run("one-in-ten-thousand", seed=132).failures

    assert [(answer.weight, answer.replicas) for answer in failure.ballot] == [(1, (each,)) for each in range(4)]
    difference = failure.first_difference
    assert difference is not None
    assert [value.digest for value in difference.values] == [answer.digest for answer in failure.ballot]
    assert len({value.hex for value in difference.values}) == 4
    assert difference.steps == 3  # wrong answer j lies j + 1 steps from the truth


def test_heights_that_a_pipeline_had_begun_do_not_count_towards_the_first_failure() -> None:
    story = scenario({"blocks": 500, "policy": "halt", "pipeline": 8}, divergence={"rate": 0.05}, seed=1)
    result = lastbit.run(story)
    (first, *_) = marked_heights(1, rate=0.05, blocks=500)

    assert result.outcome == "stalled"
    assert result.first_failure_height == result.rate.trials == first
    assert result.rate.failures == 1


def test_what_the_report_asks_for_itself_is_no_inference_of_the_run() -> None:
    result = lastbit.run("one-in-ten-thousand", seed=132)

    assert result.inferences.asked == 4 * 6
    assert result.inferences.run == 6


def test_a_run_that_its_first_failure_ends_has_one_interval_whatever_the_policy_is_called() -> None:
    dial = {"rate": 0.01}
    rates = [lastbit.run(scenario({"policy": it, "blocks": 500}, divergence=dial)).rate for it in ("halt", "retry")]

    assert rates[0] == rates[1]
    assert rates[0].failures == 1


def test_the_first_difference_is_that_of_the_request_that_split_the_vote() -> None:
    dial = {"rate": 0.05}
    label = {"name": "digits-mlp", "form": "top1"}
    several = {"policy": "skip", "blocks": 60, "requests_per_block": 4}
    result = lastbit.run(scenario(several, model=label, inputs=noisy(), divergence=dial))
    marks = Marks(Dial(rate=0.05), Streams(0), replicas=4)

    differences = [failure.first_difference for failure in result.failures]
    assert len(differences) > 3
    for found in differences:
        assert found is not None
        assert marks.wrong_answer_index(found.request, 0, 0) is not None
        assert len({value.hex for value in found.values}) == 4  # four labels
