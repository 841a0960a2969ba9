"""The chance of a quorum in a fleet where some profiles draw their order anew on each run.

A quorum is more than half, so at most one digest has one, and the chances of all digests add up. How many of the drawn
replicas say a digest is told by a polynomial in x and y: the coefficient of x^j y^i belongs to j replicas, i of whom
say it. Each profile has one of its own, and the fleet's is their product.

The chance that i of j replicas of one profile say a digest is binomial where the profile's chances are known (0 or 1
for one that always says the same). Where they are not, j of its M runs are taken, none of them twice, and i is
hypergeometric: that is right on average for any M >= j, while the share of runs, put for the chance, is too high.
Two replicas of a profile whose runs were all different agree with chance 0, and not 1 in M.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from math import comb, factorial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from consensus.quorum import QuorumSystem
from lastbit.auditing.drawn_runs import ByProfile, DrawnRuns
from lastbit.auditing.quorum_chance import FleetShares, QuorumChance, mean_over_inputs

Polynomial: TypeAlias = npt.NDArray[np.float64]
"""Coefficients: element [j, i] is that of x^j y^i."""


@dataclass(frozen=True, slots=True, order=True)
class _Part:
    """Profiles of a fleet that say a digest alike: their weight, and in how many of their runs they say it."""

    weight: float
    said: int
    runs: int
    is_sample: bool


def drawn_quorum_chance(form: str, fleet: FleetShares, runs: DrawnRuns, quorum: QuorumSystem) -> QuorumChance:
    """The mean chance over the inputs that a fleet's drawn profiles were run on.

    Raises:
        FleetError: a finite fleet of fewer machines than replicas, or no input.
    """
    fleet.refuse_too_few_for(quorum)
    chance = ChanceByInput(fleet, quorum)
    chances = [(chance.on(by_profile), 1) for by_profile in runs.by_input[form]]
    return mean_over_inputs(form, chances, how="estimated" if runs.are_samples else "enumerated", runs=runs.runs)


class ChanceByInput:
    """The chance of a quorum on one input after another: what inputs have in common is computed once.

    Example:
        >>> from lastbit.auditing.drawn_runs import Voices
        >>> halves = FleetShares({"a": 0.5, "b": 0.5}, is_finite=False)
        >>> coin = Voices({"heads": 1, "tails": 1}, runs=2, is_sample=False)
        >>> always = Voices({"heads": 1}, runs=1, is_sample=False)
        >>> ChanceByInput(halves, QuorumSystem.equal(1)).on({"a": coin, "b": always})
        1.0
    """

    def __init__(self, fleet: FleetShares, quorum: QuorumSystem) -> None:
        self._fleet = fleet
        self._quorum = quorum
        self._of_parts = cache(self._chance)

    def on(self, by_profile: ByProfile) -> float:
        """The chance on an input on which the fleet's profiles say that."""
        digests = dict.fromkeys(digest for name in self._fleet.weights for digest in by_profile[name].counts)
        return sum(self._of_parts(_parts(self._fleet.weights, by_profile, digest)) for digest in digests)

    def _chance(self, parts: tuple[_Part, ...]) -> float:
        """The chance that a quorum says the digest that these parts say."""
        drawn, threshold = self._quorum.replicas, self._quorum.threshold
        if sum(min(each.said, drawn) if each.is_sample else drawn * (each.said > 0) for each in parts) < threshold:
            return 0.0
        whole = np.zeros((drawn + 1, drawn + 1))
        whole[0, 0] = 1.0
        for part in parts:
            whole = _product(whole, self._polynomial(part))
        return float(whole[drawn, threshold:].sum() / self._ways(sum(self._fleet.weights.values()), drawn))

    def _polynomial(self, part: _Part) -> Polynomial:
        drawn = self._quorum.replicas
        coefficients = np.zeros((drawn + 1, drawn + 1))
        for count in range(drawn + 1):
            ways = self._ways(part.weight, count)
            for say_it in range(count + 1):
                coefficients[count, say_it] = ways * _chance_to_say(part, count, say_it)
        return coefficients

    def _ways(self, weight: float, count: int) -> float:
        """The ways to draw so many replicas of that weight, up to a factor that cancels in the quotient."""
        if not self._fleet.is_finite:
            return float(weight**count / factorial(count))
        machines = int(sum(self._fleet.weights.values()))
        return float(comb(int(weight), count) / machines**count)  # whole numbers of any size: nothing overflows


def _parts(weights: Mapping[str, float], by_profile: ByProfile, digest: Hashable) -> tuple[_Part, ...]:
    """Profiles whose chance to say the digest is known and the same are one part: that changes no chance."""
    known: dict[tuple[int, int], float] = {}
    sampled = []
    for name, weight in weights.items():
        voices = by_profile[name]
        said = voices.counts.get(digest, 0)
        if voices.is_sample:
            sampled.append(_Part(weight, said, voices.runs, is_sample=True))
        else:
            known[said, voices.runs] = known.get((said, voices.runs), 0.0) + weight
    return tuple(sorted([*sampled, *(_Part(weight, *key, is_sample=False) for key, weight in known.items())]))


def _chance_to_say(part: _Part, count: int, say_it: int) -> float:
    """The chance that `say_it` of `count` replicas of a part say the digest."""
    if part.is_sample:
        others = comb(part.runs - part.said, count - say_it)
        return comb(part.said, say_it) * others / comb(part.runs, count)
    chance = part.said / part.runs
    return float(comb(count, say_it) * chance**say_it * (1 - chance) ** (count - say_it))


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    """The product of two, without what stands for more replicas than are drawn."""
    size = len(one)
    product = np.zeros_like(one)
    for count, say_it in np.argwhere(other):
        product[count:, say_it:] += other[count, say_it] * one[: size - count, : size - say_it]
    return product
