"""Algorithm 1, rule by rule: what follows from an event, and what is refused."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec.structs import replace

from consensus.tendermint import events
from consensus.tendermint.round_state import (
    CastPrecommit,
    CastPrevote,
    DecideValue,
    GetValue,
    Output,
    Propose,
    Refused,
    RoundState,
    Schedule,
    SkipTo,
    Step,
    Timeout,
)
from consensus.tendermint.rules import apply

A, B = b"a", b"b"
ALL_EVENTS: tuple[events.Event, ...] = (
    events.StartRound(9, is_proposer=False),
    events.ValueReady(A),
    events.ProposalReceived(A),
    events.InvalidProposal(),
    events.ProposalWithEarlierPolka(A, 0),
    events.InvalidProposalWithPolka(),
    events.ProposalWithPolka(A),
    events.PolkaAny(),
    events.PolkaNil(),
    events.PrecommitAny(),
    events.ProposalWithPrecommits(0, A),
    events.RoundSkip(9),
    *(events.TimedOut(timeout, 1, 2) for timeout in get_args(Timeout)),
)


def at(step: Step, **known: object) -> RoundState:
    """Height 1, round 2."""
    return replace(RoundState(height=1, round=2, step=step), **known)  # type: ignore[arg-type]


def said(state: RoundState, event: events.Event) -> Output | None:
    return apply(state, event).output


def refused(state: RoundState, event: events.Event) -> bool:
    after, output = apply(state, event)
    assert not isinstance(output, Refused) or after == state, "what is refused changes nothing"
    return isinstance(output, Refused)


ALLOWED = {
    "none": {"StartRound", "PrecommitAny", "ProposalWithPrecommits", "RoundSkip", "TimedOut precommit"},
    "unstarted": {"StartRound", "PrecommitAny", "ProposalWithPrecommits", "RoundSkip", "TimedOut precommit"},
    "propose": {
        "ValueReady",
        "ProposalReceived",
        "InvalidProposal",
        "ProposalWithEarlierPolka",
        "InvalidProposalWithPolka",
        "PrecommitAny",
        "ProposalWithPrecommits",
        "RoundSkip",
        "TimedOut propose",
        "TimedOut precommit",
    },
    "prevote": {
        "ValueReady",
        "ProposalWithPolka",
        "PolkaAny",
        "PolkaNil",
        "PrecommitAny",
        "ProposalWithPrecommits",
        "RoundSkip",
        "TimedOut prevote",
        "TimedOut precommit",
    },
    "precommit": {
        "ValueReady",
        "ProposalWithPolka",
        "PrecommitAny",
        "ProposalWithPrecommits",
        "RoundSkip",
        "TimedOut precommit",
    },
    "commit": set(),
}


@pytest.mark.parametrize("step", get_args(Step))
def test_each_step_allows_its_own_events_and_refuses_all_others(step: Step) -> None:
    def name(event: events.Event) -> str:
        return " ".join([type(event).__name__, *([event.timeout] if isinstance(event, events.TimedOut) else [])])

    assert {name(event) for event in ALL_EVENTS if not refused(at(step), event)} == ALLOWED[step]


def test_who_does_not_propose_waits_for_a_proposal() -> None:
    state, output = apply(RoundState(height=1), events.StartRound(0, is_proposer=False))
    assert (state.round, state.step, output) == (0, "propose", Schedule("propose", 0))


def test_a_proposer_proposes_the_valid_value_that_it_knows_and_asks_for_one_only_otherwise() -> None:
    start = events.StartRound(3, is_proposer=True)
    assert said(at("unstarted"), start) == GetValue(3)
    assert said(at("unstarted", valid_value=A, valid_round=1), start) == Propose(3, A, 1)


def test_a_value_of_ones_own_is_proposed_without_a_polka() -> None:
    assert said(at("propose"), events.ValueReady(A)) == Propose(2, A, -1)


def test_a_value_that_comes_late_is_proposed_with_the_valid_round_of_that_moment() -> None:
    """Line 19 broadcasts the variable, and line 43 may have set it while the value was asked for."""
    late = at("precommit", valid_value=B, valid_round=2)
    assert said(late, events.ValueReady(A)) == Propose(2, A, 2)


@pytest.mark.parametrize("round_", [0, 2])
def test_rounds_only_go_up(round_: int) -> None:
    assert refused(at("unstarted"), events.StartRound(round_, is_proposer=False))
    assert refused(at("prevote"), events.RoundSkip(round_))
    assert apply(at("prevote"), events.RoundSkip(3)) == (at("unstarted"), SkipTo(3))


def test_a_valid_proposal_is_prevoted_by_who_is_free_or_locked_on_it_and_nil_by_who_is_locked_on_another() -> None:
    def vote(**lock: object) -> Output | None:
        return said(at("propose", **lock), events.ProposalReceived(A))

    assert vote() == CastPrevote(2, A)
    assert vote(locked_value=A, locked_round=1) == CastPrevote(2, A)
    assert vote(locked_value=B, locked_round=1) == CastPrevote(2, None)
    assert vote(locked_value=B, locked_round=0) == CastPrevote(2, None)


@pytest.mark.parametrize(("locked_round", "vote"), [(0, A), (1, A), (2, None)])
def test_a_polka_as_late_as_the_lock_unlocks_and_an_earlier_one_does_not(locked_round: int, vote: bytes | None) -> None:
    locked = replace(at("propose", locked_value=B, locked_round=locked_round), round=3)
    assert said(locked, events.ProposalWithEarlierPolka(A, 1)) == CastPrevote(3, vote)


def test_who_is_locked_on_a_value_prevotes_it_whatever_polka_it_had() -> None:
    locked = replace(at("propose", locked_value=A, locked_round=2), round=3)
    assert said(locked, events.ProposalWithEarlierPolka(A, 0)) == CastPrevote(3, A)


@pytest.mark.parametrize("valid_round", [-1, 2, 3])
def test_a_polka_of_this_round_or_a_later_one_is_no_earlier_polka(valid_round: int) -> None:
    assert refused(at("propose"), events.ProposalWithEarlierPolka(A, valid_round))


@pytest.mark.parametrize("event", [events.InvalidProposal(), events.InvalidProposalWithPolka()])
def test_what_is_not_valid_is_prevoted_nil(event: events.Event) -> None:
    assert said(at("propose"), event) == CastPrevote(2, None)


def test_a_polka_locks_in_the_prevote_step() -> None:
    state, output = apply(at("prevote", locked_value=B, locked_round=0), events.ProposalWithPolka(A))
    assert output == CastPrecommit(2, A)
    assert state == at("precommit", locked_value=A, locked_round=2, valid_value=A, valid_round=2)


def test_a_polka_that_comes_after_the_precommit_is_remembered_and_locks_nothing() -> None:
    state, output = apply(at("precommit", locked_value=B, locked_round=0), events.ProposalWithPolka(A))
    assert output is None
    assert state == at("precommit", locked_value=B, locked_round=0, valid_value=A, valid_round=2)


def test_a_polka_on_nil_is_precommitted_and_unlocks_nothing() -> None:
    state, output = apply(at("prevote", locked_value=A, locked_round=0), events.PolkaNil())
    assert (state, output) == (at("precommit", locked_value=A, locked_round=0), CastPrecommit(2, None))


def test_votes_without_agreement_start_the_timeout_of_their_step() -> None:
    assert said(at("prevote"), events.PolkaAny()) == Schedule("prevote", 2)
    assert said(at("propose"), events.PrecommitAny()) == Schedule("precommit", 2)


def test_a_timeout_votes_nil_or_ends_the_round_and_leaves_locks_alone() -> None:
    lock = {"locked_value": A, "locked_round": 0}
    assert apply(at("propose", **lock), events.TimedOut("propose", 1, 2)) == (
        at("prevote", **lock),
        CastPrevote(2, None),
    )
    assert apply(at("prevote", **lock), events.TimedOut("prevote", 1, 2)) == (
        at("precommit", **lock),
        CastPrecommit(2, None),
    )
    assert apply(at("prevote", **lock), events.TimedOut("precommit", 1, 2)) == (
        at("unstarted", **lock),
        SkipTo(3),
    )


@pytest.mark.parametrize("timeout", get_args(Timeout))
@pytest.mark.parametrize(("height", "round_"), [(2, 2), (1, 1), (1, 3)])
def test_a_timeout_of_another_round_or_height_is_refused(timeout: Timeout, height: int, round_: int) -> None:
    for step in get_args(Step):
        assert refused(at(step), events.TimedOut(timeout, height, round_))


@pytest.mark.parametrize("step", [step for step in get_args(Step) if step != "commit"])
def test_two_thirds_that_precommitted_a_proposal_of_any_round_decide_it_in_any_step(step: Step) -> None:
    for round_ in (0, 2, 7):
        state, output = apply(at(step), events.ProposalWithPrecommits(round_, A))
        assert (state.step, output) == ("commit", DecideValue(round_, A))
