"""Model cards: what a bundled model is, where it comes from, and the SHA-256 by which a run knows that very file.

A card lies beside its model, `models/<name>.toml`, and is written by the model's recipe.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from lastbit import resources
from lastbit.did_you_mean import did_you_mean

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class CardError(ValueError):
    """A card that cannot be read, or a file that is not the one its card describes."""


class TensorLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output: its name, its dtype as NumPy calls it, and a number or a name for each axis."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class InputSetLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The images that a model is run on.

    Args:
        file: an .npz beside the card: `input` (integers, a row for each image), `label`, `held_out` (bool).
        sha256: of that file, in hex.
        input: name of the model's input, and of the array that fills it.
        low, high: the least and greatest value of an element; noise is clipped to them.
        licence: of the data, and who made it.
    """

    file: FileName
    sha256: Sha256
    input: str
    low: int
    high: int
    licence: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a bundled model.

    Args:
        name: as in `lastbit run --model NAME`; the file is `<name>.onnx`.
        title, task, data, architecture: for people.
        score_output: the output whose argmax is the answer.
        accuracy_held_out: share of right answers on images that it was not trained on, on the processor of `built_on`.
        sha256: of the model file, in hex.
        licence: of the model file.
        recipe: the script that rebuilds it.
        inputs, outputs: in the order of the graph.
        input_set: the images to run it on.
        built_on: processor features and versions on which the recipe ran, for people.
    """

    name: FileName
    title: str
    task: str
    data: str
    architecture: str
    score_output: str
    accuracy_held_out: Annotated[float, msgspec.Meta(ge=0, le=1)]
    sha256: Sha256
    licence: str
    recipe: FileName
    inputs: tuple[TensorLine, ...]
    outputs: tuple[TensorLine, ...]
    input_set: InputSetLine
    built_on: dict[str, str | list[str]]


def read_card(path: Path) -> ModelCard:
    """Read a card file.

    Raises:
        CardError: unreadable, no TOML, or a key is missing, unknown or impossible; one message.
    """
    try:
        card = msgspec.toml.decode(path.read_bytes(), type=ModelCard)
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # DecodeError: also a ValidationError
        raise CardError(f"{path}: no model card: {error}") from error
    for key, name, lines in (
        ("score_output", card.score_output, card.outputs),
        ("input_set.input", card.input_set.input, card.inputs),
    ):
        if name not in {line.name for line in lines}:
            hint = did_you_mean(name, (line.name for line in lines))
            raise CardError(f'{path}: {key}: the card lists nothing called "{name}"; {hint}')
    return card


def bundled_card(name: str) -> ModelCard:
    """The card of a bundled model.

    Raises:
        ResourceError: no bundled model has that name.
        CardError: its card cannot be read.

    Example:
        >>> bundled_card("digits-forest").score_output
        'probabilities'
    """
    return read_card(resources.card_path(name))


def verify_model(card: ModelCard, path: Path) -> bytes:
    """Give the content of a model file once it is known to be the file that its card describes.

    Raises:
        CardError: missing, or its SHA-256 is not the card's.
    """
    return verified_content(path, card.sha256, f'the card of "{card.name}"')


def verified_content(path: Path, sha256: str, source: str) -> bytes:
    """Read a file whose SHA-256 must be the one that `source` names.

    Raises:
        CardError: unreadable or different.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CardError(f"{path}: sha256 is {found}, but {source} says {sha256}; the file was changed or is damaged")
    return content


def find_model_by_sha256(sha256: str) -> Path | None:
    """The bundled model file with that SHA-256 (hex), or None. The file itself is asked, not its card."""
    for name in resources.model_names():
        path = resources.model_path(name)
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    return None


def find_card_by_sha256(sha256: str) -> ModelCard | None:
    """The card of the bundled model with that SHA-256 (hex), or None: so a copy of a bundled model finds its images.

    Raises:
        CardError: a bundled card cannot be read.
    """
    for name in resources.model_names():
        card = bundled_card(name)
        if card.sha256 == sha256:
            return card
    return None
