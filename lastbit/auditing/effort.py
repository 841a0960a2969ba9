"""How many inputs an audit tries, by what one run of the model costs: counted operations, never a stopwatch."""

from __future__ import annotations

SAMPLES_MAX, SAMPLES_MIN = 300, 30
"""Of what changed none of 300 inputs, at 95 %, fewer than 1 in 100 is changed; of none of 30, fewer than 1 in 10."""
REPEATED_MAX, REPEATED_MIN = 20, 5
LIGHT_OPERATIONS = 200_000_000
"""Up to here, some ten milliseconds, nothing is spared."""


def samples_for(operations: int) -> int:
    """How many inputs are tried where nobody says.

    Example:
        >>> samples_for(1_000), samples_for(1_000_000_000), samples_for(20_000_000_000)
        (300, 60, 30)
    """
    return _spared(SAMPLES_MAX, SAMPLES_MIN, operations)


def repeated_inputs_for(operations: int) -> int:
    """How many of the first inputs are run again.

    Example:
        >>> repeated_inputs_for(1_000), repeated_inputs_for(20_000_000_000)
        (20, 5)
    """
    return _spared(REPEATED_MAX, REPEATED_MIN, operations)


def _spared(most: int, least: int, operations: int) -> int:
    return min(max(most * LIGHT_OPERATIONS // max(operations, 1), least), most)
