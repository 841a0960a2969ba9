"""The result: its JSON, its schema and the exit code that it stands for."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from lastbit.intervals import Rate
from lastbit.result import (
    Answer,
    Environment,
    Failure,
    Heights,
    Inferences,
    Outcome,
    Prediction,
    ReplicaResult,
    Result,
    Stall,
    Violation,
    from_json,
    json_schema,
    to_json,
)

BALLOT = (Answer(digest="a" * 64, weight=2, replicas=(0, 1)), Answer(digest="b" * 64, weight=1, replicas=(2,)))
ASKED_FOR = {
    "format",
    "scenario",
    "seed",
    "outcome",
    "as_expected",
    "interrupted",
    "protocol",
    "policy",
    "n",
    "f",
    "quorum",
    "model_sha256",
    "heights",
    "agreement_failures",
    "retries",
    "view_changes",
    "first_failure_height",
    "failures",
    "natural_divergence",
    "injected",
    "forks",
    "prediction",
    "reason",
    "rate",
    "stalls",
    "simulated_ns",
    "events",
    "messages",
    "inferences",
    "replicas",
    "environment",
    "trace_digest",
}


def a_result(**changes: Any) -> Result:
    result = Result(
        scenario="s",
        title="",
        seed=1,
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
        model="m",
        model_sha256="c" * 64,
        form="bytes",
        divergence=None,
        heights=Heights(target=9, committed=2, unanimous=2, with_dissent=0, skipped=0, ordered=2, certified=2),
        agreement_failures=1,
        retries=0,
        view_changes=0,
        first_failure_height=3,
        failures=(Failure(height=3, attempt=0, at_ns=5, block="d" * 64, ballot=BALLOT, silent=(3,)),),
        natural_divergence=0,
        natural_divergence_voted=0,
        injected=0,
        injected_changed=0,
        forks=(),
        prediction=None,
        reason="a replica equivocates",
        rate=Rate(failures=1, trials=3, estimate=1 / 3, low=0.0, high=1.0),
        stalls=(
            Stall(
                height=3,
                from_ns=4,
                until_ns=None,
                permanent=True,
                cause_code="split-ballot",
                cause="no quorum",
                ballot=BALLOT,
                silent=(3,),
            ),
        ),
        simulated_ns=9,
        moved_ns=9,
        events=1,
        messages=1,
        inferences=Inferences(asked=4, run=1),
        replicas=(
            ReplicaResult(id=0, weight=1, behaviour="honest", profile={"b": 1, "a": 2}, operations_per_second=1),
        ),
        environment=Environment(versions={"z": "1", "a": "2"}, processor="p", processor_features=()),
        trace_digest="e" * 64,
        command="lastbit run s",
    )
    return msgspec.structs.replace(result, **changes)


def test_the_object_holds_at_least_what_was_promised() -> None:
    found = json.loads(to_json(a_result()))
    assert set(found) >= ASKED_FOR
    assert set(found["heights"]) >= {"committed", "unanimous", "with_dissent", "skipped"}
    assert set(found["failures"][0]) >= {"height", "attempt", "at_ns", "block", "ballot", "silent"}
    assert set(found["rate"]) == {"failures", "trials", "estimate", "low", "high"}
    assert found["stalls"][0]["until_ns"] is None
    assert found["stalls"][0]["ballot"][0] == {"digest": "a" * 64, "weight": 2, "replicas": [0, 1]}
    assert found["prediction"] is None
    assert found["reason"] == "a replica equivocates"


def test_a_result_is_read_back_equal() -> None:
    assert from_json(to_json(a_result())) == a_result()


def test_the_bytes_do_not_depend_on_the_order_in_which_mappings_were_filled() -> None:
    other = Environment(versions={"a": "2", "z": "1"}, processor="p", processor_features=())
    assert to_json(a_result(environment=other)) == to_json(a_result())


def test_the_schema_names_every_key() -> None:
    assert set(json_schema()["$defs"]["Result"]["properties"]) == set(json.loads(to_json(a_result())))


def test_a_result_is_frozen() -> None:
    with pytest.raises(AttributeError):
        a_result().seed = 3  # type: ignore[misc]


def test_a_result_has_a_prediction_or_a_reason() -> None:
    with pytest.raises(ValueError, match="or a reason"):
        a_result(reason=None)
    with pytest.raises(ValueError, match="or a reason"):
        a_result(prediction=Prediction(agreement_failure_probability=0.1, dissent_probability=0.0))


def test_at_most_a_hundred_failures_are_kept() -> None:
    with pytest.raises(ValueError, match="101 failures kept"):
        a_result(failures=a_result().failures * 101)


@pytest.mark.parametrize(
    ("outcome", "as_expected", "interrupted", "exit_code"),
    [
        ("completed", None, False, 0),
        ("completed", True, False, 0),
        ("completed", False, False, 6),
        ("stalled", True, False, 0),
        ("stalled", False, False, 3),
        ("stalled", None, False, 3),
        ("forked", True, False, 0),
        ("forked", False, False, 4),
        ("inconclusive", False, False, 5),
        ("inconclusive", True, False, 0),
        ("inconclusive", True, True, 5),
        ("completed", True, True, 5),
        ("stalled", True, True, 3),
        ("forked", False, True, 4),
    ],
)
def test_the_exit_code_is_that_of_the_outcome_unless_it_was_expected(
    outcome: Outcome, as_expected: bool | None, interrupted: bool, exit_code: int
) -> None:
    result = a_result(outcome=outcome, as_expected=as_expected, interrupted=interrupted)
    assert result.exit_code == exit_code


def test_a_protocol_that_broke_its_own_rules_is_an_internal_error_whatever_was_expected() -> None:
    broken = Violation(kind="double-vote", height=1, at_ns=1, replicas=(1,), what="replica 1 voted for two values")
    result = a_result(violations=(broken,))

    assert (result.as_expected, result.exit_code) == (True, 1)
    assert from_json(to_json(result)) == result
