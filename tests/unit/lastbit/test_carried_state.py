from __future__ import annotations

import pytest
from support.carrying import block, carried, decision
from support.observing import answer

from consensus.protocol import Block
from lastbit.carried_state import GENESIS_STATE, STATES_KEPT, CarriedState, StateArchive, extended

LATER = 7


def grown(state: CarriedState, heights: int, *, first: int = 1) -> CarriedState:
    """Executes and decides heights as all others do."""
    for height in range(first, first + heights):
        named = state.answer(block(height), 0).named
        state.decide(decision(block(height), named))
    return state


def states(of: CarriedState, heights: int) -> list[bytes | None]:
    return [of.after(height) for height in range(heights + 1)]


def test_before_the_first_block_all_have_the_same_state() -> None:
    assert carried().after(0) == carried(otherwise={0}).after(0) == GENESIS_STATE


def test_equal_answers_lead_to_equal_states_and_each_height_to_another() -> None:
    one, other = grown(carried(), 5), grown(carried(), 5)

    assert states(one, 5) == states(other, 5)
    assert len(set(states(one, 5))) == 6


def test_an_answer_names_the_state_that_it_leads_to_and_keeps_what_was_said() -> None:
    said = carried().answer(block(1), 0)

    assert said.named == said.state == extended(GENESIS_STATE, answer("(0,)")).state
    assert said.digest == answer("(0,)").digest


def test_who_answered_otherwise_once_differs_for_ever() -> None:
    right, wrong = grown(carried(), 5), carried(otherwise={LATER})
    wrong.answer(block(1), LATER)
    wrong.decide(decision(block(1), view=LATER))
    grown(wrong, 4, first=2)

    assert not set(states(right, 5)[1:]) & set(states(wrong, 5)[1:])


def test_of_two_attempts_the_one_that_decides_counts() -> None:
    state = carried(otherwise={1, 2})
    said = [state.answer(block(1), view).named for view in range(3)]
    state.decide(decision(block(1), view=0))

    assert said[0] != said[1]
    assert state.after(1) == said[0]


def test_where_the_attempt_that_decides_was_not_executed_the_last_one_at_the_block_counts() -> None:
    state = carried(otherwise={2})
    said = [state.answer(block(1), view).named for view in (0, 2)]
    state.answer(Block(1, ()), 3)
    state.decide(decision(block(1), said[0], view=5))

    assert state.after(1) == said[1]


def test_who_executed_nothing_takes_over_what_comes_with_the_decision() -> None:
    state = carried()
    state.decide(decision(block(1), b"their state"))

    assert state.after(1) == b"their state"


def test_who_executed_another_block_takes_over_what_comes_with_the_decision() -> None:
    state = carried()
    state.answer(Block(1, ()), 0)
    state.decide(decision(block(1), b"their state"))

    assert state.after(1) == b"their state"


def test_where_votes_name_no_output_a_state_is_not_known_before_it_is_computed() -> None:
    state = carried()
    state.decide(decision(block(1)))
    assert state.after(1) is None

    said = state.answer(block(1), 0).named
    assert state.after(1) == said


def test_a_block_that_is_not_decided_leads_to_no_state() -> None:
    state = carried()
    state.answer(block(1), 0)

    assert state.after(1) is None


def test_an_empty_block_moves_the_state_alike_for_all() -> None:
    found = []
    for state in (carried(), carried()):
        named = state.answer(Block(1, ()), 1).named
        state.decide(decision(Block(1, ()), named, view=1))
        found.append(state.after(1))

    assert found[0] == found[1] != GENESIS_STATE


def test_a_block_executed_again_after_a_crash_leads_to_the_same_state() -> None:
    state = carried()
    state.answer(block(1), 0)
    again = state.answer(block(1), 0).named
    state.decide(decision(block(1), again))

    assert states(state, 1) == states(grown(carried(), 1), 1)


def test_who_takes_a_state_over_goes_on_from_it() -> None:
    right = grown(carried(), 5)
    wrong = carried(otherwise={0})
    grown(wrong, 3)
    taken = right.after(3)
    assert taken is not None
    wrong.take_over(3, taken)
    wrong._replica = right._replica

    assert wrong.after(2) is None  # of its own nothing is left
    assert states(grown(wrong, 2, first=4), 5)[3:] == states(right, 5)[3:]


def test_what_was_tried_from_a_state_that_was_dropped_counts_no_more() -> None:
    state = carried()
    grown(state, 1)
    own = state.answer(block(2), 0).named
    state.take_over(1, b"their state")
    state.decide(decision(block(2), b"what follows from theirs"))

    assert own != state.after(2) == b"what follows from theirs"


def test_what_is_decided_above_a_state_taken_over_is_executed_anew_and_counts_at_once() -> None:
    right, state = grown(carried(), 4), carried(otherwise={0})
    grown(state, 4)
    taken = right.after(2)
    assert taken is not None
    state.take_over(2, taken)
    state._replica = right._replica
    for height in (3, 4):
        state.answer(block(height), 0)

    assert states(state, 4)[2:] == states(right, 4)[2:]


@pytest.mark.parametrize("height", [3, 5])
def test_who_adopts_what_others_decided_has_the_state_that_a_quorum_named_there(height: int) -> None:
    archive = StateArchive()
    others, late = grown(carried(archive), 5), carried(archive)
    late.adopt(height)

    assert late.after(height) == others.after(height)


def test_where_votes_name_no_output_adopting_leaves_the_state_to_what_is_said_with_it() -> None:
    archive, state = StateArchive(), carried()
    state.decide(decision(block(1)))
    state.adopt(1)

    assert archive.decided(1) is None
    assert state.after(1) is None


def test_only_so_many_heights_are_remembered() -> None:
    archive = StateArchive()
    state = grown(carried(archive), STATES_KEPT + 10)

    assert state.after(10) is None
    assert state.after(11) is not None
    assert archive.decided(10) is None
    assert archive.decided(11) is not None
    assert len(state._states) == STATES_KEPT
    assert not state._tried
