"""Where scenarios are found: files of the user's own, and those that came with the program, by name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from lastbit import resources
from lastbit.scenario.document import Scenario
from lastbit.scenario.faults import Fault, ScenarioError

FILE_BYTES_MAX = 1_000_000
NAME_CHARACTERS_SHOWN_MAX = 300


def load_scenario(path_or_name: str | Path) -> Scenario:
    """Read a scenario: a file where there is one of that path, else the bundled one of that name.

    Raises:
        ScenarioError: there is none, it cannot be read, or it has faults; all of them at once.

    Example:
        >>> load_scenario("one-in-ten-thousand").chain.policy
        'halt'
    """
    path, source = _find(path_or_name)
    scenario_name = {"name": path.stem}
    return Scenario.from_mapping(scenario_name | _parse(_read(path, source), source), source=source, folder=path.parent)


def _find(path_or_name: str | Path) -> tuple[Path, str]:
    source = "".join(c if c.isprintable() else "?" for c in str(path_or_name)[:NAME_CHARACTERS_SHOWN_MAX])
    path = Path(path_or_name)
    try:
        if path.exists() and not (path.is_dir() and source in resources.scenario_names()):
            return path, source
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte in it
        raise _unreadable(
            source, f"cannot be the name of a file: {getattr(error, 'strerror', None) or error}"
        ) from None
    try:
        bundled = resources.scenario_path(source)
    except resources.ResourceError as error:
        raise _unreadable(source, f"no such file, and {error}") from None
    return bundled, f"scenarios/{bundled.name}"


def _read(path: Path, source: str) -> str:
    try:
        if path.is_dir():
            raise _unreadable(source, "is a folder; the scenario file in it")
        if not path.is_file():
            raise _unreadable(source, "is no ordinary file")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(source, f"cannot be read: {error.strerror or error}") from None
    if len(content) > FILE_BYTES_MAX:
        raise _unreadable(source, f"is larger than {FILE_BYTES_MAX:,} bytes; no scenario is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ScenarioError(source, [Fault(f"line {line}", "is not UTF-8 text, which TOML is")]) from None


def _unreadable(source: str, message: str) -> ScenarioError:
    return ScenarioError(source, [Fault("file", message)])


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, [_syntax_fault(str(error), text)]) from None
    except RecursionError:
        raise _unreadable(source, "is nested too deeply; no scenario is") from None
    except ValueError as error:  # such as a number of thousands of digits
        raise _unreadable(source, f"cannot be read as TOML: {error}") from None


def _syntax_fault(message: str, text: str) -> Fault:
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if at is None:
        return Fault("file", f"not TOML: {message}")
    last_line = text.count("\n") + 1
    place = f"line {at[1]}, column {at[2]}" if at[1] else f"line {last_line}, at the end"
    return Fault(place, f"not TOML: {message[: at.start()]}")
