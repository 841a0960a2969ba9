"""Votes by round and type: what they amount to, when it is told, and what is kept of who says two things."""

from __future__ import annotations

import pytest

from consensus.tendermint.messages import Precommit, Prevote, Vote
from consensus.tendermint.vote_keeper import (
    EVIDENCE_MAX,
    RECEIVED_MAX,
    Tally,
    Threshold,
    VoteKeeper,
    two_thirds,
)

A, B = b"a", b"b"


class Told:
    """A keeper, and what it told of each vote."""

    def __init__(self, *weights: int) -> None:
        self.keeper = VoteKeeper(two_thirds(weights))

    def add(self, validator: int, value: bytes | None, *, kind: type[Vote] = Prevote, round_: int = 0, at: int = 0):  # type: ignore[no-untyped-def]
        return self.keeper.add(kind(validator, 1, round_, value), current_round=at)


@pytest.mark.parametrize("total", range(1, 200))
def test_a_quorum_is_the_smallest_weight_above_two_thirds(total: int) -> None:
    threshold = two_thirds((1,) * total).threshold
    assert 3 * threshold > 2 * total >= 3 * (threshold - 1)


@pytest.mark.parametrize(
    ("kind", "value", "tally"),
    [
        (Prevote, A, Threshold(Tally.POLKA_VALUE, 0, A)),
        (Prevote, None, Threshold(Tally.POLKA_NIL, 0)),
        (Precommit, A, Threshold(Tally.PRECOMMIT_VALUE, 0, A)),
        (Precommit, None, Threshold(Tally.PRECOMMIT_ANY, 0)),
    ],
)
def test_two_thirds_for_one_value_are_told_once(kind: type[Vote], value: bytes | None, tally: Threshold) -> None:
    told = Told(1, 1, 1, 1)
    assert [told.add(validator, value, kind=kind) for validator in range(4)] == [None, None, tally, None]


@pytest.mark.parametrize(("kind", "tally"), [(Prevote, Tally.POLKA_ANY), (Precommit, Tally.PRECOMMIT_ANY)])
def test_two_thirds_that_disagree_are_told_and_what_they_agree_on_later_too(kind: type[Vote], tally: Tally) -> None:
    told = Told(1, 1, 1, 1)
    values = [A, B, A, A]
    found = [told.add(validator, value, kind=kind) for validator, value in enumerate(values)]
    one = Tally.POLKA_VALUE if kind is Prevote else Tally.PRECOMMIT_VALUE
    assert found == [None, None, Threshold(tally, 0), Threshold(one, 0, A)]


def test_exactly_two_thirds_are_not_enough_and_weight_counts_not_heads() -> None:
    assert [Told(20, 10).add(0, A)] == [None]
    told = Told(20, 8, 1, 1)
    assert [told.add(voter, A) for voter in (0, 2)] == [None, Threshold(Tally.POLKA_VALUE, 0, A)]


def test_prevotes_precommits_and_rounds_are_counted_apart() -> None:
    told = Told(1, 1, 1, 1)
    assert [told.add(0, A), told.add(1, A), told.add(2, A, kind=Precommit), told.add(2, A, round_=1, at=1)] == [
        None
    ] * 4


def test_more_than_a_third_in_a_later_round_are_told_each_time_and_before_anything_else() -> None:
    told = Told(1, 1, 1)
    skip = Threshold(Tally.SKIP, 4)
    assert told.add(0, A, round_=4) is None, "exactly a third"
    assert told.add(1, B, kind=Precommit, round_=4) == skip
    assert told.add(2, A, round_=4) == skip
    assert told.add(1, A, round_=4) == skip, "a polka, and yet the round is to begin first"
    assert told.add(1, A, round_=4, at=4) == Threshold(Tally.POLKA_VALUE, 4, A), "not told before"
    assert told.keeper.rounds[4].emitted == (skip, Threshold(Tally.POLKA_VALUE, 4, A))


def test_one_validator_that_says_much_in_a_later_round_is_no_third() -> None:
    told = Told(1, 1, 1, 1)
    assert [told.add(0, value, kind=kind, round_=4) for kind in (Prevote, Precommit) for value in (A, B, None)] == [
        None
    ] * 6


def test_a_second_vote_is_not_counted_but_kept_as_evidence() -> None:
    told = Told(1, 1, 1, 1)
    told.add(0, A)
    told.add(0, B)
    told.add(0, B)
    told.add(1, B)
    assert told.add(2, B) == Threshold(Tally.POLKA_ANY, 0), "two for B, and not three"
    first, second = Prevote(0, 1, 0, A), Prevote(0, 1, 0, B)
    assert told.keeper.evidence == [(first, second)]
    assert told.keeper.rounds[0].contradicting == (second,)


def test_votes_of_two_types_or_rounds_are_no_equivocation() -> None:
    told = Told(1, 1, 1, 1)
    told.add(0, A)
    told.add(0, B, kind=Precommit)
    told.add(0, B, round_=1, at=1)
    told.add(0, A)
    assert told.keeper.evidence == []


def test_who_never_stops_contradicting_itself_fills_no_memory() -> None:
    told = Told(1, 1, 1, 1)
    for round_ in range(2 * EVIDENCE_MAX):
        for number in range(2 * RECEIVED_MAX):
            told.add(0, b"%d" % number, round_=round_, at=round_)
    assert len(told.keeper.evidence) == EVIDENCE_MAX
    assert {len(votes.contradicting) for votes in told.keeper.rounds.values()} == {RECEIVED_MAX - 1}
