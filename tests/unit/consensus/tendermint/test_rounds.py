"""Rounds that fail, locks that outlast them, timeouts, and replicas that lag or come back."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random

import pytest
from msgspec.structs import replace
from support.cluster import MS, output
from support.tendermint_cluster import TendermintCluster, tendermint
from support.tendermint_solo import TendermintSolo

from consensus.behaviours import Behaviour, EquivocatingLeader
from consensus.protocol import (
    Adopt,
    Block,
    Broadcast,
    CancelTimer,
    Certify,
    Decide,
    Effect,
    Execute,
    Message,
    Resync,
    Send,
    SetTimer,
)
from consensus.tendermint.certificates import CERTIFICATES_KEPT, CERTIFICATES_SENT_MAX
from consensus.tendermint.messages import (
    CommitCertificate,
    Precommit,
    Prevote,
    Proposal,
    Status,
    Sync,
    Value,
)
from consensus.tendermint.replica import EARLY_MAX
from consensus.tendermint.voting import ROUNDS_AHEAD, ROUNDS_KEPT


def next_round(solo: TendermintSolo, round_: int, height: int = 1) -> None:
    """All precommit nil in a round, and its timeout runs out."""
    solo.precommits((0, 1, 2), None, height, round_)
    solo.timeout()


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


# --- what was missed ------------------------------------------------------------------------------------------


def test_who_lags_is_given_certificates_and_executes_what_they_decide() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, 2, 3))
    for height in (1, 2, 3):
        assert solo.of(Execute)[-1].block == solo.block(height)
        assert solo.protocol.decided == height
        solo.executed(solo.block(height))
    assert [decide.block.height for decide in solo.of(Decide)] == [1, 2, 3]
    assert solo.protocol._certificates.ahead == {}


def test_a_decided_block_that_is_being_executed_is_not_executed_twice() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(), solo.certificates(1))
    solo.executed(solo.block(1))
    assert [execute.block.height for execute in solo.of(Execute)] == [1]
    assert solo.protocol.round_state.height == 2


def test_what_another_block_gave_is_not_this_replicas_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal(value=solo.empty()), solo.certificates(1))
    assert [execute.block for execute in solo.of(Execute)] == [solo.empty().block, solo.block(1)]
    solo.executed(solo.empty().block, "of nothing")
    solo.executed(solo.block(1))
    solo.hear(solo.proposal(2))
    assert solo.of(Execute)[-1].block == solo.block(2)


@pytest.mark.parametrize(("decided_in", "name"), [(0, "first"), (1, "second"), (2, "third")])
def test_its_output_is_that_of_the_round_that_decides(decided_in: int, name: str) -> None:
    """Executed in rounds 0 and 1, and decided in one of them or in another, for which it is executed then."""
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    next_round(solo, 0)
    solo.hear(solo.proposal(1, 1))
    solo.executed(solo.block(1), "first")
    solo.executed(solo.block(1), "second", 1)
    solo.hear(Sync(0, (CommitCertificate(decided_in, solo.value(), (0, 1, 2)),), ()))
    assert [execute.view for execute in solo.of(Execute)] == ([0, 1, 2] if decided_in == 2 else [0, 1])
    solo.executed(solo.block(1), "third", 2)
    solo.hear(solo.proposal(2, value=solo.value(2, before=name)))
    assert solo.of(Execute)[-1].block == solo.block(2)


def test_what_is_still_computed_for_another_round_is_not_its_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    next_round(solo, 0)
    solo.hear(Sync(0, (CommitCertificate(1, solo.value(), (0, 1, 2)),), ()))
    solo.executed(solo.block(1), "of round 0", 0)
    assert solo.protocol.round_state.height == 1
    solo.executed(solo.block(1), "of round 1", 1)
    solo.hear(solo.proposal(2, value=solo.value(2, before="of round 1")))
    assert solo.of(Execute)[-1].block == solo.block(2)


def test_a_replica_that_was_away_in_the_round_that_decides_executes_it_before_it_halts() -> None:
    solo = TendermintSolo(digest="proposal")
    next_round(solo, 0)
    solo.hear(solo.proposal(1, 1, replace(solo.value(), digest=output("second"))))
    solo.executed(solo.block(1), "second", 1)
    solo.hear(Sync(0, (CommitCertificate(0, replace(solo.value(), digest=output("first")), (0, 1, 2)),), ()))
    assert solo.protocol.halt_at is None
    solo.executed(solo.block(1), "first", 0)
    assert [decide.output for decide in solo.of(Decide)] == [output("first")]


def test_who_lags_halts_where_a_certificate_states_another_output() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, 2))
    solo.executed(solo.block(1), "another")
    assert solo.protocol.halt_at == 2


def test_in_a_proposal_the_lagging_judges_what_it_executed_itself() -> None:
    solo = TendermintSolo(digest="proposal")
    value = replace(solo.value(1), digest=output("same"))
    solo.hear(Sync(0, (CommitCertificate(0, value, (0, 1, 2)),), ()))
    assert solo.of(Decide) == []
    agreeing, differing = deepcopy(solo), deepcopy(solo)
    agreeing.executed(value.block)
    assert [decide.output for decide in agreeing.of(Decide)] == [output("same")]
    differing.executed(value.block, "another")
    assert differing.of(Decide) == []
    assert differing.protocol.halt_at == 1


@pytest.mark.parametrize("voters", [(0, 1), (0, 0, 1), ()])
def test_a_certificate_without_two_thirds_decides_nothing(voters: tuple[int, ...]) -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1, voters=voters))
    assert solo.of(Decide) == []


def test_certificates_of_far_heights_and_of_decided_ones_are_not_kept() -> None:
    solo = TendermintSolo()
    solo.decide(1)
    solo.hear(solo.certificates(1))
    assert solo.protocol._certificates.ahead == {}
    solo.hear(solo.certificates(*range(3, 100)))
    assert list(solo.protocol._certificates.ahead) == list(range(3, CERTIFICATES_SENT_MAX + 2))


def test_who_asks_is_told_what_it_lacks_and_nothing_else() -> None:
    solo = TendermintSolo()
    solo.decide(1, 2)
    solo.prevotes((0,), None, 3)
    (answer,) = solo.hear(Status(0, 1, 0))
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Sync)
    assert [each.height for each in answer.message.certificates] == [1, 2]
    assert answer.message.messages == ()
    (answer,) = solo.hear(Status(0, 3, 0))
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Sync)
    assert answer.message == Sync(3, (), (Prevote(0, 3, 0, None),))
    assert solo.hear(Status(0, 4, 0)) == []


def test_who_asks_in_an_earlier_round_is_told_of_it_and_of_how_the_present_one_came() -> None:
    solo = TendermintSolo()
    for round_ in range(4):
        next_round(solo, round_)
    solo.hear(Status(0, 1, 1))
    (answer,) = solo.said(Sync)
    assert sorted({message.round for message in answer.messages}) == [1, 3]
    solo.prevotes((0,), None, round_=4)
    solo.hear(Status(0, 1, 0))
    assert sorted({message.round for message in solo.said(Sync)[-1].messages}) == [0, 3, 4]


def test_certificates_are_kept_for_so_many_heights_and_no_more() -> None:
    solo = TendermintSolo(blocks=CERTIFICATES_KEPT + 10)
    solo.decide(*range(1, CERTIFICATES_KEPT + 10))
    assert len(solo.protocol._certificates.decided) == CERTIFICATES_KEPT


FAR = CERTIFICATES_KEPT + 1


def far_certificate(solo: TendermintSolo, voters: tuple[int, ...] = (0, 1, 2), height: int = FAR) -> Sync:
    value = Value(solo.block(height), output("far"), output("the chain before"))
    return Sync(0, (CommitCertificate(0, value, voters),), ())


def test_who_lags_behind_all_certificates_is_told_the_last_one() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.decide(*range(1, FAR + 9))
    for height, told in ((1, [FAR + 8]), (9, [FAR + 8]), (10, [*range(10, 10 + CERTIFICATES_SENT_MAX)])):
        (answer,) = solo.hear(Status(0, height, 0))
        assert [each.height for each in answer.message.certificates] == told  # type: ignore[union-attr]


def test_who_lags_behind_all_certificates_takes_the_state_over_that_a_header_builds_on() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.hear(solo.proposal())
    said = solo.hear(far_certificate(solo))
    assert [type(effect) for effect in said] == [Adopt, Resync, Certify, Decide, Execute, CancelTimer]
    assert said[:3] == [
        Adopt(FAR - 1, output("the chain before")),
        Resync(FAR - 1, output("far")),
        Certify(FAR - 1, output("far"), (0, 1, 2)),
    ]
    assert said[4] == Execute(solo.block(FAR), 0)
    assert solo.protocol.state == far_certificate(solo).certificates[0].value.id
    solo.executed(solo.block(FAR))
    solo.accept(FAR + 1)
    assert solo.voted(Prevote) == [(FAR + 1, 0, solo.value(FAR + 1).id)]


def test_certificates_before_a_gap_are_let_go() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    solo.decide(1)
    solo.hear(far_certificate(solo, height=FAR + 1))
    (answer,) = solo.hear(Status(0, 1, 0))
    assert [each.height for each in answer.message.certificates] == [FAR + 1]  # type: ignore[union-attr]


def test_who_lags_behind_all_certificates_takes_the_state_over_that_a_proposal_states() -> None:
    """What it was told to execute before is void."""
    solo = TendermintSolo(blocks=FAR + 9, digest="proposal")
    solo.hear(solo.certificates(1))
    assert solo.of(Execute) == [Execute(solo.block(1), 0)]
    certificate = far_certificate(solo)
    said = solo.hear(certificate)
    state = certificate.certificates[0].value.id
    assert [effect for effect in said if not isinstance(effect, SetTimer)] == [
        Adopt(FAR, state),
        Resync(FAR, output("far")),
    ]
    assert (solo.protocol.decided, solo.protocol.certified, solo.protocol.state) == (FAR, FAR, state)
    solo.accept(FAR + 1)
    assert solo.voted(Prevote) == [(FAR + 1, 0, solo.value(FAR + 1).id)]
    (answer,) = solo.hear(Status(0, FAR, 0))
    assert answer.message.certificates == certificate.certificates, "and shows others the way"  # type: ignore[union-attr]


def test_nobody_waits_when_the_last_state_is_taken_over() -> None:
    solo = TendermintSolo(blocks=FAR, digest="proposal")
    solo.hear(far_certificate(solo))
    assert isinstance(solo.effects[-1], CancelTimer)


def test_a_state_is_taken_over_on_the_word_of_two_thirds_and_from_beyond_all_certificates_only() -> None:
    solo = TendermintSolo(blocks=FAR + 9)
    for lie in (far_certificate(solo, voters=(0, 1)), far_certificate(solo, height=FAR - 1)):
        assert solo.hear(lie) == []
    solo.decide(1)
    other = solo.value(2, before="another")
    solo.precommits((0, 1, 2), other, 2)
    solo.hear(solo.proposal(2, value=other))
    assert solo.protocol.halt_at == 2
    assert solo.hear(far_certificate(solo, height=FAR + 1)) == [], "who halted stays where it is"


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
def test_a_replica_away_for_longer_than_certificates_are_kept_goes_on_without_what_it_missed(
    digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("certificates", "replica"):
        monkeypatch.setattr(f"consensus.tendermint.{module}.CERTIFICATES_KEPT", 8)
        monkeypatch.setattr(f"consensus.tendermint.{module}.CERTIFICATES_SENT_MAX", 4)

    def deaf(sender: int, receiver: int, message: Message) -> int | None:
        return None if receiver == 3 and cluster.now_ns < 1_500 * MS else 10 * MS

    cluster = TendermintCluster(tendermint(digest=digest), blocks=60, delay_ns=deaf)
    cluster.run().settle()
    cluster.check_no_fork()
    cluster.check_outvoted()
    assert cluster.heights() == [60] * 4
    assert [len(adopted) for adopted in cluster.adopted] == [0, 0, 0, 1]
    (adopt,) = cluster.adopted[3]
    assert adopt.state == cluster.decided[0][adopt.height].state
    assert set(range(adopt.height + 1, 61)) <= set(cluster.decided[3])


def test_a_replica_cut_off_for_long_catches_up() -> None:
    def deaf(sender: int, receiver: int, message: Message) -> int | None:
        return None if receiver == 3 and cluster.now_ns < 2_000 * MS else 10 * MS

    cluster = TendermintCluster(tendermint(), blocks=100, delay_ns=deaf)
    cluster.run()
    cluster.check_no_fork()
    assert cluster.heights() == [100] * 4


def test_a_replica_back_from_a_crash_executes_again_what_was_lost_and_asks() -> None:
    solo = TendermintSolo()
    solo.hear(solo.proposal())
    effects = solo.keep(solo.protocol.recover())
    assert [effect.block for effect in effects if isinstance(effect, Execute)] == [solo.block(1)]
    assert solo.said(Status) == [Status(3, 1, 0)]
    assert isinstance(effects[-1], SetTimer)


def test_a_replica_that_crashed_while_it_executed_what_is_decided_does_that_again() -> None:
    solo = TendermintSolo()
    solo.hear(solo.certificates(1))
    effects = solo.keep(solo.protocol.recover())
    assert [effect.block for effect in effects if isinstance(effect, Execute)] == [solo.block(1)]


def test_a_silent_proposer_costs_one_round() -> None:
    cluster = TendermintCluster(tendermint(), behaviours={0: "silent"}).run()
    assert cluster.heights()[1:] == [5] * 3
    assert {height: decide.view for height, decide in cluster.decided[1].items()} == {1: 1, 2: 0, 3: 0, 4: 0, 5: 1}


@pytest.mark.parametrize("digest", ["next-header", "proposal"])
@pytest.mark.parametrize("behaviour", ["equivocating-leader", "equivocating-voter"])
@pytest.mark.parametrize("n", [4, 7])
def test_an_equivocator_forks_nothing_and_stops_nobody(n: int, behaviour: str, digest: str) -> None:
    cluster = TendermintCluster(tendermint(n, digest=digest), behaviours={1: behaviour}, blocks=8).run()
    cluster.check_no_fork()
    cluster.check_honest_votes()
    assert cluster.is_done


def test_an_equivocating_proposer_makes_up_no_polka() -> None:
    solo = locked()
    proposal = replace(solo.proposal(1, 1, solo.value(), 0, (0, 1, 3)), sender=3)
    told = {
        send.receiver: send.message for send in EquivocatingLeader(solo.protocol, 3, 4)._bend((Broadcast(proposal),))
    }  # type: ignore[union-attr]
    assert told == {0: proposal, 1: Proposal(3, 1, solo.empty(), -1, ()), 2: Proposal(3, 1, solo.empty(), -1, ())}


def test_copies_of_a_replica_are_equal_and_the_same_inputs_give_the_same_effects() -> None:
    random = Random(1)

    def lossy(sender: int, receiver: int, message: Message) -> int | None:
        return None if random.random() < 0.1 else random.randint(1, 40) * MS

    cluster = TendermintCluster(tendermint(), blocks=3, delay_ns=lossy).run()
    for node in cluster.inner:
        copy = deepcopy(node)
        assert copy == node
        assert copy.receive(Status(0, 1, 0)) == node.receive(Status(0, 1, 0))  # type: ignore[arg-type]
        assert copy == node
