"""The chance of a quorum where profiles say many things, against every ballot that can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations, product
from math import prod

import numpy as np
import pytest

from consensus.quorum import QuorumSystem
from lastbit.auditing.drawn_chance import ChanceByInput
from lastbit.auditing.drawn_runs import REPLICAS_MAX, DrawnRuns, Voices
from lastbit.auditing.quorum_chance import FleetError, FleetShares

Chances = Mapping[str, Mapping[str, Fraction]]

SAYS: Chances = {
    "fixed": {"a": Fraction(1)},
    "other": {"b": Fraction(1)},
    "coin": {"a": Fraction(1, 2), "c": Fraction(1, 2)},
    "die": {"a": Fraction(1, 6), "b": Fraction(2, 6), "d": Fraction(3, 6)},
}
SHARES = {"fixed": Fraction(1, 4), "other": Fraction(1, 8), "coin": Fraction(1, 8), "die": Fraction(1, 2)}
MACHINES = {"fixed": 2, "other": 1, "coin": 2, "die": 3}


def known(chances: Mapping[str, Fraction]) -> Voices:
    runs = np.lcm.reduce([chance.denominator for chance in chances.values()])
    return Voices({digest: int(chance * runs) for digest, chance in chances.items()}, int(runs), is_sample=False)


def sampled(said: tuple[str, ...]) -> Voices:
    return Voices(Counter(said), len(said), is_sample=True)


def chance_that_enough_agree(drawn: tuple[str, ...], threshold: int) -> Fraction:
    """Over everything that these replicas may say."""
    total = Fraction(0)
    for said in product(*(SAYS[name] for name in drawn)):
        if max(Counter(said).values()) >= threshold:
            total += prod((SAYS[name][digest] for name, digest in zip(drawn, said, strict=True)), start=Fraction(1))
    return total


def with_replacement(replicas: int) -> Iterator[tuple[tuple[str, ...], Fraction]]:
    for drawn in product(SHARES, repeat=replicas):
        yield drawn, prod((SHARES[name] for name in drawn), start=Fraction(1))


def without_replacement(replicas: int) -> Iterator[tuple[tuple[str, ...], Fraction]]:
    machines = [name for name, count in MACHINES.items() for _ in range(count)]
    draws = list(combinations(machines, replicas))
    yield from ((drawn, Fraction(1, len(draws))) for drawn in draws)


@pytest.mark.parametrize("replicas", [1, 3, 4])
def test_with_known_chances_it_is_that_of_all_ballots(replicas: int) -> None:
    quorum = QuorumSystem.equal(replicas)
    says = {name: known(chances) for name, chances in SAYS.items()}
    for draws, fleet in (
        (with_replacement(replicas), FleetShares({name: float(each) for name, each in SHARES.items()}, False)),
        (without_replacement(replicas), FleetShares(MACHINES, is_finite=True)),
    ):
        expected = sum(chance * chance_that_enough_agree(drawn, quorum.threshold) for drawn, chance in draws)
        assert ChanceByInput(fleet, quorum).on(says) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("is_finite", [False, True])
def test_an_estimate_is_right_on_average_over_all_samples_of_no_more_runs_than_replicas(is_finite: bool) -> None:
    quorum = QuorumSystem.equal(3)
    fleet = FleetShares(MACHINES if is_finite else {name: float(each) for name, each in SHARES.items()}, is_finite)
    chance = ChanceByInput(fleet, quorum)
    says = {name: known(chances) for name, chances in SAYS.items()}
    mean = 0.0
    for coins in product(SAYS["coin"], repeat=3):
        for dice in product(SAYS["die"], repeat=3):
            how_often = prod(SAYS["coin"][each] for each in coins) * prod(SAYS["die"][each] for each in dice)
            mean += float(how_often) * chance.on({**says, "coin": sampled(coins), "die": sampled(dice)})
    assert mean == pytest.approx(chance.on(says), rel=1e-12)


def test_replicas_whose_runs_were_all_different_are_not_said_to_agree_by_chance() -> None:
    fleet = FleetShares({"drawn": 1.0}, is_finite=False)
    runs = Voices(dict.fromkeys(range(16), 1), 16, is_sample=True)
    assert ChanceByInput(fleet, QuorumSystem.equal(4)).on({"drawn": runs}) == 0


def test_a_fleet_of_a_million_machines_is_that_of_their_shares() -> None:
    says = {name: known(chances) for name, chances in SAYS.items()}
    quorum = QuorumSystem.equal(REPLICAS_MAX)
    many = FleetShares({name: float(share * 10**9) for name, share in SHARES.items()}, is_finite=True)
    endless = FleetShares({name: float(share) for name, share in SHARES.items()}, is_finite=False)
    assert ChanceByInput(many, quorum).on(says) == pytest.approx(ChanceByInput(endless, quorum).on(says), rel=1e-4)


def test_only_a_fleet_with_drawn_profiles_has_a_most_of_replicas() -> None:
    fleet = FleetShares.from_text("ref=0.5,drawn=0.5", ["ref", "drawn"])
    assert DrawnRuns.of_fleet(fleet, (), replicas=10_000) is None
    assert DrawnRuns.of_fleet(fleet, ("drawn", "elsewhere"), replicas=REPLICAS_MAX) is not None
    with pytest.raises(FleetError, match=r"10,000 replicas are too many .* \(drawn\).*; up to 64"):
        DrawnRuns.of_fleet(fleet, ("drawn", "elsewhere"), replicas=10_000)
