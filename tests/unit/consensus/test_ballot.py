from __future__ import annotations

from copy import deepcopy

import pytest

from consensus.ballot import Ballot
from consensus.quorum import QuorumSystem


def ballot_of(*votes: str, weights: tuple[int, ...] = (1, 1, 1, 1)) -> Ballot[str]:
    ballot: Ballot[str] = Ballot(QuorumSystem(weights))
    for replica, value in enumerate(votes):
        ballot.add(replica, value)
    return ballot


def test_a_value_is_certified_by_the_vote_that_completes_a_quorum_and_not_before() -> None:
    assert ballot_of("a", "a").certified is None
    assert ballot_of("a", "a", "a").certified == "a"


def test_the_first_vote_of_a_replica_counts_and_a_second_for_another_value_does_not() -> None:
    ballot = ballot_of("a", "a")
    assert not ballot.add(1, "b")
    assert (ballot.votes, ballot.weight, ballot.is_split) == ({0: "a", 1: "a"}, {"a": 2}, False)


def test_the_same_vote_again_is_not_counted() -> None:
    ballot = ballot_of("a", "a")
    assert not ballot.add(1, "a")
    assert ballot.certified is None


def test_equivocation_cannot_reopen_or_certify_a_ballot() -> None:
    ballot = ballot_of("a", "b", "c")
    ballot.add(1, "a")
    ballot.add(2, "a")
    assert not ballot.is_open
    assert ballot.certified is None


def test_a_certified_value_stays_certified_whatever_comes_later() -> None:
    ballot = ballot_of("a", "a", "a", "b")
    assert ballot.certified == "a"
    assert ballot.voters("a") == (0, 1, 2)


def test_the_value_certified_first_stays_it_even_where_quorums_share_nobody() -> None:
    lax = QuorumSystem.equal(4)
    object.__setattr__(lax, "threshold", 2)  # its own constructor refuses that
    ballot: Ballot[str] = Ballot(lax)
    for replica, value in enumerate("abab"):
        ballot.add(replica, value)
    assert ballot.certified == "a"


def test_an_even_split_is_closed_while_one_vote_short_stays_open() -> None:
    assert not ballot_of("a", "a", "b", "b").is_open
    assert ballot_of("a", "b").is_open
    assert not ballot_of("a", "b", "c").is_open


def test_weight_decides_and_not_heads() -> None:
    assert ballot_of("a", "b", "b", "b", weights=(5, 1, 1, 1)).certified is None
    assert ballot_of("a", "a", weights=(5, 1, 1, 1)).certified == "a"


def test_ballots_are_equal_when_the_same_votes_were_counted() -> None:
    ballot = ballot_of("a", "b")
    twin = deepcopy(ballot)
    assert twin == ballot
    twin.add(2, "a")
    assert twin != ballot
    ballot.add(2, "a")
    assert twin == ballot
    assert ballot != "a ballot"


def test_a_vote_that_joins_those_before_it_tells_whether_a_quorum_is_complete_with_it() -> None:
    ballot = ballot_of()
    assert [ballot.join(replica, "a") for replica in range(4)] == [False, False, True, False]
    assert (ballot.certified, ballot.heard) == ("a", 4)


@pytest.mark.parametrize("value", ["a", "b"])
def test_a_second_vote_of_a_replica_joins_nothing(value: str) -> None:
    ballot = ballot_of("a")
    assert ballot.join(0, value) is None
    assert (ballot.votes, ballot.heard) == ({0: "a"}, 1)


def test_a_vote_for_another_value_joins_nothing_and_once_votes_are_split_none_does() -> None:
    ballot = ballot_of("a")
    assert ballot.join(1, "b") is None
    assert ballot.votes == {0: "a"}
    ballot.add(1, "b")
    assert [ballot.join(2, "a"), ballot.join(2, "b")] == [None, None]
    assert (ballot.votes, ballot.heard) == ({0: "a", 1: "b"}, 2)


def test_who_is_a_quorum_alone_completes_one() -> None:
    assert Ballot[str](QuorumSystem.equal(1)).join(0, "a") is True
