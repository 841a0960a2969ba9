"""The rules of one height: Algorithm 1 of arXiv:1807.04938 as a pure function.

Two things differ from the letter of the paper, and neither changes what is said. That a round is left and that the next
begins are two events, since whoever makes them knows the proposer. And a value is asked for and comes back later.
That a rule fires "for the first time" only is the duty of whoever makes the events.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from consensus.tendermint.events import (
    Event,
    InvalidProposal,
    InvalidProposalWithPolka,
    PolkaAny,
    PolkaNil,
    PrecommitAny,
    ProposalReceived,
    ProposalWithEarlierPolka,
    ProposalWithPolka,
    ProposalWithPrecommits,
    RoundSkip,
    StartRound,
    TimedOut,
    ValueReady,
)
from consensus.tendermint.round_state import (
    NO_ROUND,
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
    ValueId,
)


class Transition(NamedTuple):
    """What follows from an event. Without an output the state has changed and nothing is said."""

    state: RoundState
    output: Output | None


@lru_cache(maxsize=256)  # replicas that agree take the same steps
def apply(state: RoundState, event: Event) -> Transition:
    """What one event makes of a state.

    Example:
        >>> state, output = apply(RoundState(height=1), StartRound(0, is_proposer=True))
        >>> output
        GetValue(round=0)
        >>> apply(state, TimedOut("propose", height=1, round=0)).output
        CastPrevote(round=0, value=None)
        >>> apply(state, PolkaNil()).output
        Refused(why='not in the prevote step')
    """
    if state.step == "commit":
        return _refused(state, "this height is decided")  # line 52: the process has moved on to the next
    return _RULES[event.__class__](state, event)


def _start_round(state: RoundState, event: StartRound) -> Transition:
    if state.step not in ("none", "unstarted"):
        return _refused(state, "a round is under way")
    if event.round <= state.round:
        return _refused(state, "not later than the last round")
    begun = replace(state, round=event.round, step="propose")  # lines 12 and 13
    if not event.is_proposer:
        return Transition(begun, Schedule("propose", event.round))  # lines 20 and 21
    if state.valid_value is not None:  # lines 15, 16 and 19
        return Transition(begun, Propose(event.round, state.valid_value, state.valid_round))
    return Transition(begun, GetValue(event.round))  # line 18


def _value_ready(state: RoundState, event: ValueReady) -> Transition:
    if state.step not in ("propose", "prevote", "precommit"):
        return _refused(state, "no round is under way")
    return Transition(state, Propose(state.round, event.value, state.valid_round))  # line 19


def _proposal_received(state: RoundState, event: ProposalReceived) -> Transition:
    if state.step != "propose":  # line 22
        return _refused(state, "not in the propose step")
    free = state.locked_round == NO_ROUND or state.locked_value == event.value  # line 23
    return _prevote(state, event.value if free else None)  # lines 24 to 27


def _invalid_proposal(state: RoundState, _: InvalidProposal | InvalidProposalWithPolka) -> Transition:
    if state.step != "propose":  # lines 22 and 28
        return _refused(state, "not in the propose step")
    return _prevote(state, None)  # lines 26 and 32


def _proposal_with_earlier_polka(state: RoundState, event: ProposalWithEarlierPolka) -> Transition:
    if state.step != "propose" or not 0 <= event.valid_round < state.round:  # line 28
        return _refused(state, "not in the propose step, or its polka is of no earlier round")
    free = (
        state.locked_round <= event.valid_round or state.locked_value == event.value
    )  # line 29: a later polka unlocks
    return _prevote(state, event.value if free else None)  # lines 30 to 33


def _polka_any(state: RoundState, _: PolkaAny) -> Transition:
    if state.step != "prevote":  # line 34
        return _refused(state, "not in the prevote step")
    return Transition(state, Schedule("prevote", state.round))  # line 35


def _proposal_with_polka(state: RoundState, event: ProposalWithPolka) -> Transition:
    if state.step not in ("prevote", "precommit"):  # line 36
        return _refused(state, "not in the prevote step or later")
    valid = replace(state, valid_value=event.value, valid_round=state.round)  # lines 42 and 43
    if state.step != "prevote":
        return Transition(valid, None)
    locked = replace(valid, locked_value=event.value, locked_round=state.round)  # lines 38 and 39
    return _precommit(locked, event.value)  # lines 40 and 41


def _polka_nil(state: RoundState, _: PolkaNil) -> Transition:
    if state.step != "prevote":  # line 44
        return _refused(state, "not in the prevote step")
    return _precommit(state, None)  # lines 45 and 46


def _precommit_any(state: RoundState, _: PrecommitAny) -> Transition:
    return Transition(state, Schedule("precommit", state.round))  # lines 47 and 48


def _proposal_with_precommits(state: RoundState, event: ProposalWithPrecommits) -> Transition:
    return Transition(replace(state, step="commit"), DecideValue(event.round, event.value))  # lines 49 to 51


def _round_skip(state: RoundState, event: RoundSkip) -> Transition:
    if event.round <= state.round:  # line 55
        return _refused(state, "not later than this round")
    return _leave_for(state, event.round)  # line 56


def _timed_out(state: RoundState, event: TimedOut) -> Transition:
    if (event.height, event.round) != (state.height, state.round):  # lines 58, 62 and 66
        return _refused(state, "a timeout of another round")
    if event.timeout == "precommit":
        return _leave_for(state, state.round + 1)  # line 67
    if event.timeout == "propose" and state.step == "propose":  # line 58
        return _prevote(state, None)  # lines 59 and 60
    if event.timeout == "prevote" and state.step == "prevote":  # line 62
        return _precommit(state, None)  # lines 63 and 64
    return _refused(state, "the step that it was for is over")


def _prevote(state: RoundState, value: ValueId | None) -> Transition:
    return Transition(replace(state, step="prevote"), CastPrevote(state.round, value))


def _precommit(state: RoundState, value: ValueId | None) -> Transition:
    return Transition(replace(state, step="precommit"), CastPrecommit(state.round, value))


def _leave_for(state: RoundState, round_: int) -> Transition:
    return Transition(replace(state, step="unstarted"), SkipTo(round_))


def _refused(state: RoundState, why: str) -> Transition:
    return Transition(state, Refused(why))


_RULES: dict[type, Callable[[RoundState, Any], Transition]] = {
    StartRound: _start_round,
    ValueReady: _value_ready,
    ProposalReceived: _proposal_received,
    InvalidProposal: _invalid_proposal,
    InvalidProposalWithPolka: _invalid_proposal,
    ProposalWithEarlierPolka: _proposal_with_earlier_polka,
    ProposalWithPolka: _proposal_with_polka,
    PolkaAny: _polka_any,
    PolkaNil: _polka_nil,
    PrecommitAny: _precommit_any,
    ProposalWithPrecommits: _proposal_with_precommits,
    RoundSkip: _round_skip,
    TimedOut: _timed_out,
}
