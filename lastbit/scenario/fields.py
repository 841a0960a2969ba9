"""The kinds of value that a scenario holds. Each says, in one sentence, what it found and what it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lastbit.scenario.faults import shown, shown_float

INT64_MAX = 2**63 - 1
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
# Three hundred years and more: every time of a run stays within 64-bit nanoseconds.
MS_MAX = 1e12
S_MAX = 1e9


def refusal(message: str) -> PydanticCustomError:
    """An error that carries a finished sentence through pydantic."""
    return PydanticCustomError("refused", "{message}", {"message": message})


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds. A float is refused even where it is whole: 1e5 blocks must be written 100000."""

    noun: str
    low: int = 0
    high: int = INT64_MAX

    def check(self, found: object) -> int:
        if isinstance(found, float) and found.is_integer() and self.low <= found <= self.high:
            raise refusal(f"{shown(found)} is not {self.noun}; a whole number: did you mean {int(found)}?")
        if isinstance(found, bool) or not isinstance(found, int):
            raise refusal(f"{shown(found)} is not {self.noun}; a whole number, {self._range()}")
        if found > self.high:
            raise refusal(f"{shown(found)} is not {self.noun}; from {self.low} to {self.high}")
        if found < self.low:
            raise refusal(f"{shown(found)} is not {self.noun}; {self._range()}")
        return found

    def _range(self) -> str:
        return f"at least {self.low}" if self.high == INT64_MAX else f"from {self.low} to {self.high}"

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(self.check, bounded)


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number within bounds."""

    noun: str
    low: float = 0.0
    high: float = MS_MAX

    def check(self, found: object) -> float:
        number = _finite(found)
        if number is None:
            raise refusal(f"{shown(found)} is not {self.noun}; a number, {self._range()}")
        if not self.low <= number <= self.high:
            raise refusal(f"{shown(found)} is not {self.noun}; {self._range()}")
        return number

    def _range(self) -> str:
        return f"from {shown_float(self.low).removesuffix('.0')} to {shown_float(self.high).removesuffix('.0')}"

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.float_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(self.check, bounded)


@dataclass(frozen=True, slots=True)
class Probability:
    """A number from 0 to 1. The usual slips, a lost minus sign and per cent, are named."""

    def check(self, found: object) -> float:
        number = _finite(found)
        if number is None:
            raise refusal(f"{shown(found)} is no probability; a number from 0 to 1")
        if not 0 <= number <= 1:
            raise refusal(f"{shown(found)} is no probability; {_meant(number)}")
        return number

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.float_schema(ge=0, le=1)
        return core_schema.no_info_before_validator_function(self.check, bounded)


def _meant(number: float) -> str:
    if 10 <= number < 1e16:
        mantissa, exponent = f"{number:.15e}".split("e")
        return f"did you mean {shown_float(float(f'{mantissa}e-{int(exponent)}'))}?"
    return "from 0 to 1"


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false, and nothing that merely counts as one of them."""

    def check(self, found: object) -> bool:
        if not isinstance(found, bool):
            raise refusal(f"{shown(found)} is not allowed; true or false")
        return found

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, core_schema.bool_schema())


@dataclass(frozen=True, slots=True)
class Text:
    """Text that a terminal may be shown: no control character but, where allowed, the end of a line."""

    noun: str
    characters_max: int
    lines: bool = False

    def check(self, found: object) -> str:
        if not isinstance(found, str):
            raise refusal(f"{shown(found)} is not {self.noun}; text in quotes")
        text = found.strip()
        if len(text) > self.characters_max:
            raise refusal(f"{len(text)} characters are too many for {self.noun}; at most {self.characters_max}")
        if any(not (c.isprintable() or (self.lines and c == "\n")) for c in text):
            raise refusal(f"{shown(text)} holds a character that cannot be printed")
        return text

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.str_schema(max_length=self.characters_max)
        return core_schema.no_info_before_validator_function(self.check, bounded)


@dataclass(frozen=True, slots=True)
class FileName:
    """A file in the scenario's own folder or below it. Nothing that a scenario says may lead elsewhere."""

    suffix: str

    def check(self, found: object) -> str:
        if not isinstance(found, str) or not found:
            raise refusal(f"{shown(found)} is not the name of a file")
        if found.startswith(("/", "~")) or "\\" in found or ":" in found or ".." in found.split("/"):
            raise refusal(
                f"{shown(found)} leads out of the scenario's folder; a file in it, such as model{self.suffix}"
            )
        if not found.isprintable():
            raise refusal(f"{shown(found)} holds a character that cannot be printed")
        if not found.endswith(self.suffix):
            raise refusal(f"{shown(found)} does not end in {self.suffix}")
        return found

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, core_schema.str_schema(min_length=1))


def _finite(found: object) -> float | None:
    """`found` as a float, or None where it is no finite number."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
