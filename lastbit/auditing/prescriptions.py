"""What could be prescribed to a fleet: settings that everybody is held to, whatever else they choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

from replicas.profile import NumericProfile
from replicas.summation import Summation, summation_to_plain

BESIDE: tuple[Mapping[str, Any], ...] = (
    {},
    {"optimization": "off"},
    {"optimization": "basic"},
    {"precision": "integers"},
)
"""What may be prescribed beside settings in which the wanted profiles differ. One more to try is one more line."""

_TOGETHER = (("execution_mode", "inter_op_threads"),)
"""Settings of which one says nothing without the other: they are prescribed together."""


@dataclass(frozen=True, slots=True)
class Prescription:
    """Settings that everybody is held to; none: everybody does as they like.

    Attributes:
        settings: fields of `NumericProfile` and their values.
    """

    settings: Mapping[str, Any]

    def over(self, profile: NumericProfile) -> NumericProfile:
        """A profile held to it."""
        return replace(profile, **self.settings)

    def asks_less_than(self, other: Prescription) -> bool:
        """Does the other prescribe all of this, and more?"""
        return self.settings.items() < other.settings.items()

    def to_plain(self) -> dict[str, Any]:
        """The settings as a file of profiles has them."""
        return {
            name: summation_to_plain(value) if isinstance(value, Summation) else value
            for name, value in self.settings.items()
        }

    def __str__(self) -> str:
        return ", ".join(f"{name}={_told(value)}" for name, value in self.to_plain().items()) or "nothing"


def prescriptions(wanted: Mapping[str, NumericProfile], reference: NumericProfile) -> tuple[Prescription, ...]:
    """All that are tried, those of fewer settings first.

    Args:
        wanted: the profiles that are to agree. Each subset of the settings in which they differ is prescribed as the
            reference has it, each with each of `BESIDE`.
        reference: whose settings are prescribed.

    Example:
        >>> wanted = {"ref": NumericProfile(), "threads4": NumericProfile(intra_op_threads=4)}
        >>> [str(each) for each in prescriptions(wanted, NumericProfile())][:4]
        ['nothing', 'optimization=off', 'optimization=basic', 'precision=integers']
    """
    groups = list(_groups_that_differ(wanted))
    found: list[dict[str, Any]] = []
    for count in range(len(groups) + 1):
        for chosen in combinations(groups, count):
            fixed = {name: getattr(reference, name) for group in chosen for name in group}
            found += ({**fixed, **beside} for beside in BESIDE if not fixed.keys() & beside.keys())
    return tuple(Prescription(settings) for settings in sorted(found, key=len))


def _groups_that_differ(wanted: Mapping[str, NumericProfile]) -> Iterator[tuple[str, ...]]:
    done: set[str] = set()
    for each in fields(NumericProfile):
        if each.name in done:
            continue
        group = next((names for names in _TOGETHER if each.name in names), (each.name,))
        done.update(group)
        if len({tuple(getattr(profile, name) for name in group) for profile in wanted.values()}) > 1:
            yield group


def _told(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
