"""Knobs: settings turned one at a time, from more than one base.

A knob that changes nothing from the default base may change every bit from another: threads are inert while weights
are prepacked, and live where they are not. So each knob is tried from each base, and "inert" is said of one knob
against one named base, on so many inputs (DESIGN, section 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from replicas.profile import NumericProfile


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting, turned, with what goes with it.

    Attributes:
        name: as a person reads it.
        settings: fields of `NumericProfile` and their new values.
    """

    name: str
    settings: Mapping[str, Any]

    def turned(self, base: NumericProfile) -> NumericProfile | None:
        """The base with this knob turned; None where it stands so already."""
        profile = replace(base, **self.settings)
        return None if profile == base else profile


REFERENCE = "ref"
"""The profile of all defaults, by its name in the library: what an audit compares with."""

BASES: Mapping[str, NumericProfile] = {
    REFERENCE: NumericProfile(),
    "opt-off": NumericProfile(optimization="off"),
    "noprepack": NumericProfile(prepacking=False),
}
"""What knobs are turned from. The first is the reference of every comparison."""

KNOBS: tuple[Knob, ...] = (
    Knob("intra_op_threads=2", {"intra_op_threads": 2}),
    Knob("intra_op_threads=4", {"intra_op_threads": 4}),
    Knob("execution_mode=parallel", {"execution_mode": "parallel", "inter_op_threads": 4}),
    Knob("optimization=off", {"optimization": "off"}),
    Knob("optimization=basic", {"optimization": "basic"}),
    Knob("optimization=extended", {"optimization": "extended"}),
    Knob("prepacking=false", {"prepacking": False}),
    Knob("gelu_approximation=true", {"gelu_approximation": True}),
    Knob("batch_size=8", {"batch_size": 8}),
    Knob("padding=16", {"padding": 16}),
)

INVARIANCES: Mapping[str, frozenset[str]] = {
    "threads": frozenset({"intra_op_threads", "inter_op_threads", "execution_mode"}),
    "batch size": frozenset({"batch_size", "batch_mates"}),
    "padding": frozenset({"padding"}),
}
"""What no answer should depend on, and the settings by which it would."""
