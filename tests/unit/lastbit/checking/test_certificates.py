"""Certificates hold a quorum of votes that were really cast."""

from __future__ import annotations

from typing import Any

import pytest
from support.checked import BLOCK, OUTPUT, Checked, decision
from support.observing import digest

from consensus.icp.messages import GENESIS, CatchUpShare, CertificationShare, FinalizationShare, TreeBlock
from consensus.icp.messages import Proposal as IcpProposal
from consensus.pbft.messages import Checkpoint, Commit, Prepare
from consensus.pbft_classic.messages import Commit as BlockCommit
from consensus.pbft_classic.messages import Snapshot
from consensus.protocol import Adopt, Block, Certify, Pair
from consensus.tendermint.messages import GENESIS as ORIGIN
from consensus.tendermint.messages import NO_OUTPUT, Precommit, Prevote, Proposal, Value

PAIR, NEXT = Pair(BLOCK.digest, OUTPUT), Block(2, (1,))
HEADER, NEXT_HEADER = Value(BLOCK, NO_OUTPUT, ORIGIN), Value(NEXT, OUTPUT, ORIGIN)
TREE = TreeBlock(BLOCK, 0, 0, GENESIS)
NEXT_TREE = TreeBlock(NEXT, 0, 0, TREE.id)


def false(checked: Checked) -> list[str]:
    """What certificates were found out; other checkers may have something to say as well."""
    return [each.what for each in checked.checkers.violations.seen if each.kind == "false-certificate"]


def committed(*replicas: int, view: int = 0, pair: Pair = PAIR) -> Checked:
    checked = Checked()
    checked.send(*(Commit(replica, view, 1, pair) for replica in replicas))
    return checked


def test_a_decision_on_votes_that_were_cast_is_good() -> None:
    checked = committed(0, 1, 2)
    checked.checkers.decided(3, decision())

    assert false(checked) == []


def test_a_decision_on_too_few_votes_is_found() -> None:
    checked = committed(0, 1, 2)
    checked.checkers.decided(3, decision(voters=(0, 1)))
    checked.checkers.decided(2, decision(voters=(0, 1)))

    assert false(checked) == [f"replica {each} decided on votes of weight 2; a quorum is 3" for each in (3, 2)]


def test_who_decides_like_the_last_is_judged_as_well() -> None:
    checked = committed(0, 1, 2)
    for claim in (decision(), decision(voters=(0, 1)), decision(), decision(output=digest("b")), decision(view=1)):
        checked.checkers.decided(3, claim)

    assert false(checked) == [
        "replica 3 decided on votes of weight 2; a quorum is 3",
        *["replica 3 decided on votes that were not cast: those of 0, 1, 2"] * 2,
    ]


def test_naming_a_voter_twice_makes_no_quorum() -> None:
    checked = committed(0, 1)
    checked.checkers.decided(3, decision(voters=(0, 1, 1)))

    assert len(false(checked)) == 1


@pytest.mark.parametrize(
    "votes",
    [
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR)],
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Commit(2, 1, 1, PAIR)],
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Commit(2, 0, 2, PAIR)],
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Prepare(2, 0, 1, PAIR)],
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Commit(2, 0, 1, Pair(BLOCK.digest, digest("b")))],
        [Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Commit(2, 0, 1, Pair(NEXT.digest, OUTPUT))],
    ],
    ids=["none", "in another view", "at another height", "a prepare", "for another output", "for another block"],
)
def test_a_voter_whose_vote_was_another_or_none_is_found(votes: list[Commit]) -> None:
    checked = Checked()
    checked.send(*votes)
    checked.checkers.decided(3, decision())

    assert false(checked) == ["replica 3 decided on votes that were not cast: those of 2"]


def test_a_faulty_replica_that_never_spoke_cannot_be_named() -> None:
    checked = Checked(honest=2)
    checked.send(Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR))
    checked.checkers.decided(0, decision())

    assert len(false(checked)) == 1


def test_a_faulty_replica_that_spoke_may_have_signed_something_else_for_itself() -> None:
    checked = Checked(honest=2)
    checked.send(Commit(0, 0, 1, PAIR), Commit(1, 0, 1, PAIR), Prepare(2, 0, 1, PAIR))
    checked.checkers.decided(0, decision())

    assert false(checked) == []


def test_a_state_that_is_taken_over_needs_the_checkpoint_votes_of_a_quorum() -> None:
    checked = Checked()
    checked.send(*(Checkpoint(replica, 16, digest("x")) for replica in (0, 1)))
    checked.checkers.adopted(3, Adopt(16, digest("x")))
    assert false(checked) == ["replica 3 took over a state that no quorum vouched for"]

    checked.send(Checkpoint(2, 16, digest("x")))
    checked.checkers.adopted(3, Adopt(16, digest("x")))
    assert len(false(checked)) == 1
    checked.checkers.adopted(3, Adopt(16, digest("y")))
    assert len(false(checked)) == 2


def test_votes_are_remembered_for_those_who_come_late_and_then_forgotten() -> None:
    checked = committed(0, 1, 2)
    checked.checkers.forget(64)
    checked.checkers.decided(3, decision())
    assert false(checked) == []
    checked.checkers.decided(3, decision(voters=(0, 1, 3)))
    assert len(false(checked)) == 1

    checked.checkers.forget(65)
    checked.checkers.decided(3, decision(voters=(0, 1, 3)))
    assert len(false(checked)) == 1
    assert not checked.checkers._seen._heights


def test_memory_is_bounded_by_what_is_open() -> None:
    checked = Checked()
    for height in range(1, 1_000):
        block = Block(height, (height - 1,))
        checked.send(*(Commit(replica, 0, height, Pair(block.digest, OUTPUT)) for replica in range(4)))
        checked.checkers.executed(block, OUTPUT)
        checked.checkers.decided(0, decision(block))
        checked.checkers.forget(height)

    assert checked.kinds == []
    seen, outputs = checked.checkers._seen, checked.checkers._outputs
    assert len(seen._heights) == len(seen._keys) == len(outputs._computed) == 64
    assert sum(len(kind.known) for kind in seen._kinds.values()) == 64


# --- what votes mean in each protocol -------------------------------------------------------------------------

SNAPSHOT, OTHER = Snapshot(digest("chain"), digest("execution"), OUTPUT), Snapshot(b"", b"", digest("b"))
RIVAL = Value(Block(1, ()), NO_OUTPUT, ORIGIN)
PROPOSED = [Proposal(0, 1, RIVAL, -1, ()), Proposal(0, 0, HEADER, -1, ()), Proposal(1, 0, NEXT_HEADER, -1, ())]
MADE = [IcpProposal(0, TREE, None), IcpProposal(0, NEXT_TREE, None)]


def by(replicas: tuple[int, ...], message: type, *content: Any) -> list[Any]:
    """The same vote of several replicas."""
    return [message(replica, *content) for replica in replicas]


THREE = (0, 1, 2)


@pytest.mark.parametrize(
    ("protocol", "votes", "claim", "is_good"),
    [
        ("pbft-classic", by(THREE, BlockCommit, 0, 1, BLOCK.digest), decision(output=b""), True),
        ("pbft-classic", by(THREE, BlockCommit, 0, 1, NEXT.digest), decision(output=b""), False),
        ("pbft-classic", by(THREE, Checkpoint, 1, SNAPSHOT), Certify(1, OUTPUT, THREE), True),
        ("pbft-classic", by(THREE, Checkpoint, 1, OTHER), Certify(1, OUTPUT, THREE), False),
        ("pbft-classic", by(THREE, Checkpoint, 16, OTHER), Certify(1, OUTPUT, THREE), True),
        ("pbft-classic", by((0, 1), Checkpoint, 16, OTHER), Certify(1, OUTPUT, THREE), False),
        ("pbft-classic", by(THREE, Checkpoint, 16, SNAPSHOT), Adopt(16, SNAPSHOT.chain), True),
        ("pbft-classic", by(THREE, Checkpoint, 16, SNAPSHOT), Adopt(16, SNAPSHOT.execution), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, HEADER.id)], decision(output=b""), True),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, NEXT_HEADER.id)], decision(output=b""), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, RIVAL.id)], decision(output=b""), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, None)], decision(output=b""), False),
        ("tendermint", [*PROPOSED, *by(THREE, Prevote, 1, 0, HEADER.id)], decision(output=b""), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 1, HEADER.id)], decision(output=b""), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, HEADER.id)], decision(output=NO_OUTPUT), True),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 1, 0, HEADER.id)], decision(output=OUTPUT), False),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 2, 3, NEXT_HEADER.id)], Certify(1, OUTPUT, THREE), True),
        ("tendermint", [*PROPOSED, *by(THREE, Precommit, 2, 3, NEXT_HEADER.id)], Certify(1, b"?", THREE), False),
        ("icp", [*MADE, *by(THREE, FinalizationShare, 1, TREE.id)], decision(output=b"", state=TREE.id), True),
        ("icp", [*MADE, *by(THREE, FinalizationShare, 1, b"?")], decision(output=b"", state=TREE.id), False),
        ("icp", [*MADE, *by(THREE, FinalizationShare, 2, NEXT_TREE.id)], decision(output=b"", state=TREE.id), True),
        ("icp", [*MADE, *by(THREE, FinalizationShare, 2, b"?")], decision(output=b"", state=TREE.id), False),
        ("icp", by(THREE, CertificationShare, 1, OUTPUT), Certify(1, OUTPUT, THREE), True),
        ("icp", by(THREE, CertificationShare, 1, b"?"), Certify(1, OUTPUT, THREE), False),
        ("icp", by(THREE, CatchUpShare, 1, TREE.id, OUTPUT), Certify(1, OUTPUT, THREE), True),
        ("icp", by(THREE, CatchUpShare, 1, TREE.id, b"?"), Certify(1, OUTPUT, THREE), False),
        ("icp", by(THREE, CatchUpShare, 1, TREE.id, OUTPUT), Adopt(1, TREE.id), True),
        ("icp", by(THREE, CatchUpShare, 1, TREE.id, OUTPUT), Adopt(1, NEXT_TREE.id), False),
    ],
)
def test_votes_bear_out_what_their_protocol_says_that_they_do(
    protocol: str, votes: list[Any], claim: Any, is_good: bool
) -> None:
    checked = Checked(protocol)
    checked.send(*votes)
    told = {
        "Decide": checked.checkers.decided,
        "Certify": checked.checkers.certified,
        "Adopt": checked.checkers.adopted,
    }
    told[type(claim).__name__](3, claim)

    assert (false(checked) == []) is is_good
