"""lastbit: if every replica of a chain runs the same model, will they agree, and what happens when they don't?

    >>> import lastbit
    >>> scenario = lastbit.load_scenario("one-in-ten-thousand")
    >>> scenario.chain.replicas
    4

`lastbit.run(scenario)` runs it and returns a `Result`; `lastbit.audit(model)` tells which settings give the same bits.
Importing the package loads nothing else; each name below is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lastbit.auditing import Audit as Audit
    from lastbit.auditing import audit as audit
    from lastbit.result import Result as Result
    from lastbit.running import run as run
    from lastbit.scenario import Scenario as Scenario
    from lastbit.scenario import ScenarioError as ScenarioError
    from lastbit.scenario import load_scenario as load_scenario

__all__ = ["Audit", "Result", "Scenario", "ScenarioError", "__version__", "audit", "load_scenario", "run"]

_ROOMS = {
    "Audit": "lastbit.auditing",
    "audit": "lastbit.auditing",
    "Result": "lastbit.result",
    "Scenario": "lastbit.scenario",
    "ScenarioError": "lastbit.scenario",
    "load_scenario": "lastbit.scenario",
    "run": "lastbit.running",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _ROOMS:
        raise AttributeError(f"module 'lastbit' has no attribute {name!r}; it has {', '.join(__all__)}")
    # Kept, so that the next use is a plain look-up. No module here has the name of one of these: importing it would
    # put the module in the place of what is meant.
    value = globals()[name] = getattr(import_module(_ROOMS[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _version() -> str:
    try:
        return version("lastbit")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "not installed"
