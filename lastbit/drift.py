"""Drift: how long a chain lasts whose replicas stay wrong once they were, in closed form.

Where state carries over and nobody takes the state of others over, a replica that is wrong on one block differs for
ever. The chain stops at the first block at which the replicas that have drifted weigh more than W - q: see "Drift
without resync" in `CLOSED-FORMS`. Each replica is wrong on a block by itself, with an answer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lastbit.closed_forms import NoClosedForm, some_request_marked, weight_distribution
from lastbit.result import DriftPrediction

if TYPE_CHECKING:
    from lastbit.scenario import Scenario

REPLICAS_MAX = 200
"""Beyond this the expectation is not worked out: its integrand is a polynomial of as many degrees."""


def still_going(*, weights: Sequence[int], quorum: int, wrong: float, blocks: int) -> float:
    """P(X > t): no more than W - q have drifted within so many blocks.

    Args:
        weights: of those who vote.
        quorum: weight that decides.
        wrong: probability that a replica is wrong on a block.
        blocks: t.

    Example:
        >>> round(still_going(weights=[1] * 4, quorum=3, wrong=0.1, blocks=1), 4)
        0.9477
    """
    drifted = some_request_marked(wrong, blocks)
    bearable = sum(weights) - quorum
    return math.fsum(chance for weight, chance in weight_distribution(weights, drifted).items() if weight <= bearable)


def blocks_until_stop(*, weights: Sequence[int], quorum: int, wrong: float) -> float:
    """E[X], the expected number of the first block that no quorum answers alike.

    The sum of P(X > t) over all t, as an integral over the probability u of having drifted, and half a block for the
    first term (Euler and Maclaurin). For equal weights that is (1/p) times the sum of 1/(n - j) over j = 0..n - q.

    Example:
        >>> [round(blocks_until_stop(weights=[1] * n, quorum=q, wrong=1e-4), 1) for n, q in ((4, 3), (7, 5), (6, 4))]
        [5833.5, 5095.5, 6166.9]
    """
    # P(weight drifted <= W - q) / (1 - u) is a polynomial of degree n - 1: so many points integrate it exactly.
    points, shares = np.polynomial.legendre.leggauss(len(weights) // 2 + 1)
    bearable = sum(weights) - quorum
    total = 0.0
    for point, share in zip(points.tolist(), shares.tolist(), strict=True):
        u = (point + 1) / 2
        bears = math.fsum(chance for weight, chance in weight_distribution(weights, u).items() if weight <= bearable)
        total += share / 2 * bears / (1 - u)
    return total / -math.log1p(-wrong) + 0.5


def predict_drift(scenario: Scenario) -> DriftPrediction | NoClosedForm:
    """The waiting time of a whole scenario, where the formula holds."""
    dial, chain = scenario.divergence, scenario.chain
    if scenario.state is None or chain.outvoted == "resync":
        return NoClosedForm("no state carries over, or whoever drifts takes the state of others over")
    if dial is None or (dial.scope, dial.answers, dial.duration) != ("replica", "distinct", "persistent"):
        return NoClosedForm("the formula is that of a persistent dial per replica with distinct answers")
    if not 0 < dial.rate < 1:
        return NoClosedForm("the dial marks nothing, or everything")
    specs = scenario.replicas()
    if any(spec.behaviour.startswith("equivocating") for spec in specs):
        return NoClosedForm("a replica equivocates")
    voting = [spec for spec in specs if spec.behaviour != "silent"]
    if len({spec.profile for spec in voting}) > 1 or any(spec.profile.summation.orders_differ for spec in voting):
        return NoClosedForm("replicas diverge by their arithmetic, how often only a run shows")
    weights, quorum = [spec.weight for spec in voting], scenario.quorum_system().threshold
    if sum(weights) < quorum or len(weights) > REPLICAS_MAX:
        return NoClosedForm(f"too few vote, or more than {REPLICAS_MAX}")
    wrong = some_request_marked(dial.rate, chain.requests_per_block)
    return DriftPrediction(
        expected_blocks=blocks_until_stop(weights=weights, quorum=quorum, wrong=wrong),
        chance_to_finish=still_going(weights=weights, quorum=quorum, wrong=wrong, blocks=chain.blocks),
    )
