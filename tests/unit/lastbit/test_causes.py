from __future__ import annotations

from dataclasses import replace

import pytest
from support.observing import attempt

from consensus.protocol import Block
from consensus.quorum import QuorumSystem
from lastbit.attempts import Verdict
from lastbit.causes import Facts, find_cause
from lastbit.protocols.kind import Patience

BLOCK = Block(5, (4,))
FOUR = QuorumSystem.equal(4)


def together(*sides: list[int]) -> dict[int, frozenset[int]]:
    """Only within a side replicas reach each other."""
    return {one: frozenset(side) for side in sides for one in side}


QUIET = Facts(
    quorum=FOUR,
    policy="retry",
    silent=(),
    down=(),
    halted_themselves=(),
    resyncing=(),
    catching_up=(),
    resync_ns=150_000_000,
    honest_up=(0, 1, 2, 3),
    reach=together([0, 1, 2, 3]),
    reach_changes=False,
    verdict=None,
    height=5,
    liar=None,
    halted=False,
    is_done=False,
    behind=(),
    delay_ns=10_000_000,
    compute_ns=17_100,
    patience=Patience("timeouts grow to at most", 480_000_000, 20_000_000),
    block_ns=30_000_000,
    stall_after_ns=300_000_000,
    leaders={0: "honest"},
    leader_states_output=False,
    uncertified=0,
    uncertified_max=None,
    loss=0.0,
)


def split(view: int = 0, said: str = "abcd") -> Verdict:
    verdict = attempt(dict(enumerate(said)), block=BLOCK, view=view).judge(FOUR)
    assert verdict is not None
    return verdict


def test_a_cause_that_is_not_known_is_called_so() -> None:
    assert find_cause(QUIET).code == "unexplained"


@pytest.mark.parametrize(
    ("facts", "code", "sentence"),
    [
        pytest.param(
            replace(QUIET, silent=(2,), down=(0, 3)),
            "no-quorum-alive",
            "no quorum alive: 1 of 4 speak, 3 are needed (replica 2 silent, replicas 0, 3 down)",
            id="too few speak",
        ),
        pytest.param(
            replace(QUIET, honest_up=()),
            "nobody-honest",
            "nobody honest is up: every replica that speaks is faulty, and none of their words count",
            id="nobody honest",
        ),
        pytest.param(
            replace(QUIET, reach=together([0, 1], [2, 3])),
            "partition",
            "partition: no side weighs 3 (replicas 0, 1 | 2, 3)",
            id="partition",
        ),
        pytest.param(
            replace(QUIET, reach=together([0, 1, 2], [3]), silent=(2,)),
            "partition",
            "partition: no side weighs 3 (replicas 0, 1 | 3)",
            id="the larger side lacks a silent one",
        ),
        pytest.param(
            replace(QUIET, verdict=split(), policy="halt", halted=True),
            "split-ballot",
            "no quorum, and none possible: 4 voters, 4 answers; the replicas stopped voting, as the policy says",
            id="split under halt",
        ),
        pytest.param(
            replace(QUIET, verdict=split(view=3, said="aabb")),
            "split-ballot",
            "no quorum, and none possible: 4 voters, 2 answers; tried again up to view 3, in vain",
            id="split under retry",
        ),
        pytest.param(
            replace(QUIET, verdict=split()),
            "split-ballot",
            "no quorum, and none possible: 4 voters, 4 answers",
            id="split, and not tried again yet",
        ),
        pytest.param(
            replace(QUIET, liar=0, policy="halt", halted=True),
            "split-proposal",
            "replica 0, which led, proposed several blocks, and none has a quorum; the replicas stopped voting, "
            "as the policy says",
            id="a leader that proposed two blocks",
        ),
        pytest.param(
            replace(QUIET, is_done=True, behind=(1,)),
            "replica-behind",
            "the chain is done, but replica 1 cannot catch up",
            id="one is behind",
        ),
        pytest.param(
            replace(QUIET, patience=QUIET.patience._replace(longest_ns=20_000_000)),
            "timeouts-too-short",
            "timeouts grow to at most 20 ms; with delays of 10 ms and 0.0171 ms to compute, more than 20 ms are needed",
            id="timeouts too short",
        ),
        pytest.param(
            replace(QUIET, leaders={0: "honest", 1: "silent"}),
            "faulty-leader",
            "replica 1, which leads, is faulty (silent)",
            id="faulty leader",
        ),
        pytest.param(
            replace(QUIET, policy="halt", halted=True, loss=0.25),
            "halted",
            "a timeout ended an attempt before a quorum could form (the network loses 0.25 of all messages); "
            "the replicas stopped voting, as the policy says",
            id="halted by a timeout",
        ),
        pytest.param(
            replace(QUIET, down=(1,), leaders={1: "honest"}),
            "leader-away",
            "replica 1, which leads, is down",
            id="leader down",
        ),
        pytest.param(
            replace(QUIET, reach=together([0], [1, 2, 3]), leaders={0: "honest", 1: "honest"}),
            "leader-away",
            "replica 0, which leads, is cut off from those who could form a quorum",
            id="leader cut off",
        ),
        pytest.param(
            replace(QUIET, block_ns=300_000_001, delay_ns=99_994_300),
            "slow-block",
            "with delays of 99.9943 ms and 0.0171 ms to compute, a block takes 300 ms, and standing still for 300 ms "
            "counts as a stall",
            id="slow block",
        ),
        pytest.param(
            replace(QUIET, loss=0.25),
            "messages-lost",
            "the network loses 0.25 of all messages, and votes were missing",
            id="loss",
        ),
    ],
)
def test_each_cause_is_found_by_what_it_takes_and_no_more(facts: Facts, code: str, sentence: str) -> None:
    cause = find_cause(facts)

    assert (cause.code, cause.sentence) == (code, sentence)


def test_an_attempt_that_agreed_explains_no_stall() -> None:
    assert find_cause(replace(QUIET, verdict=split(said="aaab"))).code == "unexplained"


def test_a_side_with_a_quorum_makes_a_partition_no_cause() -> None:
    assert find_cause(replace(QUIET, reach=together([0, 1, 2], [3]))).code == "unexplained"


def test_too_few_alive_is_named_before_answers_that_differ() -> None:
    assert find_cause(replace(QUIET, down=(2, 3), verdict=split())).code == "no-quorum-alive"


def test_answers_that_differ_are_named_before_a_faulty_leader() -> None:
    assert find_cause(replace(QUIET, verdict=split(), leaders={3: "silent"})).code == "split-ballot"


def test_weight_and_not_heads_decides_whether_a_quorum_is_alive() -> None:
    heavy = QuorumSystem((5, 1, 1, 1))

    assert find_cause(replace(QUIET, quorum=heavy, down=(2, 3))).code == "unexplained"
    assert find_cause(replace(QUIET, quorum=heavy, down=(0,))).code == "no-quorum-alive"
