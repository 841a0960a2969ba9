"""What is wrong with a profile: every fault that was found, each with its key, what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches


class ProfileError(ValueError):
    """A profile asks for something that does not exist. Holds every fault that was found, not the first alone.

    Args:
        faults: one line each: the key, what was found, what is allowed.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def raise_if(faults: Sequence[str]) -> None:
    """Raise all faults as one error, or nothing where there are none."""
    if faults:
        raise ProfileError(faults)


def unknown_keys(found: Mapping[str, object], allowed: Sequence[str], prefix: str = "") -> list[str]:
    """A fault for each key that is not allowed."""
    return [f"{prefix}{key}: unknown key{_suggest(key, allowed)}" for key in found if key not in allowed]


def fault_in_number(key: str, found: object, *, low: int, high: int) -> list[str]:
    """A fault where a value is no whole number within bounds."""
    if isinstance(found, int) and not isinstance(found, bool) and low <= found <= high:
        return []
    return [f"{key}: {found!r} is not allowed; a whole number from {low} to {high}"]


def fault_in_choice(key: str, found: object, allowed: Sequence[str]) -> list[str]:
    """A fault where a value is not one of the words allowed."""
    if isinstance(found, str) and found in allowed:
        return []
    return [f"{key}: {found!r} is not allowed{_suggest(found, allowed)}"]


def fault_in_flag(key: str, found: object) -> list[str]:
    """A fault where a value is neither true nor false."""
    return [] if isinstance(found, bool) else [f"{key}: {found!r} is not allowed; true or false"]


def _suggest(found: object, allowed: Sequence[str]) -> str:
    close = get_close_matches(str(found), allowed, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; allowed are {', '.join(allowed)}"
