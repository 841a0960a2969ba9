"""Where the bundled models and scenarios lie: inside an installed wheel, or beside the packages in a checkout.

They are data of lastbit and no Python packages, so that they never shadow a user's own `models`. A name is only ever
compared with the names of the files that are there and never becomes part of a path, so none leads out of the folder.
"""

from __future__ import annotations

from pathlib import Path

from lastbit.did_you_mean import did_you_mean

_PACKAGE = Path(__file__).resolve().parent


class ResourceError(ValueError):
    """No bundled file has that name, or the installation lacks its files."""


def models_folder() -> Path:
    """The folder of ONNX files, their cards, input sets and recipes.

    Raises:
        ResourceError: the installation lacks it.
    """
    return _installed_or_checkout("models")


def scenarios_folder() -> Path:
    """The folder of scenario files.

    Raises:
        ResourceError: the installation lacks it.
    """
    return _installed_or_checkout("scenarios")


def model_names() -> tuple[str, ...]:
    """Names of the bundled models, sorted.

    Example:
        >>> model_names()
        ('digits-forest', 'digits-mlp')
    """
    return tuple(_files(models_folder(), ".onnx"))


def scenario_names() -> tuple[str, ...]:
    """Names of the bundled scenarios, sorted."""
    return tuple(_files(scenarios_folder(), ".toml"))


def model_path(name: str) -> Path:
    """The ONNX file of a bundled model; its card is `card_path(name)`.

    Raises:
        ResourceError: no bundled model has that name.
    """
    return _bundled("model", name, _files(models_folder(), ".onnx"))


def card_path(name: str) -> Path:
    """The card of a bundled model.

    Raises:
        ResourceError: no bundled model has that name, or it lacks a card.
    """
    model_path(name)
    return _bundled("model card", name, _files(models_folder(), ".toml"))


def scenario_path(name: str) -> Path:
    """The file of a bundled scenario.

    Raises:
        ResourceError: no bundled scenario has that name.
    """
    return _bundled("scenario", name, _files(scenarios_folder(), ".toml"))


def constraints_path() -> Path:
    """The file of the package versions that were tested.

    Raises:
        ResourceError: the installation lacks it.
    """
    return _installed_or_checkout("constraints.txt")


def _installed_or_checkout(name: str) -> Path:
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for place in places:
        if place.exists():
            return place
    raise ResourceError(f"{places[0]}: missing, and so is {places[1]}; lastbit is not completely installed")


def _files(folder: Path, ending: str) -> dict[str, Path]:
    found = sorted(folder.iterdir(), key=lambda path: path.stem)
    return {path.stem: path for path in found if path.suffix == ending and path.is_file()}


def _bundled(kind: str, name: str, files: dict[str, Path]) -> Path:
    if name not in files:
        raise ResourceError(f'no bundled {kind} is called "{name}"; {did_you_mean(name, files)}')
    return files[name]
