"""What is wrong with a scenario: every fault at once, each with its place, what was found and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

_SHOWN_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong.

    Args:
        place: where, as a dotted key ("chain.replicas", "replica[1].id") or "line 3, column 7".
        message: what was found, what is allowed and what was probably meant.
    """

    place: str
    message: str


class ScenarioError(ValueError):
    """A scenario that cannot be run. Its text is what a person is shown.

    Args:
        source: the file, or a name for what was judged.
        faults: all that was found wrong, at least one.

    Example:
        >>> print(ScenarioError("mine.toml", [Fault("chain.blocks", "0 is not a number of blocks; at least 1")]))
        mine.toml: 1 fault, nothing was run
        <BLANKLINE>
          chain.blocks   0 is not a number of blocks; at least 1
    """

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        if not self.faults:
            raise ValueError("a ScenarioError needs at least one fault")
        super().__init__(self._text())

    def _text(self) -> str:
        count = len(self.faults)
        width = max(len(fault.place) for fault in self.faults)
        lines = [f"{self.source}: {count} fault{'s' if count > 1 else ''}, nothing was run", ""]
        lines += [f"  {fault.place:<{width}}   {fault.message}" for fault in self.faults]
        return "\n".join(lines)


def shown(found: object) -> str:
    """A value as a scenario file would write it, short and free of control characters.

    Example:
        >>> shown(10_000.0), shown(True), shown("a"), shown([1])
        ('1e4', 'true', '"a"', 'a list')
    """
    match found:
        case bool():
            return str(found).lower()
        case int():
            return str(found) if abs(found) < 10**_SHOWN_CHARACTERS_MAX else "a number of more than 60 digits"
        case float():
            return shown_float(found)
        case str():
            text = json.dumps(found)
            return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + '…"'
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return str(found)


def shown_float(found: float) -> str:
    """A float in its shortest form: 1e4 rather than 10000.0, 0.5 rather than 5e-1.

    Example:
        >>> shown_float(1e-4), shown_float(2.5e6), shown_float(0.25), shown_float(3.0)
        ('1e-4', '2.5e6', '0.25', '3.0')
    """
    if found == 0 or not isfinite(found) or 1e-3 <= abs(found) < 1e4:
        return repr(found)
    mantissa, _, exponent = f"{Decimal(repr(found)).normalize():e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
