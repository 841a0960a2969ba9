"""What is decided was asked for, and what is certified was computed."""

from __future__ import annotations

import pytest
from support.checked import BLOCK, OUTPUT, Checked, decision
from support.observing import digest

from consensus.icp.messages import CertificationShare
from consensus.pbft.messages import Prepare
from consensus.protocol import Block, Certify, Pair, Resync
from consensus.tendermint.messages import GENESIS, Proposal, Value


def decided(block: Block) -> list[str]:
    """What checkers that know every output say of a decided block."""
    checked = Checked()
    checked.checkers.executed(block, OUTPUT)
    checked.checkers.decided(0, decision(block))
    return [each.what for each in checked.checkers.violations.seen if each.kind == "invalid-block"]


@pytest.mark.parametrize("requests", [(4,), ()], ids=["all", "none"])
def test_a_block_may_hold_what_was_asked_for_at_its_height_or_nothing(requests: tuple[int, ...]) -> None:
    assert decided(Block(5, requests)) == []


@pytest.mark.parametrize(
    ("block", "request_"),
    [
        (Block(5, (99_999,)), "99,999"),
        (Block(5, (3,)), "3"),
        (Block(5, (4, 5)), "5"),
        (Block(1_001, (1_000,)), "1,000"),
    ],
    ids=["made up", "of another height", "one too many", "after the last height"],
)
def test_a_request_that_no_client_asked_for_at_a_height_is_found(block: Block, request_: str) -> None:
    assert decided(block) == [f"replica 0 decided request {request_}, which no client asked for at this height"]


def test_a_request_named_twice_is_found() -> None:
    assert decided(Block(5, (4, 4))) == ["replica 0 decided a block that names a request twice"]


def unknown(checked: Checked) -> int:
    return checked.kinds.count("unknown-output")


def test_an_output_that_an_honest_replica_computed_for_the_block_is_known() -> None:
    checked = Checked(honest=3)
    checked.checkers.executed(BLOCK, OUTPUT)
    checked.checkers.decided(0, decision())
    checked.checkers.certified(0, Certify(1, OUTPUT, (0, 1, 2)))
    checked.checkers.resynced(0, Resync(1, OUTPUT))

    assert unknown(checked) == 0


def test_an_output_of_another_block_or_of_nobody_is_not() -> None:
    checked = Checked(honest=3)
    checked.checkers.executed(Block(1, ()), OUTPUT)
    checked.checkers.executed(BLOCK, digest("b"))
    checked.checkers.decided(0, decision())
    assert unknown(checked) == 1

    checked.checkers.certified(0, Certify(1, digest("c"), (0, 1, 2)))
    checked.checkers.resynced(0, Resync(1, digest("d")))
    assert unknown(checked) == 3


def test_an_output_that_a_faulty_replica_voted_for_is_known_for_a_lie() -> None:
    checked = Checked(honest=3)
    checked.send(Prepare(3, 0, 1, Pair(BLOCK.digest, OUTPUT)))
    checked.checkers.decided(0, decision())

    assert unknown(checked) == 0


def test_an_honest_vote_alone_makes_no_output_known() -> None:
    checked = Checked("icp")
    checked.send(*(CertificationShare(replica, 1, OUTPUT) for replica in range(4)))
    checked.checkers.certified(0, Certify(1, OUTPUT, (0, 1, 2)))

    assert checked.kinds == ["unknown-output"]


def test_a_faulty_proposer_may_state_an_output_in_the_header_of_the_next_height() -> None:
    checked = Checked("tendermint", honest=3)
    checked.send(Proposal(3, 0, Value(Block(2, (1,)), OUTPUT, GENESIS), -1, ()))
    checked.checkers.certified(0, Certify(1, OUTPUT, (0, 1, 2)))

    assert unknown(checked) == 0


def test_a_height_that_is_forgotten_is_judged_no_more() -> None:
    checked = Checked()
    checked.checkers.forget(100)
    checked.checkers.certified(0, Certify(36, OUTPUT, (0, 1, 2)))
    assert unknown(checked) == 0
    checked.checkers.certified(0, Certify(37, OUTPUT, (0, 1, 2)))
    assert unknown(checked) == 1
