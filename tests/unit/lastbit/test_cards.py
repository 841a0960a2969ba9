"""A card describes its model truly, and a file that is not the described one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastbit import resources
from lastbit.cards import CardError, bundled_card, find_card_by_sha256, find_model_by_sha256, read_card, verify_model
from replicas.model import Model

NAMES = resources.model_names()


@pytest.fixture
def card_file(tmp_path: Path) -> Path:
    """A card that a test may spoil."""
    path = tmp_path / "digits-mlp.toml"
    path.write_bytes(resources.card_path("digits-mlp").read_bytes())
    return path


def spoil(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_is_the_file_that_its_card_describes(name: str) -> None:
    path = resources.model_path(name)
    card = bundled_card(name)
    assert (card.name, verify_model(card, path)) == (name, path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_card_lists_the_inputs_and_outputs_of_its_graph(name: str) -> None:
    card, model = bundled_card(name), Model.load(resources.model_path(name))
    for told, found in ((card.inputs, model.inputs), (card.outputs, model.outputs)):
        assert [(t.name, t.dtype, t.shape) for t in told] == [(f.name, f.dtype, f.shape) for f in found]
    assert card.score_output in {output.name for output in card.outputs}
    assert card.input_set.input in {each.name for each in card.inputs}


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_a_recipe_that_is_there(name: str) -> None:
    assert (resources.models_folder() / bundled_card(name).recipe).is_file()


def test_a_model_with_one_changed_byte_is_refused_in_one_line(tmp_path: Path) -> None:
    content = bytearray(resources.model_path("digits-mlp").read_bytes())
    content[1000] ^= 1
    path = tmp_path / "digits-mlp.onnx"
    path.write_bytes(content)
    card = bundled_card("digits-mlp")
    with pytest.raises(CardError) as caught:
        verify_model(card, path)
    message = str(caught.value)
    assert str(path) in message
    assert card.sha256 in message
    assert "\n" not in message


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        verify_model(bundled_card("digits-mlp"), tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("licence =", "license =", "license"),
        ("accuracy_held_out = 0.", "accuracy_held_out = 9.", "accuracy_held_out"),
        ('sha256 = "', 'sha256 = "x', "sha256"),
        ('file = "', 'file = "../', "file"),
        ("[input_set]", "[input_set", "no model card"),
        ("name =", "name = 3 #", "name"),
        ('score_output = "scores"', 'score_output = "score"', 'score_output: the card lists nothing called "score"'),
        ('input = "image"', 'input = "images"', 'did you mean "image"?'),
    ],
)
def test_a_spoilt_card_is_refused_with_its_path_and_the_place(card_file: Path, old: str, new: str, told: str) -> None:
    spoil(card_file, old, new)
    with pytest.raises(CardError) as caught:
        read_card(card_file)
    assert str(card_file) in str(caught.value)
    assert told in str(caught.value)


def test_a_card_that_is_no_text_is_refused(card_file: Path) -> None:
    card_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match="no model card"):
        read_card(card_file)


def test_a_bundled_model_is_found_by_its_sha256_alone() -> None:
    card = bundled_card("digits-forest")
    assert find_model_by_sha256(card.sha256) == resources.model_path("digits-forest")
    assert find_card_by_sha256(card.sha256) == card


def test_an_unknown_sha256_finds_nothing() -> None:
    assert find_model_by_sha256("0" * 64) is None
    assert find_card_by_sha256("0" * 64) is None
