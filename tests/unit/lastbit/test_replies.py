from __future__ import annotations

import pytest

from consensus.quorum import QuorumSystem
from lastbit.replies import CONFLICTS_KEPT_MAX, ConflictSeen, Replies


def replied(said: dict[int, str], quorum: QuorumSystem | None = None) -> Replies:
    replies = Replies(quorum or QuorumSystem.equal(4))
    for replica, output in said.items():
        replies.add(replica, 1, output.encode(), now_ns=10 + replica)
    return replies


def test_two_answers_with_an_honest_replica_behind_each_are_a_conflict() -> None:
    (conflict,) = replied({0: "a", 1: "b", 2: "b", 3: "a"}).conflicts

    assert conflict == ConflictSeen(height=1, at_ns=13, sides=((b"a", (0, 3)), (b"b", (1, 2))))


@pytest.mark.parametrize("said", ["aaaa", "aaab", "abcd", "aabc"])
def test_one_believable_answer_is_no_conflict(said: str) -> None:
    assert replied(dict(enumerate(said))).conflicts_count == 0


def test_a_replica_that_tells_its_answer_twice_counts_once() -> None:
    replies = replied({0: "a", 1: "b", 2: "b"})
    replies.add(0, 1, b"a", now_ns=20)

    assert replies.conflicts == []


def test_more_replies_to_a_block_in_conflict_add_none() -> None:
    replies = replied(dict(enumerate("aabbaabbcc")), QuorumSystem.equal(10, faulty_max=1))

    assert replies.conflicts_count == 1


def test_a_heavy_replica_is_believed_alone_where_it_outweighs_the_faulty() -> None:
    weights = QuorumSystem((3, 1, 1, 1, 1), 2)

    assert replied({0: "a", 1: "b", 2: "b"}, weights).conflicts == []
    assert replied({0: "a", 1: "b", 2: "b", 3: "b"}, weights).conflicts_count == 1


def test_heights_are_counted_apart_and_forgotten() -> None:
    replies = replied({0: "a", 1: "a", 2: "b"})
    replies.add(3, 2, b"b", now_ns=20)
    assert replies.conflicts == []

    replies.forget(1)
    replies.add(3, 1, b"b", now_ns=20)
    assert replies.conflicts == []


def test_the_first_hundred_conflicts_are_kept_and_all_are_counted() -> None:
    replies = Replies(QuorumSystem.equal(4))
    for height in range(1, CONFLICTS_KEPT_MAX + 11):
        for replica, output in enumerate((b"a", b"a", b"b", b"b")):
            replies.add(replica, height, output, now_ns=height)

    assert replies.conflicts_count == CONFLICTS_KEPT_MAX + 10
    assert [each.height for each in replies.conflicts] == list(range(1, CONFLICTS_KEPT_MAX + 1))
