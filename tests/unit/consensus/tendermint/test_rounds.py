"""Rounds that fail, locks that outlast them, and timeouts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from support.cluster import MS, output
from support.tendermint_cluster import TendermintCluster, tendermint
from support.tendermint_solo import TendermintSolo, next_round

from consensus.behaviours import Behaviour, EquivocatingLeader
from consensus.protocol import (
    Block,
    Broadcast,
    CancelTimer,
    Decide,
    Effect,
    Execute,
    Message,
    Send,
    SetTimer,
)
from consensus.tendermint.messages import (
    Precommit,
    Prevote,
    Proposal,
    Status,
)
from consensus.tendermint.replica import EARLY_MAX
from consensus.tendermint.voting import ROUNDS_AHEAD, ROUNDS_KEPT

# --- locks ----------------------------------------------------------------------------------------------------


def locked() -> TendermintSolo:
    """Locked on the clients' block in round 0 of height 1, and in round 1."""
    solo = TendermintSolo()
    solo.accept()
    solo.prevotes((0, 1), solo.value())
    next_round(solo, 0)
    assert solo.protocol.round_state.locked_round == 0
    assert solo.protocol.view == 1
    return solo


def test_who_is_locked_prevotes_nil_on_another_value() -> None:
    solo = locked()
    solo.accept(1, 1, solo.empty())
    assert solo.voted(Prevote)[-1] == (1, 1, None)


def test_a_later_polka_unlocks() -> None:
    solo = locked()
    solo.hear(solo.proposal(1, 1, solo.empty()))
    next_round(solo, 1)
    proposal = solo.proposal(1, 2, solo.empty(), valid_round=1, polka=(0, 1, 2))
    solo.hear(proposal)
    solo.executed(proposal.value.block, round_=2)
    assert solo.voted(Prevote)[-1] == (1, 2, solo.empty().id)


def test_a_polka_of_each_round_locks_anew() -> None:
    solo = locked()
    solo.hear(solo.proposal(1, 1, solo.value(), 0, (0, 1, 3)))
    assert solo.voted(Prevote)[-1] == (1, 1, solo.value().id)
    solo.prevotes((0, 1), solo.value(), round_=1)
    assert solo.voted(Precommit)[-1] == (1, 1, solo.value().id)
    assert solo.protocol.round_state.locked_round == 1


@pytest.mark.parametrize(("valid_round", "polka"), [(0, (0, 1)), (2, (0, 1, 2)), (3, (0, 1, 2)), (-2, (0, 1, 2))])
def test_a_polka_without_two_thirds_or_of_no_earlier_round_is_none(valid_round: int, polka: tuple[int, ...]) -> None:
    solo = locked()
    next_round(solo, 1)
    before = len(solo.effects)
    solo.hear(solo.proposal(1, 2, solo.empty(), valid_round, polka))
    assert len(solo.effects) == before


def test_a_proposer_proposes_what_had_a_polka_and_shows_it() -> None:
    solo = locked()
    next_round(solo, 1)
    next_round(solo, 2)
    (proposal,) = solo.said(Proposal)
    assert proposal == Proposal(3, 3, solo.value(), 0, (0, 1, 3))
    assert solo.voted(Prevote)[-1] == (1, 3, solo.value().id), "it executes nothing anew, and votes at once"


def test_a_valid_value_and_its_polka_outlast_their_round_however_long_it_was_ago() -> None:
    others = (0, 1, 2, 4, 5, 6, 7, 8, 9)
    solo = TendermintSolo(replica=3, n=13)
    solo.accept()
    solo.prevotes(others[:8], solo.value())
    for round_ in range(16):
        solo.precommits(others, None, round_=round_)
        solo.timeout()
    assert sorted(solo.protocol._log.votes.rounds) == [0, *range(16 - ROUNDS_KEPT, 17)]
    assert [(each.round, each.value, each.valid_round, each.polka) for each in solo.said(Proposal)] == [
        (round_, solo.value(), 0, (0, 1, 2, 3, 4, 5, 6, 7, 8)) for round_ in (3, 16)
    ]


def test_a_valid_value_that_is_not_locked_outlasts_its_round_too() -> None:
    """Its polka is whole only after this replica has precommitted nil."""
    solo = TendermintSolo(replica=3, n=13)
    solo.accept()
    solo.prevotes((0, 1, 2, 4, 5, 6, 7), solo.value())
    solo.prevotes((12,), None)
    solo.timeout()
    solo.prevotes((8,), solo.value())
    assert (solo.protocol.round_state.locked_value, solo.protocol.round_state.valid_value) == (None, solo.value().id)
    for round_ in range(16):
        solo.precommits((0, 1, 2, 4, 5, 6, 7, 8, 9), None, round_=round_)
        solo.timeout()
    assert [(each.round, each.value, each.valid_round, each.polka) for each in solo.said(Proposal)] == [
        (round_, solo.value(), 0, (0, 1, 2, 3, 4, 5, 6, 7, 8)) for round_ in (3, 16)
    ]


class TwoFaced(Behaviour):
    """Prevotes for the value towards replica 3 and nil towards all others, in the first round; then falls silent."""

    def instead_of(self, effect: Effect) -> Iterator[Effect]:
        message = getattr(effect, "message", None)
        if message is None or isinstance(message, Proposal):
            yield effect
        elif isinstance(message, Prevote) and message.round == 0:
            yield from (Send(other, message if other == 3 else replace(message, value=None)) for other in self.others)


def test_a_polka_that_only_one_saw_is_shown_to_those_who_were_told_otherwise() -> None:
    """Replica 0 shows a polka to 3 alone, and answers change with each round: nobody else would vote for it again.

    Replica 2 gets the first proposal too late to vote for it, and in time to execute it.
    """

    def delay_ns(sender: int, receiver: int, message: Message) -> int:
        is_late = isinstance(message, Proposal) and receiver == 2 and message.round == 0
        return (120 if is_late else 10) * MS

    cluster = TendermintCluster(
        tendermint(digest="proposal"),
        blocks=1,
        answer=lambda replica, block, view: output(f"attempt {view}"),
        delay_ns=delay_ns,
        behaviours={0: TwoFaced},
    ).run(60_000 * MS)
    cluster.check_no_fork()
    cluster.check_honest_votes()
    assert [(decided[1].view, decided[1].output) for decided in cluster.decided[1:]] == [(3, output("attempt 0"))] * 3


def test_an_equivocating_proposer_makes_up_no_polka() -> None:
    solo = locked()
    proposal = replace(solo.proposal(1, 1, solo.value(), 0, (0, 1, 3)), sender=3)
    bent = EquivocatingLeader(solo.protocol, 3, 4)._bend((Broadcast(proposal),))
    told = {send.receiver: send.message for send in bent}  # type: ignore[union-attr]
    assert told == {0: proposal, 1: Proposal(3, 1, solo.empty(), -1, ()), 2: Proposal(3, 1, solo.empty(), -1, ())}


# --- timeouts -------------------------------------------------------------------------------------------------


def test_timeouts_grow_with_each_round_up_to_the_cap_and_a_new_height_begins_anew() -> None:
    solo = TendermintSolo(timeout_ns=100, timeout_max_ns=350)
    waited = []
    for round_ in range(5):
        waited.append(solo.of(SetTimer)[-1].duration_ns)
        next_round(solo, round_)
    assert waited == [100, 200, 300, 350, 350]
    solo.hear(solo.certificates(1))
    solo.executed(solo.block(1))
    assert solo.of(SetTimer)[-1].duration_ns == 100


def test_without_a_proposal_a_replica_prevotes_nil_when_its_time_is_up() -> None:
    solo = TendermintSolo()
    solo.timeout()
    assert solo.voted(Prevote) == [(1, 0, None)]


def test_each_round_waits_for_its_own_steps() -> None:
    solo = TendermintSolo()
    for round_ in range(3):
        solo.timeout()
        solo.prevotes((0, 1), solo.value(), round_=round_)
        solo.timeout()
        next_round(solo, round_)
    assert [round_ for _, round_, _ in solo.voted(Prevote)] == [0, 1, 2]
    assert [round_ for _, round_, _ in solo.voted(Precommit)] == [0, 1, 2]


def test_prevotes_that_disagree_are_waited_for_and_then_precommitted_nil() -> None:
    solo = TendermintSolo()
    solo.accept()
    solo.prevotes((0, 1), None)
    assert solo.said(Precommit) == []
    solo.timeout()
    assert solo.voted(Precommit) == [(1, 0, None)]


def test_its_own_vote_counts_also_where_it_disagrees_with_those_before_it() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), solo.value())
    solo.timeout()  # no proposal: it prevotes nil
    solo.prevotes((1,), None)
    solo.timeout()  # two thirds prevoted, its own vote among them
    assert solo.voted(Precommit) == [(1, 0, None)]


def test_two_thirds_that_precommitted_in_a_round_that_is_over_decide_it() -> None:
    solo = TendermintSolo(replica=3, n=10)
    solo.accept()
    solo.precommits((0, 1, 2, 4, 5, 6), solo.value())
    solo.precommits((7,), None)
    solo.timeout()
    assert solo.protocol.view == 1
    solo.precommits((8,), solo.value())
    assert [(decide.block.height, decide.view) for decide in solo.of(Decide)] == [(1, 0)]


def test_a_commit_whose_proposal_was_missed_decides_once_the_value_is_known_in_whatever_round() -> None:
    solo = TendermintSolo()
    solo.precommits((0, 1, 2), solo.value())
    assert solo.of(Decide) == []
    solo.timeout()
    assert solo.protocol.view == 1
    solo.hear(solo.proposal(1, 1))
    assert [(decide.block, decide.view) for decide in solo.of(Decide)] == [(solo.block(1), 0)]


def test_a_commit_that_the_own_precommit_completes_decides_it() -> None:
    solo = TendermintSolo()
    solo.accept()
    solo.precommits((0, 1), solo.value())
    solo.prevotes((0, 1), solo.value())
    assert [(decide.block, decide.view) for decide in solo.of(Decide)] == [(solo.block(1), 0)]


def test_prevotes_that_disagree_are_waited_for_in_each_round_and_not_before_two_thirds_are_there() -> None:
    solo = TendermintSolo()
    for round_ in (0, 1):
        solo.accept(round_=round_)
        solo.timeout()
        assert (1, round_, None) not in solo.voted(Precommit)
        solo.prevotes((0, 1), None, round_=round_)
        solo.timeout()
        assert solo.voted(Precommit)[-1] == (1, round_, None)
        next_round(solo, round_)


def test_a_polka_on_nil_is_precommitted_without_waiting() -> None:
    solo = TendermintSolo()
    solo.accept()
    solo.prevotes((0, 1, 2), None)
    assert solo.voted(Precommit) == [(1, 0, None)]


def test_precommits_that_disagree_are_waited_for_and_then_the_next_round_begins() -> None:
    solo = TendermintSolo()
    solo.accept()
    solo.precommits((0, 1), None)
    solo.precommits((2,), solo.value())
    assert solo.protocol.view == 0
    solo.timeout()
    assert solo.protocol.view == 1


def test_once_two_thirds_have_precommitted_a_vote_moves_the_timer_no_more() -> None:
    solo = TendermintSolo()
    solo.precommits((0, 1), None)
    solo.precommits((2,), solo.value())
    before = len(solo.of(SetTimer))
    solo.accept()
    assert solo.voted(Prevote) == [(1, 0, solo.value().id)]
    assert len(solo.of(SetTimer)) == before
    solo.timeout()
    assert solo.protocol.view == 1


def test_what_was_proposed_for_a_round_before_it_began_is_executed_as_it_begins() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(1, 1))
    assert solo.of(Execute) == []
    next_round(solo, 0)
    assert solo.of(Execute) == [Execute(solo.block(1), 1)]
    assert solo.voted(Prevote) == []
    solo.executed(solo.block(1), round_=1)
    assert solo.voted(Prevote) == [(1, 1, solo.value().id)]


def test_a_header_that_states_another_output_is_prevoted_nil_though_its_block_is_being_executed() -> None:
    """The proposer equivocates: two headers, and one block in both."""
    solo = TendermintSolo()
    solo.decide(1)
    solo.hear(solo.proposal(2, 1, solo.value(2, before="another")), solo.proposal(2, 1, solo.value(2)))
    next_round(solo, 0, height=2)
    assert Execute(solo.block(2), 1) in solo.of(Execute)
    assert solo.voted(Prevote)[-1] == (2, 1, None)


def test_a_replica_that_no_timeout_will_wake_asks_what_it_missed_again_and_again() -> None:
    solo = TendermintSolo()
    solo.accept()
    for _ in range(3):
        assert solo.of(SetTimer)
        solo.timeout()
    assert solo.said(Status) == [Status(3, 1, 0)] * 3


def test_nobody_waits_when_everything_is_decided() -> None:
    solo = TendermintSolo(blocks=1)
    solo.decide(1)
    assert isinstance(solo.effects[-1], CancelTimer)
    assert solo.timeout() == []


# --- later rounds and heights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("round_", [1, ROUNDS_AHEAD, ROUNDS_AHEAD + 1, 1_000])
def test_more_than_a_third_in_a_later_round_take_a_replica_there(round_: int) -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), None, round_=round_)
    assert solo.protocol.view == 0
    solo.precommits((1,), None, round_=round_)
    assert solo.protocol.view == round_
    solo.prevotes((1,), None, round_=round_)
    solo.timeout()
    assert solo.voted(Precommit) == [(1, round_, None)], "with this replica's own and the one that came before"


@pytest.mark.parametrize("round_", [1, 1_000])
@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 3)])
def test_exactly_a_third_in_a_later_round_takes_nobody_there(weights: tuple[int, ...], round_: int) -> None:
    solo = TendermintSolo(replica=2, weights=weights)
    solo.prevotes((0,), None, round_=round_)
    assert solo.protocol.view == 0


def test_votes_of_a_round_that_was_far_count_with_those_that_come_when_it_is_near() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), None, round_=ROUNDS_AHEAD + 1)
    next_round(solo, 0)
    solo.prevotes((1,), None, round_=ROUNDS_AHEAD + 1)
    assert solo.protocol.view == ROUNDS_AHEAD + 1


def test_one_replica_in_far_rounds_drags_nobody_and_fills_no_memory() -> None:
    solo = TendermintSolo()
    for round_ in range(1_000):
        solo.prevotes((0, 0), None, round_=round_)
        solo.precommits((0, 0), solo.value(), round_=round_)
    assert solo.protocol.view == 0
    assert len(solo.protocol._log.votes.rounds) == ROUNDS_AHEAD + 1
    assert sum(map(len, solo.protocol._far._votes.values())) == 2


def test_a_vote_of_a_far_round_that_its_sender_has_left_is_not_kept() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), None, round_=100)
    solo.precommits((0,), None, round_=50)
    solo.precommits((1,), None, round_=50)
    assert solo.protocol.view == 0
    solo.precommits((1,), None, round_=100)
    assert solo.protocol.view == 100
    assert set(solo.protocol._log.votes.rounds) <= {0, 100}


def test_votes_of_far_rounds_end_with_their_height() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), None, round_=100)
    solo.decide(1)
    solo.prevotes((1,), None, height=2, round_=100)
    assert solo.protocol.view == 0


def test_a_second_vote_for_something_else_is_kept_as_evidence() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), solo.value())
    solo.prevotes((0,), None)
    named = solo.value().id
    assert solo.protocol._log.votes.evidence == [(Prevote(0, 1, 0, named), Prevote(0, 1, 0, None))]


def test_there_is_no_round_before_the_first() -> None:
    solo = TendermintSolo()
    solo.prevotes((0, 1, 2), None, round_=-1)
    solo.hear(solo.proposal(1, -1))
    assert set(solo.protocol._log.votes.rounds) | set(solo.protocol._log.proposals) <= {0}


def test_rounds_without_end_fill_no_memory() -> None:
    solo = TendermintSolo()
    for round_ in range(100):
        solo.hear(solo.proposal(1, round_, solo.empty()))
        next_round(solo, round_)
    for round_ in (-1, 0, 1):
        solo.prevotes((0,), None, round_=round_)
    assert len(solo.protocol._log.votes.rounds) <= ROUNDS_KEPT + 1
    assert len(solo.protocol._log.proposals) <= ROUNDS_KEPT + 1


def test_values_that_no_round_names_any_more_are_forgotten() -> None:
    solo = TendermintSolo()
    for round_ in range(2 * ROUNDS_KEPT):
        solo.hear(solo.proposal(1, round_, solo.value() if round_ else solo.empty()))
        next_round(solo, round_)
    assert set(solo.protocol._log.values) == solo.protocol._log.acceptable == {solo.value().id}


def test_two_proposals_of_one_round_are_kept_and_the_first_is_voted_on() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(value=solo.empty()), solo.proposal())
    solo.executed(solo.block(1))
    solo.executed(solo.empty().block)
    assert solo.voted(Prevote) == [(1, 0, solo.empty().id)]
    solo.precommits((0, 1, 2), solo.value())
    assert [decide.block for decide in solo.of(Decide)] == [solo.block(1)]


def test_a_proposer_that_never_stops_proposing_fills_no_memory() -> None:
    solo = TendermintSolo()
    for request in range(100):
        solo.hear(solo.proposal(value=replace(solo.value(), block=Block(1, (request,)))))
    assert [len(known) for known in solo.protocol._log.proposals.values()] == [2]
    assert len(solo.protocol._log.values) == 2


def test_messages_of_the_next_height_wait_for_it_and_a_flood_of_them_is_bounded() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(2))
    solo.prevotes((0, 1), solo.value(2), 2)
    for height in range(3, 1_000):
        solo.prevotes((2,), None, height)
    assert max(map(len, solo.protocol._early._kept.values())) == EARLY_MAX
    solo.decide(1)
    solo.executed(solo.block(2))
    assert solo.voted(Precommit)[-1] == (2, 0, solo.value(2).id)


def test_who_hears_of_far_heights_asks_once() -> None:
    solo = TendermintSolo()
    solo.prevotes((0,), None, 2)
    assert solo.said(Status) == []
    solo.prevotes((0, 1), None, 3)
    assert [(effect.receiver, effect.message) for effect in solo.of(Send)] == [(0, Status(3, 1, 0))]
