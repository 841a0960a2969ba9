"""Puts `models/` and `scenarios/` inside the wheel, as data of `lastbit`.

An editable install reads them from the checkout instead. A plain `force-include` in pyproject.toml would copy them
then, too: a second, stale set of files, and a folder that hides the package.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DataInWheel(BuildHookInterface[Any]):
    """Adds the data folders to a wheel that is no editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            for name in ("models", "scenarios", "constraints.txt"):
                build_data["force_include"][name] = f"lastbit/_data/{name}"
