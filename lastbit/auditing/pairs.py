"""How far classes lie apart, kept while the classes are still being found.

Two profiles of one class gave equal answers so far. So when a class falls apart, what was found between it and any
other class holds for each of its parts, and between the parts nothing was found yet: only pairs of classes are kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from math import frexp, isfinite

from lastbit.auditing.partition import Partition, Split
from replicas.distance import Distance, distance
from replicas.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Answered:
    """One profile's answer to one input: all of it, and as each form sees it (None where a form makes no sense)."""

    outputs: Outputs
    bits: bytes
    top1: Hashable


@dataclass(frozen=True, slots=True)
class Apart:
    """What was found between two classes: inputs that differ in bits, inputs whose top 1 differs, and the distance;
    which request was the first to tell them apart; and how many inputs lie 2^k to 2^(k+1) of `scaled_ulp` apart."""

    first_request: int | None = None
    changed: int = 0
    flips: int = 0
    distance: Distance = field(default_factory=Distance)
    by_power: Mapping[int, int] = field(default_factory=dict)

    def and_one_more(self, request: int, *, flipped: bool, far: Distance) -> Apart:
        """With one more input that tells the two apart."""
        by_power = dict(self.by_power)
        if far.scaled_ulp > 0 and isfinite(far.scaled_ulp):  # a NaN, or the sign of a zero, has no size
            power = frexp(far.scaled_ulp)[1] - 1
            by_power[power] = by_power.get(power, 0) + 1
        return Apart(
            request if self.first_request is None else self.first_request,
            self.changed + 1,
            self.flips + flipped,
            self.distance + far,
            by_power,
        )


class PairsOfClasses:
    """Follows a partition by bits, input by input."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._apart: dict[tuple[str, str], Apart] = {}

    def take(self, request: int, answers: Mapping[str, Answered]) -> None:
        """Refine the partition by the answers to one more input, and add up how far its classes lie apart."""
        for split in self._partition.refine({name: answer.bits for name, answer in answers.items()}):
            self._inherit(split)
        firsts = [names[0] for names in self._partition.classes]
        measured: dict[tuple[bytes, bytes], Distance] = {}
        # In both directions: a class that falls off later may stand on the other side of a third one.
        for one, other in permutations(firsts, 2):
            reference, answer = answers[one], answers[other]
            if reference.bits == answer.bits:
                continue
            key = reference.bits, answer.bits
            if key not in measured:
                measured[key] = distance(reference.outputs, answer.outputs)
            self._apart[one, other] = self.between(one, other).and_one_more(
                request, flipped=reference.top1 != answer.top1, far=measured[key]
            )

    def between(self, one: str, other: str) -> Apart:
        """How the answers of a class lie from those of the one before it; each is named by its first profile."""
        return self._apart.get((one, other), Apart())

    def drop(self, name: str) -> None:
        """Forget a profile. Where it stood for its class, the next of the class does."""
        heir = next((names[1] for names in self._partition.classes if names[0] == name and len(names) > 1), None)
        self._partition.drop(name)
        kept: dict[tuple[str, str], Apart] = {}
        for (one, other), apart in self._apart.items():
            if name not in (one, other):
                kept[one, other] = apart
            elif heir is not None:
                kept[heir if one == name else one, heir if other == name else other] = apart
        self._apart = kept

    def _inherit(self, split: Split) -> None:
        for (one, other), apart in list(self._apart.items()):
            if one == split.parent:
                self._apart[split.child, other] = apart
            if other == split.parent:
                self._apart[one, split.child] = apart
