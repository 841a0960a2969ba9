"""Scenario files: what is to be run, read from TOML, judged whole before anything runs.

A scenario may come from a stranger. Reading one opens no other file, and the files that it names must lie in its own
folder.
"""

from __future__ import annotations

from lastbit.scenario.document import ReplicaSpec, Scenario
from lastbit.scenario.faults import Fault, ScenarioError
from lastbit.scenario.files import load_scenario

__all__ = ["Fault", "ReplicaSpec", "Scenario", "ScenarioError", "load_scenario"]
