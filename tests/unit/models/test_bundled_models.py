"""The bundled models are what their cards and the scenarios rely on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from lastbit import resources
from lastbit.cards import bundled_card

FOREST = resources.model_path("digits-forest")
BYTES_MAX = 3_000_000


def session(name: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session that does not burn the processor while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(resources.model_path(name), options, providers=["CPUExecutionProvider"])


def held_out() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Images, each as a batch of one, and their labels."""
    with np.load(resources.models_folder() / "digits-images.npz") as arrays:
        chosen = arrays["held_out"]
        return arrays["image"][chosen].astype(np.float32)[:, None], arrays["label"][chosen]


@pytest.mark.parametrize("name", resources.model_names())
def test_accuracy_on_held_out_images_is_that_of_the_card(name: str) -> None:
    card, runner = bundled_card(name), session(name)
    images, labels = held_out()
    answers = [runner.run([card.score_output], {"image": image})[0].argmax() for image in images]
    # Other processors round otherwise, which can turn a near tie.
    assert np.mean(np.array(answers) == labels) == pytest.approx(card.accuracy_held_out, abs=0.005)
    assert card.accuracy_held_out >= 0.97


@pytest.mark.parametrize("name", resources.model_names())
def test_files_stay_small(name: str) -> None:
    assert resources.model_path(name).stat().st_size <= BYTES_MAX


@pytest.mark.parametrize("name", resources.model_names())
def test_files_say_nothing_of_the_library_that_wrote_them(name: str) -> None:
    model = onnx.load(resources.model_path(name))
    assert (model.producer_name, model.producer_version, model.ir_version) == ("", "", 8)


def forest_attributes() -> dict[str, list[float]]:
    """The attributes of the one operator in the forest."""
    (node,) = onnx.load(FOREST).graph.node
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def test_each_leaf_of_the_forest_is_one_vote_for_one_class() -> None:
    attributes = forest_attributes()
    leaves = Counter(
        (tree, node)
        for tree, node, mode in zip(
            attributes["nodes_treeids"], attributes["nodes_nodeids"], attributes["nodes_modes"], strict=True
        )
        if mode == b"LEAF"
    )
    votes = Counter(zip(attributes["class_treeids"], attributes["class_nodeids"], strict=True))
    assert votes == leaves
    assert set(votes.values()) == {1}
    assert len(set(attributes["class_weights"])) == 1
    assert len(set(attributes["nodes_treeids"])) == 100


def test_the_forest_gives_other_bits_for_other_threads_and_each_time_the_same() -> None:
    images, _ = held_out()
    images = images[:100]
    runs = {
        threads: [runner.run(["probabilities"], {"image": image})[0].tobytes() for image in images]
        for threads in (1, 2, 4, 8)
        for runner in [session("digits-forest", threads)]
    }
    again = session("digits-forest", 4)
    assert [again.run(["probabilities"], {"image": image})[0].tobytes() for image in images] == runs[4]
    four_kinds = sum(len(set(outputs)) == 4 for outputs in zip(*runs.values(), strict=True))
    assert four_kinds > len(images) // 2


def test_the_label_of_the_forest_is_the_argmax_of_its_probabilities() -> None:
    images, _ = held_out()
    runner = session("digits-forest", 4)
    for image in images[:100]:
        label, probabilities = runner.run(["label", "probabilities"], {"image": image})
        assert (label.dtype, probabilities.dtype) == (np.int64, np.float32)
        assert label[0] == probabilities[0].argmax()
