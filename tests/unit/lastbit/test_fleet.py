from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.own_models import dense, several, strings, tokens
from support.scenarios import scenario

from lastbit import resources
from lastbit.fleet import load_material, make_replicas
from lastbit.inputs import CardImages, GeneratedInputs, InputsError, NpzInputs
from lastbit.scenario import Scenario, load_scenario
from replicas.dial import DialError
from replicas.forms import FormError
from replicas.profile import ProfileError
from simcore.streams import Streams

STREAMS = Streams(0)


def fleet(chosen: Scenario) -> tuple[Any, ...]:
    return make_replicas(chosen, load_material(chosen, STREAMS), STREAMS)


def test_a_bundled_model_comes_with_the_images_of_its_card() -> None:
    material = load_material(scenario(), STREAMS)

    assert isinstance(material.inputs, CardImages)
    assert (material.model.name, material.form.name) == ("digits-mlp", "bytes")
    assert material.operations > 0


def test_top1_of_a_bundled_model_is_that_of_the_score_on_its_card() -> None:
    material = load_material(load_scenario("forest-threads-top1"), STREAMS)

    assert material.form.output == "probabilities"


def test_a_copy_of_a_bundled_model_finds_the_images_of_its_card(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(resources.model_path("digits-mlp").read_bytes())
    chosen = scenario(inputs={"kind": "card"}).with_overrides(model=copy)

    assert load_material(chosen, STREAMS).model.sha256 == load_material(scenario(), STREAMS).model.sha256


def test_a_model_of_ones_own_gets_inputs_made_for_it(tmp_path: Path) -> None:
    chosen = scenario().with_overrides(model=tokens(tmp_path / "tokens.onnx"), dims={"length": 5})
    material = load_material(chosen, STREAMS)

    assert isinstance(material.inputs, GeneratedInputs)
    (ids,) = material.inputs.tensors(0).tensors.values()
    assert ids.shape[-1] == 5


def test_inputs_from_a_file_are_taken_and_their_absence_is_told(tmp_path: Path) -> None:
    model, inputs = dense(tmp_path / "dense.onnx"), tmp_path / "x.npz"
    np.savez(inputs, x=np.zeros((3, 1, 8), np.float32))
    chosen = scenario().with_overrides(model=model, inputs=inputs)

    assert isinstance(load_material(chosen, STREAMS).inputs, NpzInputs)

    nowhere = Scenario.from_resolved(chosen.resolved()).with_overrides(model=model)
    with pytest.raises(InputsError, match=r'inputs "x\.npz" are not at hand; give them with --inputs'):
        load_material(nowhere, STREAMS)


def test_a_model_that_is_only_named_by_a_trace_is_not_looked_for(tmp_path: Path) -> None:
    chosen = scenario().with_overrides(model=dense(tmp_path / "dense.onnx"))

    with pytest.raises(InputsError, match=r'its model "dense\.onnx" is no bundled one; give it with --model'):
        load_material(Scenario.from_resolved(chosen.resolved()), STREAMS)


def test_an_output_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    chosen = scenario().with_overrides(model=several(tmp_path / "several.onnx"), output="nope")

    with pytest.raises(FormError, match='no output "nope"'):
        load_material(chosen, STREAMS)


def test_replicas_of_one_profile_share_an_engine_and_others_have_their_own() -> None:
    replicas = fleet(scenario(replica=[{"id": 2, "profile": {"optimization": "off"}}]))

    assert replicas[0].engine is replicas[1].engine is replicas[3].engine
    assert replicas[2].engine is not replicas[0].engine
    assert len({id(replica.store) for replica in replicas}) == 1


def test_a_dial_without_room_for_its_answers_is_refused_before_the_run(tmp_path: Path) -> None:
    chosen = scenario(divergence={"rate": 0.1}).with_overrides(model=strings(tmp_path / "strings.onnx"))

    with pytest.raises(DialError, match="needs 4 wrong answers"):
        fleet(chosen)


def test_the_slowest_of_the_replicas_computes_slowest() -> None:
    replicas = fleet(scenario(replica=[{"id": 1, "operations_per_second": 1_000_000}]))

    assert replicas[1].compute_ns(1) > 100 * replicas[0].compute_ns(1)


def test_making_a_fleet_counts_no_inference() -> None:
    (first, *_) = fleet(scenario())

    assert (first.store.asked, first.store.run) == (0, 0)


def test_a_profile_that_the_model_cannot_be_run_under_is_refused_with_whose_it_is() -> None:
    chosen = scenario(replica=[{"id": 2, "profile": {"padding": 16}}])
    with pytest.raises(
        ProfileError, match=r"digits-mlp, replica 2: profile\.padding: no input of this model is a mask"
    ):
        fleet(chosen)
