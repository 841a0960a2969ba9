"""Quorums of any weights: two always share an honest replica, and the honest can form one. Checked over all subsets."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.ballot import Ballot
from consensus.quorum import QuorumError, QuorumSystem

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple)
FIXED = settings(derandomize=True, deadline=None, max_examples=150, database=None)


def subsets(replicas: range) -> list[frozenset[int]]:
    return [frozenset(some) for size in range(len(replicas) + 1) for some in combinations(replicas, size)]


@FIXED
@given(WEIGHTS)
def test_two_quorums_of_any_weights_share_more_than_may_be_faulty(weights: tuple[int, ...]) -> None:
    system = QuorumSystem(weights)
    quorums = [some for some in subsets(range(system.replicas)) if system.is_quorum(some)]
    assert quorums
    for one in quorums:
        for other in quorums:
            assert system.has_honest(one & other), (one, other)


@FIXED
@given(WEIGHTS)
def test_whoever_is_faulty_the_honest_can_form_a_quorum(weights: tuple[int, ...]) -> None:
    system = QuorumSystem(weights)
    everybody = frozenset(range(system.replicas))
    for faulty in subsets(range(system.replicas)):
        if system.weight_of(faulty) <= system.faulty_weight_max:
            assert system.is_quorum(everybody - faulty)


@FIXED
@given(WEIGHTS, st.integers(0, 30), st.integers(1, 60))
def test_a_threshold_is_accepted_exactly_when_it_is_safe_and_live(
    weights: tuple[int, ...], faulty: int, threshold: int
) -> None:
    total = sum(weights)
    is_sound = 2 * threshold - total > faulty and total - faulty >= threshold
    if is_sound:
        assert QuorumSystem(weights, faulty, threshold).threshold == threshold
    else:
        with pytest.raises(QuorumError):
            QuorumSystem(weights, faulty, threshold)


@FIXED
@given(WEIGHTS)
def test_the_default_threshold_is_the_smallest_that_is_safe(weights: tuple[int, ...]) -> None:
    system = QuorumSystem(weights)
    assert system.faulty_weight_max == max(faulty for faulty in range(system.total) if 3 * faulty < system.total)
    with pytest.raises(QuorumError, match="share as little as"):
        QuorumSystem(weights, system.faulty_weight_max, system.threshold - 1)


@FIXED
@given(WEIGHTS, st.data())
def test_a_ballot_is_closed_exactly_when_no_further_votes_could_certify_a_value(
    weights: tuple[int, ...], data: st.DataObject
) -> None:
    """Brute force: give every value all the missing votes, and a value nobody has named yet too."""
    system = QuorumSystem(weights)
    votes = data.draw(st.dictionaries(st.integers(0, len(weights) - 1), st.sampled_from("abc")))
    ballot: Ballot[str] = Ballot(system)
    for replica, value in votes.items():
        assert ballot.add(replica, value) == (ballot.is_split or ballot.certified is not None)
    missing = set(range(len(weights))) - votes.keys()
    best = max(system.weight_of({r for r, v in votes.items() if v == value} | missing) for value in "abcd")
    assert ballot.is_open == (best >= system.threshold)
    winners = [value for value in "abc" if system.is_quorum(r for r, v in votes.items() if v == value)]
    assert ([ballot.certified] if ballot.certified else []) == winners


@FIXED
@given(WEIGHTS, st.data())
def test_a_ballot_is_what_its_votes_amount_to_however_they_were_counted(
    weights: tuple[int, ...], data: st.DataObject
) -> None:
    quorum = QuorumSystem(weights)
    votes = data.draw(
        st.lists(st.tuples(st.integers(0, quorum.replicas - 1), st.sampled_from(["a", "a", "b", None]), st.booleans()))
    )
    ballot: Ballot[str | None] = Ballot(quorum)
    counted: dict[int, str | None] = {}
    weight: Counter[str | None] = Counter()
    first_certified: str | None = None
    for replica, value, joins in votes:
        told = ballot.join(replica, value) if joins else None
        if told is None:
            told = ballot.add(replica, value)
        is_new, before = replica not in counted, max(weight.values(), default=0)
        if is_new:
            counted[replica] = value
            weight[value] += weights[replica]
        is_complete = is_new and weight[value] >= quorum.threshold
        if is_complete and before < quorum.threshold:
            first_certified = value
        if is_new and (len(weight) > 1 or (is_complete and before < quorum.threshold)):
            assert told  # votes are split, or a quorum is complete
        if not is_new or (len(weight) == 1 and not is_complete):
            assert not told
        assert (ballot.votes, dict(ballot.weight), ballot.certified) == (counted, dict(weight), first_certified)
        assert (ballot.heard, ballot.is_split) == (sum(weight.values()), len(weight) > 1)
        assert ballot.is_open == (max(weight.values()) + quorum.total - sum(weight.values()) >= quorum.threshold)
        for each in ("a", "b", None):
            assert ballot.voters(each) == tuple(sorted(who for who, vote in counted.items() if vote == each))
        assert deepcopy(ballot) == ballot
