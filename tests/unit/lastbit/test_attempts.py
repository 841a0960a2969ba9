from __future__ import annotations

import pytest
from support.observing import answer, attempt, digest

from consensus.protocol import Block, Pair
from consensus.quorum import QuorumSystem
from lastbit.attempts import Attempt, naturally_divergent

FOUR = QuorumSystem.equal(4)
BLOCK = Block(1, (0,))


def test_three_equal_answers_of_four_are_an_agreement() -> None:
    verdict = attempt({0: "a", 1: "b", 2: "a", 3: "a"}, block=BLOCK).judge(FOUR)

    assert verdict is not None
    assert verdict.agreed
    assert [(line.weight, line.replicas) for line in verdict.ballot] == [(3, (0, 2, 3)), (1, (1,))]


def test_two_against_two_is_an_agreement_failure() -> None:
    verdict = attempt({0: "a", 1: "b", 2: "b", 3: "a"}, block=BLOCK).judge(FOUR)

    assert verdict is not None
    assert not verdict.agreed


def test_three_different_answers_fail_although_the_fourth_replica_said_nothing() -> None:
    verdict = attempt({0: "a", 1: "b", 2: "c"}, block=BLOCK).judge(FOUR)

    assert verdict is not None
    assert not verdict.agreed


def test_too_few_answers_are_no_agreement_failure() -> None:
    verdict = attempt({0: "a", 1: "b"}, block=BLOCK).judge(FOUR)

    assert verdict is not None
    assert not verdict.is_trial


def test_a_leader_that_proposed_two_blocks_has_not_made_arithmetic_fail() -> None:
    split = attempt({0: "a", 1: "a"}, block=BLOCK)
    whole = split.judge(FOUR)
    for replica in (2, 3):
        split.add(replica, Block(1, ()), answer("b"), done_ns=0)
    verdict = split.judge(FOUR)

    assert whole is not None
    assert verdict is not None
    assert not whole.is_split_proposal
    assert verdict.is_split_proposal
    assert not verdict.is_trial


def test_a_byzantine_vote_really_cast_counts_for_the_answer_that_it_names() -> None:
    tried = attempt({0: "a", 1: "a", 2: "b"}, block=BLOCK)
    tried.byzantine[Pair(BLOCK.digest, digest("a"))] = {3}

    verdict = tried.judge(FOUR)

    assert verdict is not None
    assert verdict.agreed
    assert verdict.ballot[0].replicas == (0, 1, 3)


def test_a_byzantine_vote_for_another_block_counts_for_nothing() -> None:
    tried = attempt({0: "a", 1: "a", 2: "b"}, block=BLOCK)
    tried.byzantine[Pair(Block(1, ()).digest, digest("a"))] = {3}

    verdict = tried.judge(FOUR)

    assert verdict is not None
    assert not verdict.agreed


def test_a_replica_that_votes_twice_for_one_answer_weighs_once() -> None:
    tried = attempt({0: "a", 1: "a", 2: "b"}, block=BLOCK)
    tried.byzantine[Pair(BLOCK.digest, digest("a"))] = {2, 3}

    verdict = tried.judge(FOUR)

    assert verdict is not None
    assert [(line.weight, line.replicas) for line in verdict.ballot] == [(4, (0, 1, 2, 3)), (1, (2,))]


def test_weight_and_not_heads_makes_an_agreement() -> None:
    heavy = QuorumSystem((5, 1, 1, 1))  # a quorum weighs 6

    alone = attempt({0: "a", 1: "b", 2: "b", 3: "b"}, block=BLOCK).judge(heavy)
    joined = attempt({0: "a", 1: "a", 2: "b", 3: "b"}, block=BLOCK).judge(heavy)

    assert alone is not None
    assert joined is not None
    assert (alone.agreed, alone.ballot[0].weight) == (False, 5)
    assert (joined.agreed, joined.ballot[0].weight) == (True, 6)


def test_lines_of_equal_weight_stand_by_the_first_of_their_replicas() -> None:
    verdict = attempt({3: "a", 1: "b", 2: "a", 0: "b"}, block=BLOCK).judge(FOUR)

    assert verdict is not None
    assert [line.replicas for line in verdict.ballot] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(("weights", "block"), [((1, 1, 1, 1), BLOCK), ((1, 1, 3, 1), Block(1, ()))])
def test_the_block_that_most_weight_executed_is_judged(weights: tuple[int, ...], block: Block) -> None:
    tried = attempt({0: "a", 1: "a"}, block=BLOCK)
    tried.add(2, Block(1, ()), answer("b"), done_ns=0)

    verdict = tried.judge(QuorumSystem(weights))

    assert verdict is not None
    assert verdict.block == block


def test_where_nobody_honest_executed_there_is_nothing_to_judge() -> None:
    assert Attempt(0).judge(FOUR) is None


def test_a_replica_that_crashed_and_does_it_again_counts_once_with_its_last_answer() -> None:
    tried = attempt({0: "a", 1: "a"}, block=BLOCK)
    tried.add(1, BLOCK, answer("b"), done_ns=5)

    verdict = tried.judge(FOUR)

    assert verdict is not None
    assert [line.replicas for line in verdict.ballot] == [(0,), (1,)]


def test_divergence_is_told_by_the_request_that_split() -> None:
    block = Block(1, (10, 11, 12))
    tried = Attempt(0)
    for replica, third in enumerate(("z", "z", "Z")):
        tried.add(replica, block, answer(third, truths=("x", "y", third)), done_ns=0)

    assert list(naturally_divergent(tried, block)) == [(2, True)]


def test_an_answer_that_the_dial_changed_is_no_natural_divergence() -> None:
    block = Block(1, (10,))
    tried = Attempt(0)
    tried.add(0, block, answer("x"), done_ns=0)
    tried.add(1, block, answer("lie", truths=("y",), marked=(True,)), done_ns=0)

    assert list(naturally_divergent(tried, block)) == []


def test_what_a_replica_voted_before_it_lost_its_memory_still_counts() -> None:
    tried = attempt({0: "a", 1: "a", 2: "a", 3: "b"}, block=BLOCK)
    tried.forget(2)
    tried.add(2, BLOCK, answer("b"), done_ns=9)
    verdict = tried.judge(FOUR)

    assert verdict is not None
    assert verdict.agreed
    assert [line.replicas for line in verdict.ballot] == [(0, 1, 2), (2, 3)]
