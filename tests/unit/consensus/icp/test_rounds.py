"""The rules of ICC0: who makes a block when, what is notarized, when a round ends, what is final."""

from __future__ import annotations

import pytest
from support.cluster import MS
from support.icp_solo import IcpSolo

from consensus.icp.messages import (
    GENESIS,
    BlockRequest,
    Finalization,
    FinalizationShare,
    Finalized,
    Notarization,
    NotarizationShare,
    Notarized,
    Proposal,
    Status,
    Sync,
    TreeBlock,
)
from consensus.protocol import Block, CancelTimer, Decide, Execute, Send, SetTimer

UNIT = 40 * MS


def test_rank_0_proposes_at_once_and_every_other_one_unit_later_than_the_one_before() -> None:
    for rank in range(4):
        solo = IcpSolo(rank)
        solo.wait_until(rank * UNIT - 1)
        assert len(solo.said(Proposal)) == (rank == 0)
        solo.wait_until(rank * UNIT)
        (proposal,) = solo.said(Proposal)
        assert (proposal.block.rank, proposal.block.content) == (rank, solo.source(1))


def test_who_has_seen_a_block_of_lower_rank_makes_none() -> None:
    solo = IcpSolo(rank=2)
    solo.propose(rank=1)
    solo.wait_until(5 * UNIT)
    assert solo.said(Proposal) == []


def test_a_block_of_higher_rank_keeps_nobody_from_making_one() -> None:
    solo = IcpSolo(rank=2)
    solo.propose(rank=3)
    solo.wait_until(2 * UNIT)
    assert len(solo.said(Proposal)) == 1


def test_a_block_of_rank_0_is_notarized_at_once_and_of_another_rank_when_its_time_has_come() -> None:
    for rank in range(3):
        solo = IcpSolo()
        solo.propose(rank=rank)
        solo.wait_until(rank * UNIT - 1)
        assert solo.voted(NotarizationShare) == ([] if rank else [solo.block().id])
        solo.wait_until(rank * UNIT)
        assert solo.voted(NotarizationShare) == [solo.block(rank=rank).id]


def test_epsilon_delays_every_rank() -> None:
    solo = IcpSolo(epsilon_ns=7 * MS)
    solo.propose(rank=1)
    solo.wait_until(UNIT + 7 * MS - 1)
    assert solo.voted(NotarizationShare) == []
    solo.wait_until(UNIT + 7 * MS)
    assert solo.voted(NotarizationShare) == [solo.block(rank=1).id]


def test_only_the_lowest_rank_seen_is_notarized() -> None:
    solo = IcpSolo()
    solo.propose(rank=2)
    solo.propose(rank=1)
    solo.wait_until(3 * UNIT)
    assert solo.voted(NotarizationShare) == [solo.block(rank=1).id]


def test_a_block_of_lower_rank_that_comes_late_is_notarized_too_and_then_nothing_is_final_by_this_replica() -> None:
    solo = IcpSolo()
    solo.propose(rank=1)
    solo.wait_until(UNIT)
    solo.propose(rank=0)
    assert solo.voted(NotarizationShare) == [solo.block(rank=1).id, solo.block(rank=0).id]
    solo.notarize(solo.block(rank=0), solo.others)
    assert solo.protocol.height == 2
    assert solo.said(FinalizationShare) == []


def test_a_maker_of_two_blocks_is_disqualified_and_the_next_rank_has_its_turn() -> None:
    solo = IcpSolo()
    solo.propose(rank=0)
    solo.propose(rank=0, empty=True)
    solo.propose(rank=1)
    solo.wait_until(UNIT)
    assert solo.voted(NotarizationShare) == [solo.block(rank=0).id, solo.block(rank=1).id]


def test_with_every_lower_rank_disqualified_a_replica_makes_a_block() -> None:
    solo = IcpSolo(rank=1)
    solo.propose(rank=0)
    solo.propose(rank=0, empty=True)
    solo.wait_until(UNIT)
    assert [proposal.block.rank for proposal in solo.said(Proposal)] == [1]


def test_a_round_ends_with_n_minus_f_shares_for_one_block_and_that_is_told_to_all() -> None:
    solo = IcpSolo()
    block = solo.block()
    solo.propose()
    solo.notarize(block, solo.others[:1])
    assert (solo.protocol.height, solo.said(Notarization)) == (1, [])
    solo.notarize(block, solo.others[1:2])
    voters = tuple(sorted([solo.id, *solo.others[:2]]))
    assert (solo.protocol.height, solo.said(Notarization)) == (
        2,
        [Notarization(solo.id, Notarized(1, block.id, voters))],
    )
    assert solo.voted(FinalizationShare) == [block.id]


def test_a_notarization_ends_the_round_of_who_missed_the_shares_and_does_not_hold_without_n_minus_f() -> None:
    solo = IcpSolo()
    solo.propose()
    solo.hear(Notarization(0, Notarized(1, solo.block().id, (0, 1))))
    assert solo.protocol.height == 1
    solo.hear(Notarization(0, Notarized(1, solo.block().id, (0, 1, 2))))
    assert solo.protocol.height == 2


def test_the_parents_certificate_in_a_proposal_ends_the_round_before() -> None:
    solo = IcpSolo()
    solo.propose()
    solo.propose(height=2)
    assert solo.protocol.height == 2
    assert solo.voted(NotarizationShare) == [solo.block(1).id, solo.block(2).id]


def test_of_two_rounds_that_can_end_at_once_the_later_one_is_told_to_all_and_ends_both() -> None:
    solo = IcpSolo()
    solo.propose()
    solo.hear(Notarization(0, Notarized(2, solo.block(2).id, (0, 1, 2))))
    assert solo.protocol.height == 1
    solo.propose(height=2)
    assert solo.protocol.height == 3
    assert [each.certificate.height for each in solo.said(Notarization)] == [2]


def test_after_its_end_nobody_notarizes_in_a_round() -> None:
    solo = IcpSolo()
    solo.propose(rank=1)
    solo.hear(Notarization(0, Notarized(1, solo.block(rank=1).id, (0, 1, 2))))
    solo.propose(rank=0)
    solo.wait_until(3 * UNIT)
    assert [share for share in solo.said(NotarizationShare) if share.height == 1] == []
    assert solo.voted(FinalizationShare) == [solo.block(rank=1).id]


def test_a_replica_that_notarized_another_block_sends_no_finalization_share() -> None:
    solo = IcpSolo()
    solo.propose(rank=0)
    solo.propose(rank=1)
    solo.hear(Notarization(0, Notarized(1, solo.block(rank=1).id, (0, 1, 2))))
    assert solo.protocol.height == 2
    assert solo.said(FinalizationShare) == []


def test_n_minus_f_finalization_shares_make_a_block_final() -> None:
    solo = IcpSolo()
    block = solo.block()
    solo.propose()
    solo.notarize(block, solo.others)
    solo.finalize(block, solo.others[:1])
    assert solo.of(Decide) == []
    solo.finalize(block, solo.others[1:2])
    voters = tuple(sorted([solo.id, *solo.others[:2]]))
    assert solo.of(Decide) == [Decide(block.content, b"", 0, voters, block.id)]
    assert solo.said(Finalization) == [Finalization(solo.id, Finalized(1, block.id, voters))]
    assert solo.of(Execute) == [Execute(block.content, 0)]


def test_a_certificate_against_what_is_decided_here_is_ignored() -> None:
    solo = IcpSolo()
    solo.pass_round(1)
    rival = solo.block(1, empty=True)
    block = solo.block(2, parent=rival.id)
    solo.hear(solo.proposal(block), Finalization(0, Finalized(2, block.id, (0, 1, 2))))
    assert [decide.block.height for decide in solo.of(Decide)] == [1]


def test_a_final_block_makes_all_before_it_final_with_its_certificate() -> None:
    solo = IcpSolo()
    for height in (1, 2, 3):
        solo.propose(height)
    solo.notarize(solo.block(3), solo.others)
    solo.finalize(solo.block(3), solo.others)
    decided = solo.of(Decide)
    assert [decide.block.height for decide in decided] == [1, 2, 3]
    assert len({decide.voters for decide in decided}) == 1
    assert [decide.state for decide in decided] == [solo.block(height).id for height in (1, 2, 3)]


def test_a_finalization_without_n_minus_f_makes_nothing_final() -> None:
    solo = IcpSolo()
    solo.propose()
    solo.hear(Finalization(0, Finalized(1, solo.block().id, (0, 1, 1))))
    assert solo.of(Decide) == []
    solo.hear(Finalization(0, Finalized(1, solo.block().id, (0, 1, 2))))
    assert len(solo.of(Decide)) == 1


def test_the_block_of_another_branch_is_decided_by_its_rank() -> None:
    solo = IcpSolo()
    block = solo.block(rank=2)
    solo.propose(rank=2)
    solo.hear(Finalization(0, Finalized(1, block.id, (0, 1, 2))))
    assert [decide.view for decide in solo.of(Decide)] == [2]


@pytest.mark.parametrize(
    "why", ["not its rank", "handed on by another", "no parent", "a parent without n - f", "another height's parent"]
)
def test_a_block_that_is_not_valid_is_not_notarized(why: str) -> None:
    solo = IcpSolo()
    solo.propose()
    block = solo.block(2)
    parent: Notarized | None = Notarized(1, block.parent, (0, 1, 2))
    good = Proposal(block.maker, block, parent)
    imposter = next(replica for replica in range(4) if replica not in (block.maker, solo.id))
    bad = {
        "not its rank": Proposal(block.maker, type(block)(block.content, block.maker, 1, block.parent), parent),
        "handed on by another": Proposal(imposter, block, parent),
        "no parent": Proposal(block.maker, block, None),
        "a parent without n - f": Proposal(block.maker, block, Notarized(1, block.parent, (0, 1))),
        "another height's parent": Proposal(block.maker, block, Notarized(2, block.parent, (0, 1, 2))),
    }[why]
    solo.hear(bad)
    solo.wait_until(3 * UNIT)
    assert solo.voted(NotarizationShare) == [solo.block(1).id]
    solo.hear(good)
    assert solo.voted(NotarizationShare) == [solo.block(1).id, block.id]


def test_a_block_may_leave_requests_out_and_not_make_them_up() -> None:
    solo = IcpSolo()
    block = solo.block()
    solo.hear(solo.proposal(type(block)(Block(1, (99,)), block.maker, 0, block.parent)))
    assert solo.voted(NotarizationShare) == []
    solo.propose(empty=True)
    assert solo.voted(NotarizationShare) == [solo.block(empty=True).id]


def test_a_block_that_a_surely_honest_replica_voted_for_is_asked_for() -> None:
    solo = IcpSolo()
    solo.notarize(solo.block(), solo.others[:1])
    assert solo.said(BlockRequest) == []
    (asked,) = solo.notarize(solo.block(), solo.others[1:2])
    assert isinstance(asked, Send)
    assert asked.receiver in solo.others[:2]
    assert asked.message == BlockRequest(solo.id, 1, solo.block().id, 0)


def test_a_block_with_any_vote_is_asked_for_at_the_next_mark() -> None:
    solo = IcpSolo()
    solo.notarize(solo.block(), solo.others[:1])
    solo.timeout()
    assert [message.block for message in solo.said(BlockRequest)] == [solo.block().id]


def test_who_has_a_block_sends_it_with_those_before_it() -> None:
    solo = IcpSolo()
    for height in (1, 2, 3):
        solo.propose(height)
    asker = solo.others[0]
    solo.hear(BlockRequest(asker, 3, solo.block(3).id, 1))
    (sync,) = solo.said(Sync)
    assert [message.height for message in sync.messages] == [3, 2]
    solo.hear(BlockRequest(asker, 2, solo.block(2, empty=True).id, 0))
    assert len(solo.said(Sync)) == 1


def test_final_blocks_that_lack_wait_for_it() -> None:
    solo = IcpSolo()
    solo.propose(1)
    solo.propose(3)
    solo.hear(Finalization(0, Finalized(3, solo.block(3).id, (0, 1, 2))))
    assert solo.of(Decide) == []
    assert [message.block for message in solo.said(BlockRequest)] == [solo.block(2).id]
    solo.propose(2)
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 2, 3]


def test_a_round_sets_one_timer_and_each_mark_one_more() -> None:
    solo = IcpSolo(rank=3)
    assert solo.of(SetTimer) == [SetTimer(UNIT)]
    solo.propose(1)
    assert len(solo.of(SetTimer)) == 1
    solo.notarize(solo.block(1), solo.others)
    assert len(solo.of(SetTimer)) == 2
    solo.timeout()
    assert len(solo.of(SetTimer)) == 3


def test_after_a_timeout_without_an_end_everybody_is_asked() -> None:
    solo = IcpSolo(timeout_ns=3 * UNIT)
    solo.wait_until(3 * UNIT - 1)
    assert solo.said(Status) == []
    solo.wait_until(6 * UNIT)
    assert solo.said(Status) == [Status(solo.id, 1, 0, 0, 0)] * 2


def test_the_ages_at_which_everybody_is_asked_double_until_they_are_far_enough_apart() -> None:
    solo = IcpSolo(timeout_ns=3 * UNIT, timeout_max_ns=12 * UNIT)
    ages = []
    for age in range(1, 41):
        before = len(solo.said(Status))
        solo.wait_until(age * UNIT)
        ages += [age] * (len(solo.said(Status)) - before)
    assert ages == [3, 6, 12, 24, 36]


def test_those_who_voted_for_a_block_are_asked_for_it_in_turn() -> None:
    solo = IcpSolo()
    solo.notarize(solo.block(1), solo.others[:2])
    solo.wait_until(3 * UNIT)
    asked = [effect.receiver for effect in solo.of(Send) if isinstance(effect.message, BlockRequest)]
    assert set(asked) == set(solo.others[:2])


def test_past_the_last_block_rounds_go_on_only_until_it_is_final() -> None:
    config = IcpSolo().config
    solo = IcpSolo(rank=config.ranking(1).index(config.block_maker(2, 0)), blocks=1)
    solo.propose(1)
    solo.notarize(solo.block(1), solo.others)
    assert [proposal.height for proposal in solo.said(Proposal) if proposal.height > 1] == []
    solo.wait_until(UNIT)
    assert [proposal.block.content for proposal in solo.said(Proposal) if proposal.height > 1] == [Block(2, ())]
    solo.finalize(solo.block(1), solo.others)
    solo.executed(1)
    solo.certify(1, "same", solo.others)
    assert isinstance(solo.effects[-1], CancelTimer)


def test_messages_of_rounds_far_ahead_are_not_kept_and_their_sender_is_asked_once() -> None:
    solo = IcpSolo()
    for height in range(6, 1_000):
        solo.hear(NotarizationShare(0 if solo.id else 1, height, 0, b"far"))
    assert len(solo.said(Status)) == 1
    assert max(solo.protocol._rounds) <= 5


def test_of_one_maker_two_blocks_are_kept_and_those_that_are_known_to_be_notarized() -> None:
    solo = IcpSolo()
    kept = solo.protocol._round
    blocks = [TreeBlock(Block(1, (number,)), solo.ranking[0], 0, GENESIS) for number in range(4)]
    kept.notarized[blocks[3].id] = Notarized(1, blocks[3].id, (0, 1, 2))
    assert [kept.add(solo.proposal(block)) for block in blocks] == [True, True, False, True]


def test_a_flood_of_votes_takes_no_memory() -> None:
    solo = IcpSolo()
    liar = solo.others[0]
    for number in range(200):
        solo.hear(NotarizationShare(liar, 1, number, bytes([number])), NotarizationShare(liar, 1, 0, bytes([number])))
        solo.hear(FinalizationShare(liar, 1, bytes([number])))
    round_ = solo.protocol._round
    assert sorted(round_.shares) == [0, 1, 2, 3]
    assert all(len(ballot.votes) <= 1 for ballot in round_.shares.values())
    assert len(round_.finals.votes) == 1
