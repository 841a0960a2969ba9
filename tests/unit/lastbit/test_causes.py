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
    down_since=(),
    reach_since=together([0, 1, 2, 3]),
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
    held_back=(),
    leader_is_needed=True,
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
            "the chain is done, but replica 1 has not caught up",
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


# --- who is there, who reaches whom, who votes ----------------------------------------------------------------


def codes(facts: Facts) -> tuple[str, ...]:
    cause = find_cause(facts)
    return (cause.code, *cause.contributing)


HALVES = together([0, 1], [2, 3])


def test_two_causes_are_told_in_their_order() -> None:
    assert codes(replace(QUIET, silent=(2, 3), reach=HALVES)) == ("no-quorum-alive", "partition")
    assert codes(replace(QUIET, reach=HALVES, verdict=split())) == ("partition", "split-ballot")
    assert codes(replace(QUIET, verdict=split(), uncertified=4, uncertified_max=4)) == (
        "split-ballot",
        "certification-behind",
    )


def test_too_few_who_speak_are_no_partition() -> None:
    assert codes(replace(QUIET, silent=(2, 3))) == ("no-quorum-alive",)


def test_a_partition_is_judged_among_those_who_would_vote() -> None:
    three_and_one = together([0, 1, 2], [3])

    assert codes(replace(QUIET, reach=three_and_one)) == ("unexplained",)
    assert codes(replace(QUIET, reach=three_and_one, halted_themselves=(2,))) == ("partition", "minority-halted")
    assert codes(replace(QUIET, reach=three_and_one, resyncing=(2,))) == ("partition", "recovery-too-slow")


def test_one_way_the_sentence_says_who_does_not_reach_whom() -> None:
    deaf = {0: frozenset({0}), 1: frozenset({0, 1}), 2: frozenset({0, 1, 2, 3}), 3: frozenset({0, 1, 2, 3})}

    assert find_cause(replace(QUIET, reach=deaf)).sentence == (
        "partition: no replicas that reach each other weigh 3 (replica 0 does not reach replicas 1, 2, 3; "
        "replica 1 does not reach replicas 2, 3)"
    )


def test_a_partition_that_is_not_the_same_all_the_time_is_told_so() -> None:
    assert find_cause(replace(QUIET, reach=HALVES, reach_changes=True)).sentence == (
        "partition: no side weighs 3 for as long as a block takes (replicas 0, 1 | 2, 3)"
    )


def test_a_minority_that_halted_is_a_cause_once_the_others_are_too_few() -> None:
    assert codes(replace(QUIET, halted_themselves=(3,))) == ("unexplained",)
    cause = find_cause(replace(QUIET, halted_themselves=(3,), down=(0,)))

    assert (cause.code, cause.sentence) == (
        "minority-halted",
        "replica 3 halted, outvoted by the others, and those who are left weigh 2; 3 are needed",
    )


def test_where_too_few_are_alive_anyhow_no_halted_minority_is_blamed() -> None:
    assert codes(replace(QUIET, halted_themselves=(3,), down=(1, 2))) == ("no-quorum-alive",)


def test_a_leader_that_has_halted_holds_its_view_up() -> None:
    cause = find_cause(replace(QUIET, halted_themselves=(0,)))

    assert (cause.code, cause.sentence) == (
        "minority-halted",
        "replica 0, which leads, was outvoted and has halted itself",
    )


# --- recovery -------------------------------------------------------------------------------------------------


def test_recovery_is_too_slow_once_the_others_are_too_few() -> None:
    assert codes(replace(QUIET, resyncing=(3,))) == ("unexplained",)
    cause = find_cause(replace(QUIET, resyncing=(3,), catching_up=(1, 2)))

    assert (cause.code, cause.sentence) == (
        "recovery-too-slow",
        "replica 3 takes over the state of others, for 150 ms, and replicas 1, 2 have not caught up yet, and the rest "
        "weigh 1; 3 are needed",
    )


@pytest.mark.parametrize(
    ("said", "recovering", "first"),
    [
        ("aab", (3,), "recovery-too-slow"),  # the last one would make three
        ("abc", (3,), "split-ballot"),  # and here it would make two
        ("aabb", (), "split-ballot"),
        ("aabc", (1,), "split-ballot"),  # an answer of its own counts once
        ("aabc", (3,), "recovery-too-slow"),  # what it answered before it took a state over is void
    ],
)
def test_a_ballot_that_who_recovers_would_tip_is_split_by_its_absence(
    said: str, recovering: tuple[int, ...], first: str
) -> None:
    assert find_cause(replace(QUIET, verdict=split(said=said), resyncing=recovering)).code == first


@pytest.mark.parametrize(
    ("said", "facts", "word"),
    [
        ("aab", QUIET, "so far"),  # replica 3 is still at it
        ("aab", replace(QUIET, down=(3,)), "so far"),  # it may come back
        ("aab", replace(QUIET, silent=(3,)), "and none possible"),
        ("aab", replace(QUIET, halted_themselves=(3,)), "and none possible"),
        ("abc", QUIET, "and none possible"),
    ],
)
def test_a_quorum_is_called_impossible_only_where_nobody_can_bring_it(said: str, facts: Facts, word: str) -> None:
    sentence = find_cause(replace(facts, verdict=split(said=said))).sentence

    assert word in sentence.split(":")[0]


def test_where_too_few_are_alive_anyhow_no_recovery_is_blamed() -> None:
    assert codes(replace(QUIET, resyncing=(3,), down=(1, 2))) == ("no-quorum-alive",)


def test_a_ballot_that_agreed_waits_for_nobody() -> None:
    assert codes(replace(QUIET, verdict=split(said="aaab"), resyncing=(3,))) == ("unexplained",)


def test_a_leader_that_still_recovers_holds_its_view_up() -> None:
    assert codes(replace(QUIET, catching_up=(0,))) == ("recovery-too-slow",)


# --- what delays a view or a height ---------------------------------------------------------------------------


def test_a_leader_is_in_the_minority_where_it_states_an_output_that_a_quorum_contradicts() -> None:
    outvoted = replace(QUIET, leader_states_output=True, verdict=split(said="baaa"))

    assert codes(outvoted) == ("minority-leader",)
    assert codes(replace(outvoted, leader_states_output=False)) == ("unexplained",)
    assert codes(replace(outvoted, leaders={1: "honest"})) == ("unexplained",)
    assert codes(replace(outvoted, leaders={0: "equivocating-leader"})) == ("faulty-leader",)
    assert codes(replace(outvoted, verdict=split(said="baac"))) == ("split-ballot",)  # nobody is in the majority


def test_certification_is_behind_from_the_height_on_that_holds_ordering_back() -> None:
    assert codes(replace(QUIET, uncertified=31, uncertified_max=32)) == ("unexplained",)
    assert codes(replace(QUIET, uncertified=32, uncertified_max=32)) == ("certification-behind",)
    assert codes(replace(QUIET, uncertified=32, uncertified_max=None)) == ("unexplained",)


def test_a_leader_that_lacks_certificates_itself_holds_ordering_back_whatever_others_have() -> None:
    lags = replace(QUIET, uncertified_max=32, held_back=(0,))
    cause = find_cause(lags)

    assert (cause.code, cause.sentence) == (
        "certification-behind",
        "replica 0, which leads, lags behind with certificates; from 32 on ordering is held back",
    )
    assert codes(replace(lags, leader_is_needed=False)) == ("unexplained",)
    assert codes(replace(lags, leaders={1: "honest"})) == ("unexplained",)


def test_who_lacks_certificates_does_not_vote_and_is_missed_once_the_others_are_too_few() -> None:
    cause = find_cause(replace(QUIET, uncertified_max=32, held_back=(3,), down=(2,)))

    assert (cause.code, cause.sentence) == (
        "certification-behind",
        "replica 3 lags behind with certificates, and the rest weigh 2; 3 are needed",
    )
    assert codes(replace(QUIET, uncertified_max=32, held_back=(3,), down=(1, 2))) == ("no-quorum-alive",)


def test_where_certificates_are_all_that_is_missing_certification_is_behind() -> None:
    done = replace(QUIET, is_done=True, uncertified=16, uncertified_max=32)

    assert codes(done) == ("certification-behind",)
    assert codes(replace(done, uncertified=0)) == ("unexplained",)
    assert codes(replace(done, behind=(1,))) == ("replica-behind",)


def test_a_block_that_takes_as_long_as_a_stall_is_slow_only_beyond_that() -> None:
    assert codes(replace(QUIET, block_ns=QUIET.stall_after_ns)) == ("unexplained",)
    assert codes(replace(QUIET, block_ns=QUIET.stall_after_ns + 1)) == ("slow-block",)


def test_a_timeout_that_is_just_long_enough_is_too_short() -> None:
    just = QUIET.patience._replace(longest_ns=QUIET.patience.needed_ns)

    assert codes(replace(QUIET, patience=just)) == ("timeouts-too-short",)
    stubborn = replace(QUIET, patience=just, leader_states_output=True, verdict=split(said="baaa"))
    assert codes(stubborn) == ("timeouts-too-short", "minority-leader")
    assert codes(replace(QUIET, patience=just._replace(longest_ns=just.longest_ns + 1))) == ("unexplained",)


def test_a_silent_leader_is_faulty_and_not_away() -> None:
    assert codes(replace(QUIET, silent=(0,), leaders={0: "silent"})) == ("faulty-leader",)


def test_a_leader_cut_off_is_blamed_only_where_the_others_could_decide_without_it() -> None:
    assert codes(replace(QUIET, reach=together([0], [1, 2, 3]))) == ("leader-away",)
    assert codes(replace(QUIET, reach=HALVES)) == ("partition",)


# --- what is over ---------------------------------------------------------------------------------------------


def test_what_is_over_is_named_where_nothing_that_holds_now_explains_the_stall() -> None:
    over = find_cause(replace(QUIET, down_since=(1, 2)))

    assert (over.code, over.sentence) == (
        "no-quorum-alive",
        "no quorum alive throughout the stall: 2 of 4 speak, 3 are needed (replicas 1, 2 down)",
    )
    apart = find_cause(replace(QUIET, reach_since=HALVES))
    assert (apart.code, apart.sentence) == (
        "partition",
        "partition: no side weighs 3 throughout the stall (replicas 0, 1 | 2, 3)",
    )


def test_what_is_over_comes_before_chance_and_behind_all_that_holds_now() -> None:
    over = replace(QUIET, down_since=(1, 2), loss=0.1)

    assert codes(over) == ("no-quorum-alive", "messages-lost")
    assert codes(replace(over, down=(0,))) == ("leader-away", "messages-lost")
