"""Is the chance of a quorum of profiles that draw their order anew that of ballots really held?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support import own_models
from support.scenarios import noisy, scenario

import lastbit
from consensus.quorum import QuorumSystem
from lastbit.auditing import Audit, drawn_runs
from lastbit.auditing.auditing import Subject
from lastbit.auditing.drawn_runs import DrawnRuns
from lastbit.auditing.page import page
from lastbit.auditing.quorum_chance import FleetShares
from lastbit.auditing.report import render, rests_on
from replicas.library import NamedProfile, named_profiles
from replicas.profile import KPermute, KSplit, NumericProfile
from replicas.replica import Replica

INPUTS, BALLOTS, REPLICAS = 12, 1_500, 4
SHARES = {"ref": 0.3, "drawn": 0.7}
FLEET = ",".join(f"{name}={share}" for name, share in SHARES.items())


def profiles(slices: int) -> dict[str, NamedProfile]:
    """The reference, and sums of so many slices in an order drawn anew, kept coarsely so that labels flip, too."""
    summation = KSplit(slices=slices, partials="bf16", order="drawn")
    return {"ref": named_profiles()["ref"], "drawn": NamedProfile("drawn", "", NumericProfile(summation=summation))}


def one_product(path: Path, weight: np.ndarray[Any, Any]) -> Path:
    return own_models.write(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": ("float32", [1, len(weight)])},
        {"y": ("float32", [1, len(weight.T)])},
        {"w": weight.astype(np.float32)},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Scores that lie so close together that rounding decides which leads."""
    rng = np.random.default_rng(2)
    weight = np.tile(rng.standard_normal((64, 1)), 4) + 2e-3 * rng.standard_normal((64, 4))
    return one_product(tmp_path / "close.onnx", weight)


def audited(model: Path, slices: int) -> Audit:
    return lastbit.audit(model, profiles=profiles(slices), samples=INPUTS, fleet=FLEET, replicas=REPLICAS)


def ballots_won(model: Path, slices: int) -> dict[str, float]:
    """The share of ballots with a quorum, by form: replicas are drawn, and each really runs."""
    subject = Subject.load(model, None, None, None, None, None, 0)
    assert subject.score is not None
    measuring = subject.measuring(profiles(slices), turns_knobs=False)
    voters: dict[str, Replica] = {name: measuring.replica(name) for name in SHARES}
    rng, threshold, won = np.random.default_rng(8), QuorumSystem.equal(REPLICAS).threshold, Counter[str]()
    for request in range(INPUTS):
        attempts = iter(range(10**9, 2 * 10**9))
        for _ in range(BALLOTS):
            drawn = rng.choice(list(SHARES), size=REPLICAS, p=list(SHARES.values()))
            outputs = [voters[name].run_apart(request, next(attempts)) for name in drawn]
            for form, digest in (("bytes", lambda each: each["y"].tobytes()), ("top1", subject.score.digest)):
                won[form] += Counter(map(digest, outputs)).most_common(1)[0][1] >= threshold
    return {form: count / (INPUTS * BALLOTS) for form, count in won.items()}


def test_where_all_twenty_four_orders_are_run_it_is_exact_on_each_input(model: Path) -> None:
    found = {each.form: each for each in audited(model, 4).quorum}
    won = ballots_won(model, 4)
    assert won["bytes"] < won["top1"] < 1  # or there would be nothing to tell apart
    for form, chance in found.items():
        assert (chance.how, chance.inputs, chance.runs) == ("enumerated", INPUTS, 24)
        assert rests_on(chance) == f"enumerated: all orders run, up to 24, on {INPUTS} inputs"
        spread = (won[form] * (1 - won[form]) / (INPUTS * BALLOTS)) ** 0.5
        assert chance.mean == pytest.approx(won[form], abs=4 * spread)


def test_four_slices_give_twelve_results_each_of_them_in_two_orders(tmp_path: Path) -> None:
    model = one_product(tmp_path / "wide.onnx", own_models.weights(64, 64))  # of few scores, two sums may round alike
    summation = KSplit(slices=4, order="drawn")
    chosen = {"ref": profiles(4)["ref"], "drawn": NamedProfile("drawn", "", NumericProfile(summation=summation))}
    measuring = Subject.load(model, None, None, None, None, None, 0).measuring(chosen, turns_knobs=False)
    runs = DrawnRuns(("drawn",), measuring.drawn, replicas=4)
    measuring.watchers.append(runs)
    for request in range(INPUTS):
        measuring.take(request)
    said = [by_profile["drawn"].counts for by_profile in runs.by_input["bytes"]]
    assert [sorted(counts.values()) for counts in said] == [[2] * 12] * INPUTS


def test_an_estimate_from_some_runs_is_near_what_all_orders_say(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = {each.form: each for each in audited(model, 4).quorum}
    monkeypatch.setattr(drawn_runs, "ORDERS_MAX", 0)
    for estimate in audited(model, 4).quorum:
        assert (estimate.how, estimate.runs) == ("estimated", 16)
        assert estimate.mean == pytest.approx(every[estimate.form].mean, abs=0.05)
        assert estimate.mean != every[estimate.form].mean


def test_the_report_says_that_it_is_an_estimate_and_the_runs_it_rests_on() -> None:
    names = ("ref", "ksplit8-drawn", "permute-k-drawn")
    found = lastbit.audit(
        "digits-mlp",
        profiles={name: named_profiles()[name] for name in names},
        samples=3,
        fleet="ref=2,ksplit8-drawn=1,permute-k-drawn=1",
    )
    assert {(each.how, each.inputs, each.runs) for each in found.quorum} == {("estimated", 3, 16)}
    assert not [warning for warning in found.warnings if "quorum" in warning]
    for told in (str(render(found)), page(found)):
        assert told.count("estimated from up to 16 runs of a profile on 3 inputs") == 2
    bytes_alone = next(each for each in found.quorum if each.form == "bytes")
    assert bytes_alone.mean == 0  # of four, three would have to agree, and only two ever do


def test_a_fleet_without_such_profiles_is_told_as_before_and_runs_nothing_more() -> None:
    names = ("ref", "noprepack", "ksplit8-drawn")
    found = lastbit.audit(
        "digits-mlp", profiles={name: named_profiles()[name] for name in names}, samples=3, fleet="ref=3,noprepack=2"
    )
    assert {(each.how, each.inputs, each.runs) for each in found.quorum} == {("exact", 3, None)}


def test_replicas_that_have_an_order_of_their_own_for_life_agree_as_seldom_in_a_fleet_as_in_a_run() -> None:
    """An audit tries one replica of such a profile; a fleet of it, as a run, has a different one in each place."""
    summation = {"kind": "ksplit", "slices": 8}
    run = lastbit.run(
        scenario({"blocks": 40, "policy": "skip"}, inputs=noisy(), fleet={"profile": {"summation": summation}})
    )
    found = lastbit.audit(
        "digits-mlp", profiles={"ksplit8-fp32": named_profiles()["ksplit8-fp32"]}, samples=20, fleet="ksplit8-fp32=1.0"
    )
    bytes_alone = next(each for each in found.quorum if each.form == "bytes")
    assert bytes_alone.how == "estimated"
    assert bytes_alone.mean < 0.05
    assert run.heights.skipped >= 36


def of(**settings: Any) -> NamedProfile:
    return NamedProfile("x", "", NumericProfile(**settings))


@pytest.mark.parametrize(
    "profile",
    [
        of(summation=KSplit(slices=2, order="drawn")),
        of(summation=KSplit(slices=8, order="drawn", by_batch=True), batch_size=8),
        of(summation=KSplit(slices=8, by_batch=True), batch_size=8),
        of(summation=KSplit(slices=8, order="drawn", partials="fp64"), precision="integers"),
        of(summation=KPermute(order="drawn"), precision="integers"),
    ],
    ids=["two slices", "drawn, and none in so large a batch", "fixed, and none", "exact, split", "exact, permuted"],
)
def test_an_order_that_cannot_show_sets_nobody_apart(profile: NamedProfile) -> None:
    found = lastbit.audit("digits-mlp", profiles={"x": profile}, samples=8, fleet="x=1", wanted="x,ref")
    assert any("x" in names for names in found.classes["bytes"])
    assert not any(each.order_drawn for each in found.profiles)
    assert all((chance.how, chance.mean) == ("exact", 1) for chance in found.quorum)
    assert found.advice is not None
    assert "order of its own" not in found.advice.said


def test_a_fleet_may_be_of_ten_thousand_replicas_and_of_millions_of_machines() -> None:
    quorum = QuorumSystem.equal(10_000)
    halves = FleetShares({"a": 0.5, "b": 0.5}, is_finite=False)
    machines = FleetShares({"a": 1_500_000, "b": 500_000}, is_finite=True)
    assert halves.chance([["a"], ["b"]], quorum) < 1e-100
    assert halves.chance([["a", "b"]], quorum) == 1
    assert machines.chance([["a"], ["b"]], quorum) == pytest.approx(1)
