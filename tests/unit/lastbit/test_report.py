"""The report of hand-made results."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from lastbit.intervals import binomial_rate, first_failure_rate
from lastbit.report import render
from lastbit.result import (
    Answer,
    AnswerValue,
    ClientConflict,
    Comparison,
    DriftPrediction,
    Environment,
    Failure,
    FirstDifference,
    Fork,
    Heights,
    Inferences,
    Prediction,
    ReplicaResult,
    Result,
    Stall,
    Violation,
)

DIGESTS = ("a41f07" + "0" * 58, "9c0be2" + "0" * 58, "77d1a9" + "0" * 58, "e0c4f6" + "0" * 58)
BALLOT = tuple(Answer(digest=digest, weight=1, replicas=(replica,)) for replica, digest in enumerate(DIGESTS))
DIFFERENCE = FirstDifference(
    request=8_112,
    output="scores",
    element=0,
    values=(
        AnswerValue(digest=DIGESTS[0], hex="0x1.8f3a12p+2"),
        AnswerValue(digest=DIGESTS[1], hex="0x1.8f3a14p+2"),
    ),
    steps=1,
)
STALL = Stall(
    height=8_113,
    from_ns=1_622_600_000_000,
    until_ns=None,
    permanent=True,
    cause_code="split-ballot",
    cause="no quorum, and none possible: 4 honest replicas, 4 answers",
    ballot=BALLOT,
    silent=(),
    first_difference=DIFFERENCE,
)


def a_result(**changes: Any) -> Result:
    """One in ten thousand, with figures made up."""
    result = Result(
        scenario="one-in-ten-thousand",
        title="One prompt in ten thousand stops the chain",
        seed=42,
        outcome="stalled",
        expected="stalled",
        as_expected=True,
        interrupted=False,
        protocol="pbft",
        policy="halt",
        outvoted="stay",
        n=4,
        f=1,
        quorum=3,
        weight=4,
        model="digits-mlp",
        model_sha256="5" * 64,
        form="bytes",
        divergence="dial 1e-4 per prompt",
        heights=Heights(
            target=100_000, committed=8_112, unanimous=8_112, with_dissent=0, skipped=0, ordered=8_112, certified=8_112
        ),
        agreement_failures=1,
        retries=0,
        view_changes=0,
        first_failure_height=8_113,
        failures=(Failure(height=8_113, attempt=0, at_ns=5, block="b" * 64, ballot=BALLOT, silent=()),),
        natural_divergence=0,
        natural_divergence_voted=0,
        injected=4,
        injected_changed=4,
        forks=(),
        prediction=Prediction(agreement_failure_probability=1e-4, dissent_probability=0.0),
        reason=None,
        rate=first_failure_rate(8_113),
        stalls=(STALL,),
        simulated_ns=1_623_000_000_000,
        moved_ns=1_623_000_000_000,
        events=300_000,
        messages=292_068,
        inferences=Inferences(asked=32_452, run=8_113),
        replicas=tuple(
            ReplicaResult(id=i, weight=1, behaviour="honest", profile={}, operations_per_second=10**9) for i in range(4)
        ),
        environment=Environment(versions={"onnxruntime": "1.31.1"}, processor="x86_64", processor_features=("avx2",)),
        trace_digest="5be0c1d2" * 8,
        command="lastbit run one-in-ten-thousand --seed 42",
    )
    return msgspec.structs.replace(result, **changes)


def test_the_report_of_a_permanent_stall_reads_so() -> None:
    assert str(render(a_result())) == (
        "one-in-ten-thousand   4 replicas · PBFT, quorum 3 of 4, f = 1, halt · digits-mlp, votes on bytes · "
        "dial 1e-4 per prompt · seed 42\n"
        "\n"
        "  STALLED for good at height 8,113, as expected\n"
        "\n"
        "  committed            8,112 heights, all unanimous\n"
        "  agreement failures   1 in 8,113 first attempts     1.2e-4 (95 %: 3.1e-6 .. 4.5e-4), closed form 1.0e-4\n"
        "  injected             4 wrong answers, 4 of them changed what is voted on\n"
        "  inference            32,452 asked, 8,113 run\n"
        "\n"
        "  height 8,113   no quorum, and none possible: 4 honest replicas, 4 answers; "
        "stalled for 400 ms of simulated time, and the run ended in it\n"
        "      a41f07…  replica 0   9c0be2…  replica 1   77d1a9…  replica 2   e0c4f6…  replica 3\n"
        '      first difference: request 8,112, output "scores", element 0: '
        "0x1.8f3a12p+2 and 0x1.8f3a14p+2, 1 step apart\n"
        "\n"
        "  simulated 27 min 03 s · 5 heights a second · 292,068 messages · trace 5be0c1d25be0c1d2…\n"
        "  again:   lastbit run one-in-ten-thousand --seed 42\n"
    )


@pytest.mark.parametrize("width", [30, 59, 60, 80, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    report = str(render(a_result(), width=width))
    assert max(map(len, report.splitlines())) <= width
    assert "closed form" in " ".join(report.split())


def test_empty_blocks_are_not_passed_off_as_agreement() -> None:
    heights = Heights(target=200, committed=200, unanimous=2, with_dissent=0, skipped=198, ordered=200, certified=200)
    report = str(render(a_result(heights=heights)))
    assert "200 heights: 2 unanimous, 0 with dissent, 198 skipped, with an empty block" in report


def test_forks_stand_before_everything_else() -> None:
    fork = Fork(height=7, at_ns=1, kind="two-decisions", what="two certificates for one height", sides=BALLOT[:2])
    report = str(render(a_result(outcome="forked", as_expected=False, forks=(fork,))))
    assert "FORKED at height 7; expected was: stalled" in report
    assert report.index("two certificates for one height") < report.index("committed")


def test_broken_rules_stand_before_the_outcome_itself() -> None:
    broken = tuple(
        Violation(kind="double-vote", height=height, at_ns=1, replicas=(1,), what="replica 1 voted for two values")
        for height in range(7, 12)
    )
    report = str(render(a_result(violations=broken)))

    assert (
        report.index("BROKE ITS OWN RULES") < report.index("height 7   double-vote: replica 1") < report.index("STALL")
    )
    assert "height 10" not in report
    assert "and 2 more broken rules" in report


def test_a_long_histogram_is_cut_and_says_how_much_is_left_out() -> None:
    ballot = tuple(Answer(digest=f"{i:064x}", weight=2, replicas=(i,)) for i in range(40))
    stall = msgspec.structs.replace(STALL, ballot=ballot, silent=(40, 41, 42))
    report = str(render(a_result(stalls=(stall,))))
    assert "and 32 more answers of weight 64" in report
    assert "no vote  replicas 40 to 42" in report
    assert "replica 7, weight 2" in report
    assert "replica 8, weight 2" not in report


def test_many_stalls_are_cut_but_the_last_one_is_shown() -> None:
    stalls = tuple(
        msgspec.structs.replace(STALL, height=height, permanent=height == 9, until_ns=None if height == 9 else 1 << 50)
        for height in range(1, 10)
    )
    report = str(render(a_result(stalls=stalls)))
    assert "height 9 " in report
    assert "and 6 more stalls" in report


def test_without_a_stall_the_first_failures_are_shown() -> None:
    failures = tuple(
        Failure(height=height, attempt=1, at_ns=10**9, block="b" * 64, ballot=BALLOT, silent=(3,))
        for height in range(1, 6)
    )
    result = a_result(outcome="completed", as_expected=False, stalls=(), failures=failures, agreement_failures=5)
    report = str(render(result))
    assert "height 3, view 1   agreement failure at 1 s: 4 answers, none with a quorum" in report
    assert "and 2 more agreement failures" in report
    assert "no vote  replica 3" in report


def test_without_a_closed_form_the_report_says_why() -> None:
    report = str(render(a_result(prediction=None, reason="a replica equivocates", rate=binomial_rate(0, 10))))
    assert "0 in 10 first attempts     0 (95 %: 0 .. 0.31); no closed form: a replica equivocates" in report


def test_a_profile_that_changed_nothing_is_named() -> None:
    others = tuple(
        ReplicaResult(
            id=i,
            weight=1,
            behaviour="honest",
            profile={"intra_op_threads": i + 1},
            operations_per_second=1,
            against=None if i == 0 else Comparison(base=0, compared=500, differing=int(i == 3), votes_differing=0),
        )
        for i in range(4)
    )
    report = str(render(a_result(replicas=others)))
    assert "replicas 1, 2: their profiles differ from replica 0's, yet not a bit of 500 answers does" in report


def test_an_interrupted_run_says_so_and_claims_no_expectation() -> None:
    report = str(render(a_result(outcome="inconclusive", interrupted=True, as_expected=False, stalls=())))
    assert "INCONCLUSIVE after 8,112 heights of 100,000: interrupted, this is what was done so far" in report


def test_names_of_strangers_do_not_steer_the_terminal() -> None:
    report = str(render(a_result(model="evil\x1b[2J", scenario="a\rb")))
    assert "\x1b" not in report
    assert "\r" not in report


def test_colour_is_on_the_outcome_alone_and_no_color_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, color_system="standard", width=200)
        console.print(render(a_result()), soft_wrap=True)
        return stream.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = [line for line in printed().splitlines() if "\x1b[" in line]
    assert len(coloured) == 1
    assert "STALLED" in coloured[0]
    assert "32m" in coloured[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in printed()


def test_how_far_a_chain_is_ordered_and_certified_is_told_where_the_two_differ() -> None:
    apart = Heights(target=200, committed=96, unanimous=64, with_dissent=0, skipped=0, ordered=97, certified=64)

    assert report_row(a_result(heights=apart), "furthest height") == "97 ordered, 64 certified"
    assert report_row(a_result(), "furthest height") is None


@pytest.mark.parametrize(
    ("blocks", "more"), [(1, ""), (2, ", and 1 more block"), (512, ", and 511 more blocks")]
)  # of which 100 are listed at most
def test_the_first_client_conflict_is_told_and_all_others_are_counted(blocks: int, more: str) -> None:
    sides = tuple(Answer(digest=DIGESTS[who[0]], weight=2, replicas=who) for who in ((0, 1), (2, 3)))
    conflicts = tuple(ClientConflict(height=7 + each, at_ns=5, sides=sides) for each in range(min(blocks, 100)))
    result = a_result(client_conflicts=conflicts, client_conflicts_count=blocks)

    told = "height 7: clients may believe two answers (replicas 0, 1 | replicas 2, 3)"
    assert report_row(result, "client conflicts") == told + more


@pytest.mark.parametrize(
    ("halted", "resyncs", "said"),
    [
        ((2,), 0, "replica 2 halted for good"),
        ((), 1, "the state of others was taken over 1 time"),
        ((1, 2), 3, "replicas 1, 2 halted for good, the state of others was taken over 3 times"),
        ((), 0, None),
    ],
)
def test_what_became_of_the_outvoted_is_told(halted: tuple[int, ...], resyncs: int, said: str | None) -> None:
    assert report_row(a_result(halted_themselves=halted, resyncs=resyncs), "outvoted") == said


def test_how_long_a_chain_that_drifts_lasts_is_told_from_its_closed_form() -> None:
    drift = DriftPrediction(expected_blocks=5_833.46, chance_to_finish=0.0123)

    assert report_row(a_result(drift=drift), "drift") == (
        "closed form: stops at height 5,833 on average, and gets to height 100,000 with probability 0.012"
    )
    assert report_row(a_result(), "drift") is None


def report_row(result: Result, label: str) -> str | None:
    """What a report says under a label; None where it has no such row."""
    rows = [line.strip() for line in str(render(result)).splitlines()]
    return next((row[len(label) :].strip() for row in rows if row.startswith(f"{label}  ")), None)


@pytest.mark.parametrize(
    ("protocol", "policy", "outvoted", "said"),
    [
        ("pbft", "retry", "stay", "f = 1, retry · "),
        ("pbft", "retry", "resync", "f = 1, retry, the outvoted resync · "),
        ("pbft-classic", "halt", "resync", "f = 1, the outvoted resync · "),
        ("tendermint", "retry", "halt", "f = 1, the outvoted halt · "),
        ("icp", "halt", "stay", "f = 1 · "),
    ],
)
def test_the_policy_is_told_where_there_is_a_choice_and_the_outvoted_where_they_do_not_stay(
    protocol: str, policy: str, outvoted: str, said: str
) -> None:
    first = str(render(a_result(protocol=protocol, policy=policy, outvoted=outvoted))).splitlines()[0]
    assert said in first


def test_each_protocol_has_its_own_word_for_a_try() -> None:
    failure = Failure(height=7, attempt=2, at_ns=5, block="b" * 64, ballot=BALLOT, silent=())
    told = [
        str(render(a_result(protocol=protocol, stalls=(), failures=(failure,), view_changes=1)))
        for protocol in ("pbft", "tendermint")
    ]

    for word, report in zip(("view", "round"), told, strict=True):
        assert f"  height 7, {word} 2   agreement failure" in report
        assert f"0 further attempts, 1 {word} change\n" in report


def test_what_can_be_done_with_a_trace_names_the_files_that_it_does_not_hold() -> None:
    told = str(render(a_result(trace_file="run.jsonl", model_file="my models/m.onnx", inputs_file="in.npz")))
    files = "--model 'my models/m.onnx' --inputs in.npz\n"

    assert f"  replay:  lastbit replay run.jsonl {files}" in told
    assert f"  why:     lastbit explain run.jsonl --height 8113 {files}" in told


def test_answers_that_were_fed_with_others_are_not_offered_to_be_explained() -> None:
    told = str(render(a_result(trace_file="run.jsonl", feeds_back=True)))

    assert "lastbit replay run.jsonl\n" in told
    assert "lastbit explain" not in told


def test_a_chain_that_is_ordered_to_its_end_stalls_for_want_of_a_certificate() -> None:
    heights = Heights(
        target=120, committed=120, unanimous=75, with_dissent=0, skipped=0, uncertified=45, ordered=120, certified=75
    )
    stall = msgspec.structs.replace(STALL, height=76)
    told = str(render(a_result(heights=heights, stalls=(stall,), expected=None)))

    assert "  STALLED for good: height 76 is ordered, and its output is not certified\n" in told


@pytest.mark.parametrize(
    ("outcome", "moved_ns", "said"),
    [
        ("completed", 6_000_000_000, "simulated 6 s · 20 heights a second · "),
        ("completed", 5_000_000_000, "simulated 6 s · 24 heights a second up to the last, at 5 s · "),
        ("completed", 12_000_000, "simulated 6 s · 10,000 heights a second up to the last, at 12 ms · "),
        ("stalled", 5_000_000_000, "simulated 6 s · 20 heights a second · "),
    ],
)
def test_the_pace_of_a_run_that_is_complete_is_that_up_to_its_last_height(
    outcome: str, moved_ns: int, said: str
) -> None:
    heights = Heights(target=120, committed=120, unanimous=120, with_dissent=0, skipped=0, ordered=120, certified=120)
    told = str(render(a_result(outcome=outcome, heights=heights, simulated_ns=6_000_000_000, moved_ns=moved_ns)))

    assert said in told
