"""Who proposes when: in turn, by weight."""

from __future__ import annotations

from collections import Counter

import pytest
from support.tendermint_cluster import TendermintCluster, tendermint

from consensus.tendermint.messages import Proposal
from consensus.tendermint.proposers import Turns

WEIGHTS = [(1, 1, 1, 1), (7,), (2, 1, 1, 1), (3, 2, 2, 1, 1, 1), (10, 30, 60), (5, 5, 5), (97, 1, 1, 1)]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_in_as_many_turns_as_all_weigh_each_proposes_as_often_as_it_weighs(weights: tuple[int, ...]) -> None:
    turns, total = Turns(weights), sum(weights)
    for first in (0, 1, 17):
        assert Counter(turns.proposer(turn) for turn in range(first, first + total)) == dict(enumerate(weights))


@pytest.mark.parametrize("weight", [1, 5])
def test_equal_weights_propose_one_after_another(weight: int) -> None:
    turns = Turns((weight,) * 4)
    assert [turns.proposer(turn) for turn in range(12)] == [0, 1, 2, 3] * 3


def test_the_order_is_that_of_the_highest_priority_and_repeats() -> None:
    """Priorities by hand: (5 1 1) 0; (3 2 2) 0; (1 3 3) 1; (6 -3 4) 0; (4 -2 5) 2; (9 -1 -1) 0; (7 0 0) 0."""
    turns = Turns((5, 1, 1))
    assert [turns.proposer(turn) for turn in range(14)] == [0, 0, 1, 0, 2, 0, 0] * 2
    assert Turns((5, 1, 1)).proposer(10**12 + 4) == turns.proposer((10**12 + 4) % 7), "any turn, in any order"


def test_the_order_is_remembered_for_one_period_and_what_weights_have_in_common_is_left_out() -> None:
    turns = Turns((200, 100, 100))
    assert [turns.proposer(turn) for turn in range(1_000)] == [0, 1, 2, 0] * 250
    assert len(turns._known) == 4


def test_the_heavy_propose_more_often_than_the_light() -> None:
    cluster = TendermintCluster(tendermint(weights=(2, 1, 1, 1)), blocks=10).run()
    proposers = {message.height: sender for sender, _, message in cluster.sent if isinstance(message, Proposal)}
    assert Counter(proposers.values()) == {0: 4, 1: 2, 2: 2, 3: 2}
