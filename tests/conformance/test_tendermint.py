"""Tendermint against steps written down by others: a state, an input, and what must follow."""

from __future__ import annotations

import pytest
from support import tendermint_vectors as vectors

from consensus.tendermint.round_state import Refused
from consensus.tendermint.rules import apply

pytestmark = pytest.mark.skipif(
    not vectors.folder().is_dir(), reason=f"no vectors in {vectors.folder()}; LASTBIT_CONFORMANCE names their folder"
)


def test_the_rules_of_one_height_answer_each_input_as_the_specification_does() -> None:
    judged = 0
    for row in vectors.rows("input"):
        if row.get("beyond_paper"):
            continue
        state, output = apply(vectors.state_of(row["pre"]), vectors.event_of(row["input"]))
        expected = vectors.output_of(row["output"], row["pre"])
        if isinstance(expected, Refused):
            assert isinstance(output, Refused), row
        else:
            assert output == expected, row
        assert state == vectors.state_of(row["post"]), row
        judged += 1
    if judged == 0:
        pytest.skip(f"no steps of the state machine in {vectors.folder()}")


def test_the_vote_keeper_counts_each_vote_as_the_specification_does() -> None:
    judged = 0
    for row in vectors.rows("vote"):
        found, weight, current_round = row["vote"]["WV"]
        keeper = vectors.Keeper(row["pre"])
        vote = keeper.vote(found)
        assert keeper.keeper.quorum.weights[vote.sender] == weight
        assert keeper.keeper.add(vote, current_round) == keeper.threshold(row["output"]), row
        keeper.assert_is(row["post"])
        judged += 1
    if judged == 0:
        pytest.skip(f"no steps of the vote keeper in {vectors.folder()}")
