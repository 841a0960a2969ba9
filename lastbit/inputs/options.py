"""What a user may say about generated inputs: `--dim NAME=4`, `--range NAME=LO:HI`, `--value NAME=V`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from lastbit.inputs.input_set import InputsError

T = TypeVar("T")
Bounds = tuple[int, int] | tuple[float, float]

DIM_MAX = 1 << 31


@dataclass(frozen=True, slots=True)
class Overrides:
    """The user's word on generated inputs.

    Args:
        dims: sizes by the name of a symbolic dimension, or by `INPUT.AXIS`.
        ranges: least and greatest value by name of the input, both included.
        values: a constant by name of the input, as text: its dtype is known to the model only.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, Bounds] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_texts(
        cls, *, dims: Iterable[str] = (), ranges: Iterable[str] = (), values: Iterable[str] = ()
    ) -> Overrides:
        """Read the options as typed.

        Raises:
            InputsError: one is malformed, or a name is given twice.

        Example:
            >>> Overrides.from_texts(dims=["sequence=4"], ranges=["ids=0:99"]).ranges
            {'ids': (0, 99)}
        """
        return cls(
            dims=_by_name("--dim", dims, parse_dim),
            ranges=_by_name("--range", ranges, parse_range),
            values=_by_name("--value", values, parse_value),
        )


def parse_dim(text: str) -> tuple[str, int]:
    """Read `NAME=SIZE`.

    Raises:
        InputsError: no name, or the size is no integer from 1 on.

    Example:
        >>> parse_dim("sequence=4")
        ('sequence', 4)
    """
    name, equals, size = text.rpartition("=")
    if not name or not equals or not size.isascii() or not size.isdigit() or not 1 <= int(size) < DIM_MAX:
        raise InputsError(f'--dim "{text}": NAME=SIZE with a size from 1 to 2147483647, such as --dim sequence=4')
    return name, int(size)


def parse_range(text: str) -> tuple[str, Bounds]:
    """Read `NAME=LO:HI`: integers where both are written as integers, else floats.

    Raises:
        InputsError: no name, LO or HI is no finite number, or LO is above HI.

    Example:
        >>> parse_range("ids=0:99"), parse_range("x=-1:0.5")
        (('ids', (0, 99)), ('x', (-1.0, 0.5)))
    """
    name, _, bounds = text.rpartition("=")
    low_text, colon, high_text = bounds.partition(":")
    low, high = _number(low_text), _number(high_text)
    if not name or not colon or low is None or high is None:
        raise InputsError(f'--range "{text}": NAME=LO:HI with two finite numbers, such as --range ids=0:99')
    if low > high:
        raise InputsError(f'--range "{text}": {low_text} is above {high_text}; the lower bound comes first')
    if isinstance(low, int) and isinstance(high, int):
        return name, (low, high)
    return name, (float(low), float(high))


def parse_value(text: str) -> tuple[str, str]:
    """Read `NAME=V`. V stays text until the input's dtype is known, and may hold further equals signs.

    Raises:
        InputsError: no name, or no equals sign.

    Example:
        >>> parse_value("city=Paris")
        ('city', 'Paris')
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputsError(f'--value "{text}": NAME=V, such as --value temperature=0.5')
    return name, value


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _by_name(option: str, texts: Iterable[str], parse: Callable[[str], tuple[str, T]]) -> dict[str, T]:
    result: dict[str, T] = {}
    for text in texts:
        name, value = parse(text)
        if name in result and result[name] != value:
            raise InputsError(f'{option} "{text}": "{name}" was given before, as {result[name]}')
        result[name] = value
    return result
