from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import pytest

from consensus.quorum import QuorumSystem
from lastbit.auditing.quorum_chance import FleetError, FleetShares, quorum_chance

CLASSES = (("a", "b"), ("c",), ("d",))


def agrees(drawn: tuple[str, ...], threshold: int) -> bool:
    return any(sum(name in names for name in drawn) >= threshold for names in CLASSES)


@pytest.mark.parametrize("replicas", [1, 4, 5])
def test_with_shares_the_chance_is_that_of_all_draws_with_replacement(replicas: int) -> None:
    shares = {"a": Fraction(1, 2), "b": Fraction(1, 8), "c": Fraction(1, 4), "d": Fraction(1, 8)}
    quorum = QuorumSystem.equal(replicas)
    expected = Fraction(0)
    for drawn in product(shares, repeat=replicas):
        chance = Fraction(1)
        for name in drawn:
            chance *= shares[name]
        expected += chance * agrees(drawn, quorum.threshold)

    fleet = FleetShares({name: float(share) for name, share in shares.items()}, is_finite=False)

    assert fleet.chance(CLASSES, quorum) == pytest.approx(float(expected), rel=1e-12)


def test_with_machines_the_chance_is_that_of_all_draws_without_replacement() -> None:
    machines = ["a"] * 3 + ["b"] * 2 + ["c"] * 3 + ["d"]
    quorum = QuorumSystem.equal(4)
    draws = list(combinations(machines, 4))
    expected = sum(agrees(drawn, quorum.threshold) for drawn in draws) / len(draws)

    fleet = FleetShares.from_text("a=3, b=2, c=3, d=1", "abcd")

    assert fleet.chance(CLASSES, quorum) == pytest.approx(expected, rel=1e-12)


def test_the_mean_is_over_inputs_and_not_over_classes_of_all_inputs() -> None:
    fleet = FleetShares.from_text("a=0.5,c=0.5", "abcd")
    together, apart = (("a", "c"),), (("a",), ("c",))
    found = quorum_chance("bytes", fleet, {together: 300, apart: 100}, QuorumSystem.equal(4))
    assert found.mean == pytest.approx((300 * 1 + 100 * 0.625) / 400)
    assert found.low < found.mean < found.high < 1


def test_what_no_input_showed_is_not_excluded() -> None:
    fleet = FleetShares.from_text("a=1,c=4", "abcd")
    found = quorum_chance("bytes", fleet, {(("a", "c"),): 300}, QuorumSystem.equal(4))
    assert (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", 'fleet: "a" is no NAME=SHARE'),
        ("x=1", 'fleet: no profile "x" was tried; known: a, b, c, d'),
        ("a=0.5,a=0.5", 'fleet: "a" stands there twice'),
        ("a=much", 'fleet: a="much" is no number'),
        ("a=-1,b=2", "fleet: a=-1 is no share; above 0"),
        ("a=nan", "fleet: a=nan is no share; above 0"),
        ("a=0.5,b=0.6", "fleet: the shares add up to 1.1; to 1"),
        ("", 'fleet: "" is no NAME=SHARE'),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(text: str, problem: str) -> None:
    with pytest.raises(FleetError) as caught:
        FleetShares.from_text(text, "abcd")
    assert problem in str(caught.value)


def test_more_replicas_than_machines_are_refused() -> None:
    fleet = FleetShares.from_text("a=2,b=1", "abcd")
    with pytest.raises(FleetError, match="3 machines for 4 replicas; at least as many"):
        quorum_chance("bytes", fleet, {CLASSES: 1}, QuorumSystem.equal(4))
