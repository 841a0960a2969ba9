"""Unequal profiles differ, equal ones do not; and a knob that changes nothing is reported as such."""

from __future__ import annotations

from typing import Any

import pytest
from support.scenarios import noisy, scenario

import lastbit
from lastbit.report import render

FOREST = {"name": "digits-forest"}
DRAWN = {"kind": "ksplit", "slices": 8, "partials": "fp32", "order": "drawn"}


def run(profiles: dict[int, Any] | None = None, *, fleet: dict[str, Any] | None = None, **tables: Any) -> Any:
    chain = {"blocks": 40, "policy": "skip"}
    story = scenario(
        chain,
        inputs=noisy(),
        replica=[{"id": each, "profile": profile} for each, profile in (profiles or {}).items()],
        fleet={"profile": fleet or {}},
        **tables,
    )
    return lastbit.run(story)


@pytest.mark.parametrize(
    "fleet",
    [
        {},
        {"intra_op_threads": 3},
        {"precision": "fp64"},
        {"optimization": "off", "prepacking": False},
        {"summation": DRAWN | {"slices": 2}},
    ],
)
def test_equal_profiles_never_differ(fleet: dict[str, Any]) -> None:
    result = run(fleet=fleet)

    assert (result.heights.unanimous, result.natural_divergence) == (40, 0)
    assert all(replica.against is None or replica.against.differing == 0 for replica in result.replicas)


def test_equal_forests_never_differ_and_thread_counts_make_them() -> None:
    equal = run(model=FOREST, fleet={"intra_op_threads": 4})
    unequal = run({1: {"intra_op_threads": 2}, 2: {"intra_op_threads": 4}, 3: {"intra_op_threads": 8}}, model=FOREST)

    assert equal.natural_divergence == 0
    assert unequal.natural_divergence >= 39


def test_an_order_drawn_anew_makes_equal_replicas_differ_and_two_slices_never_do() -> None:
    eight, two = run(fleet={"summation": DRAWN}), run(fleet={"summation": DRAWN | {"slices": 2}})

    assert eight.natural_divergence >= 36
    assert two.natural_divergence == 0


@pytest.mark.parametrize("summation", [DRAWN | {"order": "fixed"}, {"kind": "kpermute"}])
def test_a_fixed_order_of_its_own_sets_each_replica_apart(summation: dict[str, Any]) -> None:
    result = run(fleet={"summation": summation})

    assert result.natural_divergence >= 36


def test_another_precision_differs_on_every_request() -> None:
    result = run({3: {"precision": "fp16-weights"}})
    against = result.replicas[3].against

    assert (against.differing, against.compared) == (40, 40)
    assert result.heights.with_dissent == 40


def test_a_planted_inert_knob_is_reported_as_having_changed_nothing() -> None:
    result = run({2: {"intra_op_threads": 4}})

    assert result.replicas[2].against.differing == 0
    assert "inert here" in str(render(result))
    assert "replica 2: its profile differs from replica 0's, yet not a bit of 40 answers does" in str(render(result))


def test_a_knob_that_works_is_not_called_inert() -> None:
    assert "inert here" not in str(render(run({3: {"precision": "fp16-weights"}})))
