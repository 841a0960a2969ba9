"""What the README shows is what its commands print."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from support import stories

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_of_the_readme_prints_what_the_readme_says(readme: ModuleType, tmp_path: Path) -> None:
    shown = readme.README.read_text(encoding="utf-8")
    assert shown.count("```console") >= 5
    shown, printed = readme.without_times(shown), readme.without_times(readme.rendered(shown, tmp_path))
    if stories.golden_digests() is None:  # another processor, or other versions
        shown, printed = readme.without_bits(shown), readme.without_bits(printed)
    assert printed == shown


def test_the_page_of_costs_shows_what_the_command_prints(readme: ModuleType, tmp_path: Path) -> None:
    shown = readme.COSTS.read_text(encoding="utf-8")
    assert shown.count("```console") == 1
    assert readme.rendered(shown, tmp_path) == shown


def test_what_a_clock_told_is_taken_out_of_a_block(readme: ModuleType) -> None:
    assert readme.without_times("in 0.72 times the time of") == "in * times the time of"


def test_what_depends_on_the_processor_is_taken_out_of_a_block(readme: ModuleType) -> None:
    assert readme.without_bits("3918f9…  0x1.4p+2, 3 steps apart, element 4") == "*  *, *, *"
