from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.forged import Line, forge, in_header
from support.scenarios import noisy, scenario

import lastbit
from lastbit.explaining import NothingToExplain, explain
from lastbit.explaining.report import render
from lastbit.scenario import Scenario, load_scenario
from simcore.trace_reader import TraceError

DIAL = {"rate": 1.0, "scope": "prompt", "answers": "distinct", "duration": "persistent"}
KSPLIT = {"kind": "ksplit", "slices": 8, "partials": "fp32"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The trace of a few blocks of a scenario."""

    def run(chosen: Scenario | str, blocks: int = 1) -> Path:
        trace = tmp_path_factory.mktemp("trace") / "run.jsonl"
        lastbit.run(load_scenario(chosen) if isinstance(chosen, str) else chosen, blocks=blocks, trace=trace)
        return trace

    return run


@pytest.fixture(scope="module")
def of_threads(ran: Callable[..., Path]) -> Path:
    return ran("forest-threads", 3)


def with_profiles(*profiles: dict[str, Any], **tables: Any) -> Scenario:
    """Four replicas of the classifier: profiles for the first ones, the default for the rest."""
    own = [{"id": number, "profile": profile} for number, profile in enumerate(profiles)]
    return scenario({"policy": "skip"}, replica=own, inputs=noisy(), **tables)


def in_height(height: int, change: Callable[[Line], None]) -> Callable[[Line], None]:
    def changed(line: Line) -> None:
        if line["record"] == "height" and line["height"] == height:
            change(line)

    return changed


def test_threads_alone_explain_a_forest_and_its_node_is_named(of_threads: Path) -> None:
    found = explain(of_threads, 1)
    first = found.pairs[0]

    assert found.outcome == "split"
    assert [pair.replicas for pair in found.pairs] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert first.cause.kind == "setting"
    assert [str(each) for each in first.cause.settings] == ["intra_op_threads 1 -> 2"]
    assert (first.request, first.output, first.steps) == (0, "probabilities", 4)
    assert first.values == ("0x1.0a3d6ap-1", "0x1.0a3d72p-1")
    assert first.origin is not None
    assert "TreeEnsembleClassifier" in first.origin.nodes_one[0]
    assert first.origin.nodes_one == first.origin.nodes_other


def test_replicas_of_one_answer_are_compared_once(of_threads: Path) -> None:
    found = explain(of_threads, 3)

    assert [answer.replicas for answer in found.ballot] == [(2, 3), (0,), (1,)]
    assert [pair.replicas for pair in found.pairs] == [(2, 0), (2, 1), (0, 1)]


def test_a_setting_that_changes_nothing_is_no_cause(ran: Callable[..., Path]) -> None:
    trace = ran(with_profiles({"optimization": "off", "precision": "fp16-weights"}))
    pair = explain(trace, 1).pairs[0]

    assert [each.name for each in pair.cause.settings] == ["precision"]


def test_settings_that_only_do_it_together_are_all_named(ran: Callable[..., Path]) -> None:
    trace = ran(with_profiles({"precision": "fp16-weights", "summation": KSPLIT, "prepacking": False}))
    cause = explain(trace, 1).pairs[0].cause

    assert cause.kind == "together"
    assert {each.name for each in cause.settings} >= {"precision", "summation"}


def test_replicas_of_equal_profile_differ_by_the_order_that_each_draws(ran: Callable[..., Path]) -> None:
    pair = explain(ran("gpu-order"), 1).pairs[0]

    assert pair.cause.kind == "order"
    assert "their profiles are equal, and each replica draws one for each run" in pair.cause.said
    assert pair.origin is not None
    assert pair.origin.tensor is not None


def test_replicas_of_equal_profile_differ_by_the_order_that_each_keeps(ran: Callable[..., Path]) -> None:
    trace = ran(scenario({"policy": "skip"}, fleet={"profile": {"summation": KSPLIT}}, inputs=noisy()))
    cause = explain(trace, 1).pairs[0].cause

    assert cause.kind == "order"
    assert "has one of its own" in cause.said


def test_an_answer_of_the_dial_is_injected_and_no_node_is_looked_for(ran: Callable[..., Path]) -> None:
    trace = ran(scenario({"policy": "skip"}, divergence=DIAL))
    pair = explain(trace, 1).pairs[0]

    assert pair.cause.kind == "injected"
    assert "the dial marked request 0 and changed the answers of replicas 0, 1" in pair.cause.said
    assert "what the two computed is equal" in pair.cause.said
    assert (pair.steps, pair.origin) == (1, None)


def test_injected_answers_over_unlike_arithmetic_are_said_to_be_so(ran: Callable[..., Path]) -> None:
    pair = explain(ran(with_profiles({"precision": "fp16-weights"}, divergence=DIAL)), 1).pairs[0]

    assert "what the two computed is different as well" in pair.cause.said


def test_the_request_that_split_the_block_is_the_first_with_two_answers(ran: Callable[..., Path]) -> None:
    """Of labels, a change of weights flips few: the requests before it had one answer."""
    chain = {"policy": "skip", "requests_per_block": 400}
    own = [{"id": 0, "profile": {"precision": "int8-s8"}}]
    model = {"name": "digits-mlp", "form": "top1"}
    trace = ran(scenario(chain, model=model, replica=own, inputs=noisy() | {"noise": 12}))
    pair = explain(trace, 1).pairs[0]

    assert pair.request > 0
    assert pair.steps is None
    assert {*pair.values} <= {f"{label}" for label in range(10)}
    assert [each.name for each in pair.cause.settings] == ["precision"]


def test_a_height_of_one_answer_needs_no_explanation(ran: Callable[..., Path]) -> None:
    found = explain(ran(scenario()), 1)

    assert (found.outcome, found.pairs) == ("same", ())
    assert "AGREED: all replicas gave the same answer" in str(render(found))


def test_a_named_attempt_is_the_one_that_is_told(of_threads: Path) -> None:
    found = explain(of_threads, 2, attempt=2)

    assert (found.attempts, found.attempt, found.outcome) == ((1, 2), 2, "same")


def test_without_a_name_it_is_the_first_attempt_that_split(of_threads: Path, tmp_path: Path) -> None:
    trace = forge(of_threads, tmp_path / "forged.jsonl", in_height(1, lambda line: line["attempts"].reverse()))

    assert explain(trace, 1).attempt == 0


def test_replicas_that_said_nothing_did_not_agree(ran: Callable[..., Path]) -> None:
    found = explain(ran(scenario(replica=[{"id": 3, "behaviour": "silent"}])), 1)

    assert found.said == "all replicas that answered gave the same answer"


def test_of_more_than_four_answers_the_lighter_ones_are_counted(ran: Callable[..., Path]) -> None:
    found = explain(ran(scenario({"replicas": 6, "policy": "skip"}, divergence=DIAL)), 1)

    assert (len(found.pairs), found.answers_lighter) == (6, 2)
    assert "2 lighter answers not compared" in str(render(found))


def test_an_answer_that_only_a_liar_voted_for_is_in_no_pair(ran: Callable[..., Path]) -> None:
    found = explain(ran(scenario(replica=[{"id": 3, "behaviour": "equivocating-voter"}])), 1)

    assert found.pairs == ()
    assert (found.answers_lighter, found.answers_not_computed) == (0, 1)
    assert "honest replicas computed one answer" in found.said
    assert found.drifted == ()  # the liar stands in two lines, and yet there is no state that could have differed
    assert "had differed" not in str(render(found))


def test_answers_that_come_out_otherwise_here_are_not_explained(of_threads: Path, tmp_path: Path) -> None:
    def other(line: Line) -> None:
        line["attempts"][0]["ballot"][1]["digest"] = "ab" * 32

    then = forge(of_threads, tmp_path / "other.jsonl", in_height(1, other))
    then = forge(then, tmp_path / "elsewhere.jsonl", in_header(environment__processor="another one"))
    found = explain(then, 1)

    assert (found.outcome, found.pairs) == ("not-repeated", ())
    assert "replica 1 answers otherwise" in found.said
    assert any("processor another one then" in line for line in found.environment)
    assert "NOT REPEATED" in str(render(found))


def test_a_height_beyond_the_end_names_those_that_there_are(of_threads: Path) -> None:
    with pytest.raises(NothingToExplain, match="holds no height 9; it holds heights 1 to 3"):
        explain(of_threads, 9)


def test_an_attempt_that_nobody_made_names_those_that_there_are(of_threads: Path) -> None:
    with pytest.raises(NothingToExplain, match="no executed attempt 7; its attempts are 0, 1"):
        explain(of_threads, 1, attempt=7)


def test_a_height_that_nobody_executed_is_said_to_be_so(of_threads: Path, tmp_path: Path) -> None:
    trace = forge(of_threads, tmp_path / "forged.jsonl", in_height(1, lambda line: line.update(attempts=[])))

    with pytest.raises(NothingToExplain, match="was executed by no honest replica"):
        explain(trace, 1)


def _no_ballot(line: Line) -> None:
    line["attempts"][0]["ballot"] = []


def _twice(line: Line) -> None:
    line["attempts"][0]["ballot"][1] = line["attempts"][0]["ballot"][0]


def _stranger(line: Line) -> None:
    line["attempts"][0]["ballot"][0]["replicas"] = [4]


def _no_digest(line: Line) -> None:
    line["attempts"][0]["ballot"][0]["digest"] = "../../etc"


def _far(line: Line) -> None:
    line["height"] = 5_000


@pytest.mark.parametrize(
    ("change", "height", "problem"),
    [
        (_no_ballot, 1, "attempt 0 has no ballot"),
        (_twice, 1, "one answer in two lines"),
        (_stranger, 1, r"names replicas \[4\]; there are 4"),
        (_no_digest, 1, "not the record of a height"),
        (_far, 5_000, "height 5000; the chain has 3 blocks"),
    ],
)
def test_a_record_that_no_run_can_have_written_is_refused_by_its_line(
    of_threads: Path, tmp_path: Path, change: Callable[[Line], None], height: int, problem: str
) -> None:
    trace = forge(of_threads, tmp_path / "forged.jsonl", in_height(1, change))

    with pytest.raises(TraceError, match=f"line 2: .*{problem}"):
        explain(trace, height)


def test_progress_counts_the_pairs(of_threads: Path) -> None:
    seen: list[tuple[int, int]] = []
    explain(of_threads, 3, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_json_names_its_format_and_repeats(of_threads: Path) -> None:
    one, two = explain(of_threads, 1).to_json(), explain(of_threads, 1).to_json()

    assert one == two
    assert msgspec.json.decode(one)["format"] == "lastbit.explanation/1"


# --- state that carries over --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drifted(ran: Callable[..., Path]) -> Path:
    """Replica 1 is wrong at height 191, and replica 3 at 519, where the chain stops."""
    return ran("drift-without-resync", 600)


def test_of_answers_that_split_a_height_those_whose_state_had_differed_before_are_named(drifted: Path) -> None:
    found = explain(drifted, 519)

    assert [answer.replicas for answer in found.ballot] == [(0, 1, 2), (3,)]
    assert found.drifted == (1,)
    assert [state.replicas for state in found.states] == [(0, 2), (1,), (3,)]
    assert found.said.startswith("votes name 3 states, none with a quorum of 3 of 4; apart from the state 2 answers, ")
    assert found.said.endswith("… from 3 of 4")
    assert "  the state of replica 1 had differed before\n" in str(render(found))
    assert "the dial marked request 518 and changed the answer of replica 3" in found.pairs[0].cause.said


def test_where_the_first_drifts_no_state_had_differed_before(drifted: Path) -> None:
    found = explain(drifted, 191)

    assert found.drifted == ()
    assert found.said.startswith("2 answers apart from the state, ")
    assert found.said.endswith("… with a quorum, 3 of 4")
    assert "had differed" not in str(render(found))


def test_what_a_faulty_replica_votes_is_no_state_that_differs(ran: Callable[..., Path]) -> None:
    found = explain(ran(scenario(state={}, replica=[{"id": 3, "behaviour": "equivocating-voter"}])), 1)

    assert (found.outcome, found.drifted) == ("same", ())


def test_where_only_states_differ_the_height_where_that_began_is_named(drifted: Path) -> None:
    with pytest.raises(NothingToExplain, match=r"at height 300 all answered alike.* height 191 is where that began"):
        explain(drifted, 300)


def test_who_took_the_state_of_others_over_is_no_part_of_what_differs_later(ran: Callable[..., Path]) -> None:
    dial = {"rate": 0.006, "scope": "replica"}
    chain = {"protocol": "pbft-classic", "policy": "halt", "blocks": 200}
    trace = ran(scenario(chain, state={}, divergence=dial, seed=12), 200)
    answers_differ, states_differ = [], []
    for record in map(msgspec.json.decode, trace.read_bytes().splitlines()):
        if record["record"] == "height" and record["attempts"]:
            (attempt,) = record["attempts"]
            answers_differ += [record["height"]] * (len(attempt["answers"]) > 1)
            states_differ += [record["height"]] * (len(attempt["ballot"]) > 1)
    only_states = sorted(set(states_differ) - set(answers_differ))
    last = only_states[-1]
    first = last
    while first - 1 in states_differ:
        first -= 1

    assert answers_differ[0] < first  # another had differed, and was healed by a resync
    with pytest.raises(NothingToExplain, match=f"height {first} is where that began"):
        explain(trace, last)


@pytest.mark.parametrize("faulty", ["digest", "replicas"])
def test_answers_that_no_run_can_have_given_are_refused(drifted: Path, tmp_path: Path, faulty: str) -> None:
    def lie(line: Line) -> None:
        answers = line["attempts"][0]["answers"]
        if faulty == "digest":
            answers.append(answers[0])
        else:
            answers[0]["replicas"] = [9]

    forged = forge(drifted, tmp_path / "forged.jsonl", in_height(191, lie))
    with pytest.raises(TraceError, match=r"one answer in two lines|names replicas \[9\]"):
        explain(forged, 191)
