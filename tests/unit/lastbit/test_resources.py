"""Bundled files are found in a checkout and in a wheel, and no name leads out of their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastbit import resources
from lastbit.resources import ResourceError


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package `lastbit` that holds nothing yet."""
    package = tmp_path / "lastbit"
    package.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    return package


def test_each_bundled_model_lies_beside_its_card() -> None:
    for name in resources.model_names():
        assert resources.model_path(name).parent == resources.card_path(name).parent


def test_in_a_wheel_the_files_lie_inside_the_package(installation: Path) -> None:
    inside = installation / "_data" / "scenarios"
    inside.mkdir(parents=True)
    (inside / "calm.toml").touch()
    (installation.parent / "scenarios").mkdir()  # a stranger's folder beside the package
    assert resources.scenario_path("calm") == inside / "calm.toml"


def test_in_a_checkout_the_files_lie_beside_the_package(installation: Path) -> None:
    (installation.parent / "scenarios").mkdir()
    (installation.parent / "scenarios" / "calm.toml").touch()
    (installation.parent / "scenarios" / "notes.txt").touch()
    assert resources.scenario_names() == ("calm",)


def test_an_installation_without_its_files_says_so(installation: Path) -> None:
    with pytest.raises(ResourceError, match="not completely installed"):
        resources.constraints_path()
    assert installation.is_dir()


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/../calm", "calm.toml", "", ".", "calm\0"])
def test_a_name_is_never_taken_for_a_path(installation: Path, name: str) -> None:
    folder = installation.parent / "scenarios"
    (folder / "sub").mkdir(parents=True)
    (folder / "calm.toml").touch()
    (installation.parent / "secret.toml").touch()
    with pytest.raises(ResourceError, match="no bundled scenario is called"):
        resources.scenario_path(name)


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(ResourceError, match=r'"digits-mpl"; did you mean "digits-mlp"\?'):
        resources.model_path("digits-mpl")
