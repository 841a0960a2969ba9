from __future__ import annotations

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
    assert attempt({0: "a", 1: "b"}, block=BLOCK).judge(FOUR) is None


def test_a_leader_that_proposed_two_blocks_has_not_made_arithmetic_fail() -> None:
    split = attempt({0: "a", 1: "a"}, block=BLOCK)
    other = attempt({2: "b", 3: "b"}, block=Block(1, ()))
    split.blocks |= other.blocks
    split.answers |= other.answers

    assert split.judge(FOUR) is None
    assert split.is_split
    assert not other.is_split


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

    ballot = tried.ballot(BLOCK, FOUR)

    assert [(line.weight, line.replicas) for line in ballot] == [(4, (0, 1, 2, 3)), (1, (2,))]


def test_weight_and_not_heads_makes_an_agreement() -> None:
    heavy = QuorumSystem((5, 1, 1, 1))  # a quorum weighs 6

    alone = attempt({0: "a", 1: "b", 2: "b", 3: "b"}, block=BLOCK).judge(heavy)
    joined = attempt({0: "a", 1: "a", 2: "b", 3: "b"}, block=BLOCK).judge(heavy)

    assert alone is not None
    assert joined is not None
    assert (alone.agreed, alone.ballot[0].weight) == (False, 5)
    assert (joined.agreed, joined.ballot[0].weight) == (True, 6)


def test_lines_of_equal_weight_stand_by_the_first_of_their_replicas() -> None:
    ballot = attempt({3: "a", 1: "b", 2: "a", 0: "b"}, block=BLOCK).ballot(BLOCK, FOUR)

    assert [line.replicas for line in ballot] == [(0, 1), (2, 3)]


def test_the_likeliest_block_is_the_one_that_most_weight_executed() -> None:
    tried = attempt({0: "a", 1: "a"}, block=BLOCK)
    tried.blocks[2], tried.answers[2] = Block(1, ()), answer("b")

    assert tried.likeliest_block(QuorumSystem.equal(4)) == BLOCK
    assert tried.likeliest_block(QuorumSystem((1, 1, 3, 1))) == Block(1, ())
    assert Attempt(0).likeliest_block(FOUR) is None


def test_divergence_is_told_by_the_request_that_split() -> None:
    block = Block(1, (10, 11, 12))
    tried = Attempt(0, blocks=dict.fromkeys(range(3), block))
    for replica, third in enumerate(("z", "z", "Z")):
        tried.answers[replica] = answer(third, truths=("x", "y", third))

    assert list(naturally_divergent(tried, block)) == [(2, True)]


def test_an_answer_that_the_dial_changed_is_no_natural_divergence() -> None:
    block = Block(1, (10,))
    tried = Attempt(0, blocks=dict.fromkeys(range(2), block))
    tried.answers[0] = answer("x")
    tried.answers[1] = answer("lie", truths=("y",), marked=(True,))

    assert list(naturally_divergent(tried, block)) == []
