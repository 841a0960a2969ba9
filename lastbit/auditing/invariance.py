"""Invariance: does an answer depend on threads, on what it is batched with, on padding?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lastbit.auditing.findings import Invariance, KnobFound
from lastbit.auditing.knobs import INVARIANCES, KNOBS, REFERENCE

ROUNDING_MAX = 2**12
"""Answers that lie farther apart than so many spacings of their largest value were hardly rounded otherwise."""


def invariances_of(knobs: Iterable[KnobFound]) -> tuple[Invariance, ...]:
    """For each thing that no answer should depend on, what its knobs did when turned from the default settings.

    Args:
        knobs: all that were turned; none for an audit that turns none.
    """
    found = [each for each in knobs if each.base == REFERENCE]
    return tuple(_invariance(to, [each for each in found if each.knob in _knobs_of(to)]) for to in INVARIANCES if found)


def _knobs_of(to: str) -> frozenset[str]:
    return frozenset(knob.name for knob in KNOBS if knob.settings.keys() <= INVARIANCES[to])


def _invariance(to: str, found: Sequence[KnobFound]) -> Invariance:
    for each in found:
        if each.counterexample is not None and each.changed is not None:
            how_many = f"{each.knob} changed {each.changed.failures:,} of {each.changed.trials:,} inputs"
            said = f"{how_many}; {each.counterexample}"
            if to == "batch size" and each.counterexample.scaled_ulp > ROUNDING_MAX:
                said += "; more than rounding: a scale taken over the batch, or an axis that does not count requests"
            return Invariance(to=to, holds=False, said=said, counterexample=each.counterexample)
    inert = [each for each in found if each.verdict == "inert" and each.changed is not None]
    if inert and inert[0].changed is not None:
        said = f"0 of {inert[0].changed.trials:,} inputs changed under {'; '.join(each.knob for each in inert)}"
        return Invariance(to=to, holds=True, said=said)
    reasons = dict.fromkeys(each.refused or each.verdict for each in found)
    return Invariance(to=to, holds=None, said="; ".join(reasons))
