"""What every table of a scenario file has in common, and the times in which it is written."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict

from lastbit.scenario.fields import NS_PER_MS, Real, Whole

REPLICAS_MAX = 1_000

ReplicaId: TypeAlias = Annotated[int, Whole("a replica", high=REPLICAS_MAX - 1)]
# No less than the nanosecond in which the clock counts.
Duration: TypeAlias = Annotated[float, Real("a time in milliseconds", low=1e-6)]
Instant: TypeAlias = Annotated[float, Real("a time in milliseconds")]


class Table(BaseModel):
    """A table of the file: frozen, no unknown key, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


def ns(ms: float) -> int:
    """Milliseconds of a file in the nanoseconds of the clock.

    Example:
        >>> ns(0.5)
        500000
    """
    return round(ms * NS_PER_MS)
