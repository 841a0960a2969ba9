"""Do faulty replicas lie in the words of every protocol?"""

from __future__ import annotations

import pytest

from consensus.behaviours import EquivocatingLeader, EquivocatingVoter, Silent
from consensus.icp import messages as icp
from consensus.pbft import messages as pbft
from consensus.pbft_classic import messages as pbft_classic
from consensus.protocol import Block, Broadcast, Effects, Execute, Message, Pair, Reply, Send
from consensus.tendermint import messages as tendermint

BLOCK = Block(3, (2,))
OUTPUT = bytes(range(32))
PROPOSALS: list[Message] = [
    pbft.PrePrepare(1, 0, BLOCK),
    tendermint.Proposal(1, 0, tendermint.Value(BLOCK, OUTPUT, OUTPUT), -1, ()),
    icp.Proposal(1, icp.TreeBlock(BLOCK, 1, 0, icp.GENESIS), None),
]
VOTES: list[Message] = [
    pbft.Prepare(1, 0, 3, Pair(BLOCK.digest, OUTPUT)),
    pbft.Commit(1, 0, 3, Pair(BLOCK.digest, OUTPUT)),
    pbft_classic.Prepare(1, 0, 3, BLOCK.digest),
    pbft_classic.Commit(1, 0, 3, BLOCK.digest),
    tendermint.Prevote(1, 3, 0, OUTPUT),
    tendermint.Precommit(1, 3, 0, None),
    icp.NotarizationShare(1, 3, 0, OUTPUT),
    icp.FinalizationShare(1, 3, OUTPUT),
    icp.CertificationShare(1, 3, OUTPUT),
]


class Says:
    """A protocol that has something to say when the run begins."""

    def __init__(self, *effects: object) -> None:
        self.effects = effects

    def start(self) -> Effects:
        return self.effects  # type: ignore[return-value]


def told(effects: Effects) -> dict[int, Message]:
    """What is sent to each replica; what goes to all shows as -1."""
    return {each.receiver if isinstance(each, Send) else -1: each.message for each in effects}  # type: ignore[union-attr]


@pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda message: f"{type(message).__module__}.{message.kind}")
def test_a_leader_that_equivocates_proposes_an_empty_block_to_half_of_the_others(proposal: Message) -> None:
    sent = told(EquivocatingLeader(Says(Broadcast(proposal)), 1, 5).start())  # type: ignore[arg-type]

    assert sorted(sent) == [0, 2, 3, 4]
    assert [sent[receiver] == proposal for receiver in (0, 2, 3, 4)] == [True, True, False, False]
    lie = sent[4]
    assert (lie.kind, lie.sender, lie.height, lie.view) == (proposal.kind, 1, 3, 0)


@pytest.mark.parametrize("vote", VOTES, ids=lambda message: f"{type(message).__module__}.{message.kind}")
def test_a_voter_that_equivocates_tells_the_truth_to_even_ids_alone(vote: Message) -> None:
    sent = told(EquivocatingVoter(Says(Broadcast(vote)), 1, 5).start())  # type: ignore[arg-type]

    assert [sent[receiver] == vote for receiver in (0, 2, 3, 4)] == [True, True, False, True]
    lie = sent[3]
    assert (lie.kind, lie.sender, lie.height, lie.view) == (vote.kind, 1, 3, 0)


def test_each_lies_in_its_own_matter_alone() -> None:
    assert told(EquivocatingLeader(Says(Broadcast(VOTES[0])), 1, 5).start()) == {-1: VOTES[0]}  # type: ignore[arg-type]
    assert told(EquivocatingVoter(Says(Broadcast(PROPOSALS[0])), 1, 5).start()) == {-1: PROPOSALS[0]}  # type: ignore[arg-type]


def test_who_is_silent_tells_clients_nothing_either_and_goes_on_computing() -> None:
    execute = Execute(BLOCK, 0)
    says = Says(Broadcast(VOTES[0]), Send(2, VOTES[0]), Reply(BLOCK, OUTPUT), execute)

    assert Silent(says, 1, 5).start() == (execute,)  # type: ignore[arg-type]
