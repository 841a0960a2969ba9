"""Is what an audit prescribes what a loop over all prescriptions finds, and is it said why nothing does?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support import own_models

import lastbit
from lastbit.auditing.auditing import Subject
from lastbit.auditing.findings import Advice
from lastbit.auditing.report import render
from replicas.engine import EnginePool
from replicas.library import NamedProfile, named_profiles
from replicas.model import Model
from replicas.outputs import outputs_digest
from replicas.profile import NumericProfile

SAMPLES = 8


def chosen(*names: str) -> dict[str, NamedProfile]:
    return {name: named_profiles()[name] for name in names}


def wide(path: Path) -> Path:
    """Without prepacking the number of threads reaches the bits of a wide product."""
    weight = np.random.default_rng(0).standard_normal((512, 256)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return own_models.write(path, [node], {"x": ("float32", [1, 512])}, {"y": ("float32", [1, 256])}, {"w": weight})


def advice_for(model: str | Path, *wanted: str) -> Advice:
    audit = lastbit.audit(model, profiles=chosen("ref", *wanted), samples=SAMPLES, wanted=",".join(wanted) or None)
    assert audit.advice is not None
    return audit.advice


def held_to(profile: NumericProfile, settings: dict[str, Any]) -> NumericProfile:
    return NumericProfile.from_mapping({**profile.to_mapping(), **settings})


@pytest.mark.parametrize("wanted", [("ref", "noprepack", "noprepack-threads4"), ("ref", "opt-off", "int8-s8")])
def test_every_verdict_is_that_of_a_loop_over_all_wanted_profiles(wanted: tuple[str, ...], tmp_path: Path) -> None:
    path = wide(tmp_path / "wide.onnx")
    advice = advice_for(path, *wanted)

    model, pool = Model.load(path), EnginePool()
    inputs = Subject.load(path, None, None, None, None, None, 0).material.inputs
    for each in advice.tried:
        assert not each.is_untried  # on so few inputs
        profiles = [held_to(named_profiles()[name].profile, each.settings) for name in wanted]
        engines = [pool.engine(model, profile) for profile in profiles]
        agree = all(
            len({outputs_digest(engine.run(inputs.tensors(request).tensors)) for engine in engines}) == 1
            for request in range(SAMPLES)
        )
        assert each.holds == agree, each.told
        assert (each.slowdown is not None) == each.holds
    held = [each for each in advice.tried if each.holds]
    assert 0 < len(held) < len(advice.tried)
    assert advice.prescribed in [each.settings for each in held]
    assert not [each for each in held if each.settings.items() < (advice.prescribed or {}).items()]


def test_a_forest_is_prescribed_one_thread_and_told_what_that_costs() -> None:
    advice = advice_for("digits-forest")
    assert advice.prescribed == {"intra_op_threads": 1}
    assert advice.said.startswith("prescribe intra_op_threads=1: then the numbers of threads and execution modes tried")
    assert "times the time of the slowest without it; with nothing prescribed, ref and intra_op_threads=" in advice.said


def test_where_all_agree_nothing_is_prescribed(tmp_path: Path) -> None:
    assert advice_for("digits-mlp").prescribed == {}
    advice = advice_for("digits-mlp", "ref", "threads4")
    assert advice.said == f"prescribe nothing: ref and threads4 agree on all {SAMPLES} inputs"
    assert advice.slowdown == 1.0


def test_where_nothing_helps_it_is_said_what_each_left_apart(tmp_path: Path) -> None:
    noise = {"dtype": 1, "mean": 0.0, "scale": 1e-7}
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], **noise),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    path = own_models.write(tmp_path / "flaky.onnx", nodes, {"x": ("float32", [4])}, {"y": ("float32", [4])})
    advice = advice_for(path, "ref", "threads4")
    assert (advice.prescribed, advice.slowdown) == (None, None)
    assert advice.said.startswith("nothing that was tried makes ref and threads4 agree: prescribing nothing: ")
    assert "gives other bits when it is run again on the same input" in advice.said


def test_the_report_tells_it_and_sessions_for_it_alone_are_nobodys_profile() -> None:
    audit = lastbit.audit("digits-forest", profiles=chosen("ref", "threads4"), samples=SAMPLES)
    assert audit.advice is not None
    assert f"  advice                   {audit.advice.said}\n" in f"{render(audit)}\n"
    assert [each.name for each in audit.profiles] == ["ref", "threads4"]
    assert audit.classes["bytes"] == (("ref",), ("threads4",))
