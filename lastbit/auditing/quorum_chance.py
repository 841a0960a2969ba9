"""The chance that replicas drawn from a fleet of profiles agree.

For each input by itself: profiles of one class agree on it, so a quorum forms if enough of the drawn replicas fall
into one class. Two classes can't both reach a quorum, since it is more than half, so the chances of the classes add
up. Then the mean over inputs. With shares, replicas are drawn from an endless fleet (multinomial); with whole numbers
from a fleet of that many machines, each drawn once (hypergeometric). Profiles that draw their order of summation anew
belong to no class; fleets that have some are told by `drawn_chance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Literal, TypeAlias

import msgspec

from consensus.quorum import QuorumSystem
from lastbit.did_you_mean import did_you_mean

Classes: TypeAlias = Sequence[Sequence[str]]
How: TypeAlias = Literal["exact", "enumerated", "estimated"]


class FleetError(ValueError):
    """A fleet that cannot be; one line that says what is wrong and what is allowed."""


class QuorumChance(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a quorum is.

    Attributes:
        form: what is voted on.
        mean: over the inputs tried.
        low, high: a 95 % interval for the mean over all inputs.
        how: "exact" on each input; "enumerated": exact, too, with every order of those profiles run that draw it anew;
            or "estimated" from some runs of these.
        inputs: how many inputs it rests on.
        runs: how often a profile that draws its order anew was run on each, at most; None without such profiles.
    """

    form: str
    mean: float
    low: float
    high: float
    how: How
    inputs: int
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class FleetShares:
    """Profiles and how much of a fleet each is.

    Attributes:
        weights: shares of an endless fleet that add up to 1, or numbers of machines.
        is_finite: they are numbers of machines.
    """

    weights: Mapping[str, float]
    is_finite: bool

    @classmethod
    def from_text(cls, text: str, known: Iterable[str]) -> FleetShares:
        """Read `ref=0.7,noprepack=0.3`, or `ref=30,noprepack=15` for a fleet of so many machines.

        Raises:
            FleetError: malformed, an unknown profile, or numbers that are neither shares nor machines.

        Example:
            >>> FleetShares.from_text("ref=3,noprepack=1", ["ref", "noprepack"]).is_finite
            True
        """
        names, weights = list(known), {}
        for part in text.split(","):
            name, equals, number = (each.strip() for each in part.partition("="))
            if not equals:
                raise FleetError(f'fleet: "{part.strip()}" is no NAME=SHARE, such as ref=0.7')
            if name not in names:
                raise FleetError(f'fleet: no profile "{name}" was tried; {did_you_mean(name, names)}')
            if name in weights:
                raise FleetError(f'fleet: "{name}" stands there twice')
            weights[name] = _number(name, number)
        total = sum(weights.values())
        is_finite = all(weight == int(weight) for weight in weights.values()) and total > 1
        if not is_finite and abs(total - 1) > 1e-9:
            raise FleetError(f"fleet: the shares add up to {total:g}; to 1, or whole numbers of machines")
        return cls(weights, is_finite)

    def chance(self, classes: Classes, quorum: QuorumSystem) -> float:
        """The chance of a quorum on an input that divides the profiles so.

        Example:
            >>> halves = FleetShares({"a": 0.5, "b": 0.5}, is_finite=False)
            >>> halves.chance([["a"], ["b"]], QuorumSystem.equal(4))  # 3 or 4 of 4 on one side
            0.625
        """
        drawn = quorum.replicas
        reached = 0.0
        for names in classes:
            weight = sum(self.weights.get(name, 0) for name in names)
            reached += self._at_least(quorum.threshold, weight, drawn)
        return reached

    def refuse_too_few_for(self, quorum: QuorumSystem) -> None:
        """Make sure that so many replicas can be drawn.

        Raises:
            FleetError: there are fewer machines.
        """
        machines = sum(self.weights.values())
        if self.is_finite and machines < quorum.replicas:
            raise FleetError(f"fleet: {machines:g} machines for {quorum.replicas} replicas; at least as many")

    def _at_least(self, count: int, weight: float, drawn: int) -> float:
        """The chance that so many of the drawn replicas are of a class of that weight."""
        from scipy.stats import binom, hypergeom

        if not self.is_finite:
            return float(binom.sf(count - 1, drawn, min(weight, 1.0)))  # a sum of shares may be a rounding above
        return float(hypergeom.sf(count - 1, sum(self.weights.values()), weight, drawn))


def quorum_chance(
    form: str, fleet: FleetShares, by_input: Mapping[tuple[tuple[str, ...], ...], int], quorum: QuorumSystem
) -> QuorumChance:
    """The mean chance over inputs.

    Args:
        form: what is voted on.
        fleet: what replicas are drawn from.
        by_input: how many inputs divided the profiles in which way.
        quorum: of how many replicas.

    Raises:
        FleetError: a finite fleet of fewer machines than replicas, or no input.
    """
    fleet.refuse_too_few_for(quorum)
    return mean_over_inputs(form, [(fleet.chance(classes, quorum), count) for classes, count in by_input.items()])


def mean_over_inputs(
    form: str, chances: Sequence[tuple[float, int]], *, how: How = "exact", runs: int | None = None
) -> QuorumChance:
    """The mean of chances, each with the number of inputs that have it.

    Raises:
        FleetError: there is no input.
    """
    inputs = sum(count for _, count in chances)
    if not inputs:
        raise FleetError("fleet: no input was tried")
    mean = sum(chance * count for chance, count in chances) / inputs
    variance = sum((chance - mean) ** 2 * count for chance, count in chances) / inputs
    # Beside the spread of what was seen: a share of 3 in so many inputs may divide the profiles in a way of its own.
    unseen = min(3 / inputs, 1.0)
    half = 1.96 * sqrt(variance / inputs)
    return QuorumChance(
        form=form,
        mean=mean,
        low=max(mean * (1 - unseen) - half, 0.0),
        high=min(mean + (1 - mean) * unseen + half, 1.0),
        how=how,
        inputs=inputs,
        runs=runs,
    )


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise FleetError(f'fleet: {name}="{text}" is no number; a share such as 0.7, or a number of machines') from None
    if not isfinite(number) or number <= 0:
        raise FleetError(f"fleet: {name}={text} is no share; above 0, and finite")
    return number
