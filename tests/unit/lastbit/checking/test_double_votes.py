"""No honest replica says two things in one ballot."""

from __future__ import annotations

import pytest
from support.checked import BLOCK, OUTPUT, Checked
from support.observing import digest

from consensus.icp.messages import CertificationShare, FinalizationShare, NotarizationShare
from consensus.pbft.messages import Checkpoint, Commit, Prepare, PrePrepare, Sync
from consensus.protocol import Block, Pair
from consensus.tendermint.messages import Precommit, Prevote
from consensus.tendermint.messages import Sync as TendermintSync

PAIR, OTHER = Pair(BLOCK.digest, OUTPUT), Pair(BLOCK.digest, digest("b"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Prepare(1, 0, 1, PAIR), Prepare(1, 0, 1, OTHER)),
        (Commit(1, 0, 1, PAIR), Commit(1, 0, 1, OTHER)),
        (PrePrepare(1, 1, BLOCK), PrePrepare(1, 1, Block(1, ()))),
        (Checkpoint(1, 16, digest("x")), Checkpoint(1, 16, digest("y"))),
    ],
)
def test_two_values_in_one_ballot_are_a_double_vote(first: object, second: object) -> None:
    checked = Checked()
    checked.send(first)
    assert checked.kinds == []
    checked.send(second)

    (found,) = checked.checkers.violations.seen
    assert (found.kind, found.replicas, found.at_ns) == ("double-vote", (1,), 7)


def test_the_sentence_names_replica_ballot_and_view() -> None:
    checked = Checked()
    checked.send(Commit(1, 3, 1, PAIR), Commit(1, 3, 1, OTHER))

    assert checked.sentences == ["replica 1 voted for two values in ballot 'commit' of view 3"]


def test_the_same_vote_again_and_votes_of_other_views_heights_and_replicas_are_none() -> None:
    checked = Checked()
    checked.send(Commit(1, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Commit(1, 1, 1, OTHER), Commit(1, 0, 2, OTHER))
    checked.send(Commit(2, 0, 1, OTHER), Prepare(1, 0, 1, OTHER))

    assert checked.kinds == []


def test_the_faulty_may_say_what_they_like() -> None:
    checked = Checked(honest=3)
    checked.send(Commit(3, 0, 1, PAIR), Commit(3, 0, 1, OTHER))

    assert checked.kinds == []


def test_what_a_replica_hands_on_is_the_word_of_others() -> None:
    checked = Checked("tendermint")
    mine, theirs = Prevote(1, 1, 0, digest("x")), Prevote(2, 1, 0, digest("y"))
    checked.send(mine, TendermintSync(1, (), (mine, theirs)))
    checked.checkers.sent(1, theirs)

    assert checked.kinds == []


def test_what_a_replica_tells_again_must_be_what_it_said() -> None:
    checked = Checked()
    checked.send(Commit(1, 0, 1, PAIR), Sync(1, 0, None, (), None, (Commit(1, 0, 1, OTHER),)))

    assert checked.kinds == ["double-vote"]


def test_nil_is_a_value_too() -> None:
    checked = Checked("tendermint")
    checked.send(Precommit(1, 1, 0, None), Precommit(1, 1, 0, digest("x")))

    assert checked.kinds == ["double-vote"]


def test_icc_lets_a_replica_notarize_blocks_of_several_ranks_and_finalize_one() -> None:
    checked = Checked("icp")
    checked.send(NotarizationShare(1, 1, 0, digest("x")), NotarizationShare(1, 1, 1, digest("y")))
    assert checked.kinds == []

    checked.send(NotarizationShare(1, 1, 1, digest("z")))
    assert checked.kinds == ["double-vote"]

    checked.send(FinalizationShare(1, 1, digest("x")), FinalizationShare(1, 1, digest("y")))
    checked.send(CertificationShare(1, 1, digest("a")), CertificationShare(1, 1, digest("b")))
    assert checked.kinds == ["double-vote"] * 3


def test_who_lost_its_memory_cannot_know_what_it_said() -> None:
    checked = Checked()
    checked.send(Commit(1, 0, 1, PAIR), Commit(2, 0, 1, PAIR))
    checked.checkers.forgot(1)
    checked.send(Commit(1, 0, 1, OTHER))
    assert checked.kinds == []

    checked.send(Commit(2, 0, 1, OTHER))
    assert checked.kinds == ["double-vote"]


def test_the_first_hundred_are_kept() -> None:
    checked = Checked()
    for height in range(1, 200):
        checked.send(Commit(1, 0, height, PAIR), Commit(1, 0, height, OTHER))

    assert len(checked.kinds) == 100
