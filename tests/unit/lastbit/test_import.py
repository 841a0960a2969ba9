"""The package as a program that imports it sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lastbit

HEAVY = ("numpy", "onnxruntime", "onnx", "pydantic", "scipy", "simpy", "rich", "click", "msgspec")


def loaded_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import lastbit") == set()


def test_the_help_of_the_command_line_loads_no_runtime() -> None:
    assert loaded_after("import lastbit.cli") & {"numpy", "onnxruntime", "onnx", "pydantic", "scipy", "simpy"} == set()


def test_a_name_is_loaded_when_it_is_first_used() -> None:
    assert loaded_after("import lastbit; lastbit.Scenario") >= {"pydantic"}


def test_reading_a_scenario_loads_no_runtime() -> None:
    statement = "import lastbit; lastbit.load_scenario('all-equal')"
    assert loaded_after(statement) & {"onnxruntime", "onnx", "scipy", "simpy"} == set()


def test_no_module_has_the_name_of_what_the_face_offers() -> None:
    program = (
        "import pkgutil, lastbit; names = {module.name for module in pkgutil.iter_modules(lastbit.__path__)};"
        "assert not names & {'run', 'load_scenario'}, names"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rum'; it has Audit, Result"):
        _ = lastbit.rum


def test_every_name_of_the_face_is_listed() -> None:
    assert set(lastbit.__all__) <= set(dir(lastbit))
