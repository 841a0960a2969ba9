"""What the dial should do to a chain, in closed form: the yardstick that every run is held against.

Each formula is the one of that name in `CLOSED-FORMS`, with the binomial replaced by the exact distribution of weight
where weights differ. All speak of the first attempt at one block of k requests, decided by a quorum of weight q, where
the replicas given execute and nothing but the dial makes their answers differ. q is more than half of their weight, so
that two answers never both have a quorum. Sums are over positive terms, so that small probabilities keep their digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastbit.result import Prediction

if TYPE_CHECKING:
    from lastbit.scenario import Scenario

# Beyond this the binomial coefficients of a block's requests leave the range of a float.
REQUESTS_MAX = 1_000
DISTINCT_WEIGHTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class NoClosedForm:
    """No formula holds here, and the sentence that says why."""

    reason: str


def some_request_marked(rate: float, requests: int) -> float:
    """1 - (1 - r)^k, exact for small r.

    Example:
        >>> some_request_marked(1e-20, 8)
        8e-20
    """
    return 1.0 if rate == 1.0 else -math.expm1(requests * math.log1p(-rate))


def weight_distribution(weights: Sequence[int], probability: float) -> dict[int, float]:
    """The distribution of the weight of those replicas that an independent coin of `probability` picks.

    Raises:
        ValueError: the weights add up in too many ways.

    Example:
        >>> weight_distribution([1, 2], 0.5)
        {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}
    """
    distribution = {0: 1.0}
    for weight in weights:
        extended: dict[int, float] = {}
        for total, chance in distribution.items():
            extended[total] = extended.get(total, 0.0) + chance * (1 - probability)
            extended[total + weight] = extended.get(total + weight, 0.0) + chance * probability
        if len(extended) > DISTINCT_WEIGHTS_MAX:
            raise ValueError(f"these weights add up in more than {DISTINCT_WEIGHTS_MAX:,} ways")
        distribution = extended
    return dict(sorted(distribution.items()))


def per_prompt_distinct(*, weights: Sequence[int], quorum: int, rate: float, requests: int = 1) -> Prediction:
    """Dial per prompt, distinct answers: a marked request gives every replica an answer of its own.

    P(agreement failure) = 1 - (1 - r)^k, unless one replica alone weighs a quorum.

    Example:
        >>> per_prompt_distinct(weights=[1, 1, 1, 1], quorum=3, rate=1e-4)
        Prediction(agreement_failure_probability=0.0001, dissent_probability=0.0)
    """
    marked = some_request_marked(rate, requests)
    if max(weights) >= quorum:
        return _prediction(failure=0.0, dissent=marked if len(weights) > 1 else 0.0)
    return _prediction(failure=marked, dissent=0.0)


def per_prompt_shared(*, weights: Sequence[int], quorum: int, rate: float, requests: int = 1) -> Prediction:
    """Dial per prompt, shared answers: in a marked request a fair coin per replica picks one of two answers.

    With b marked requests each replica falls evenly into one of 2^b patterns:
    P = sum over b of C(k,b) r^b (1-r)^(k-b) [1 - 2^b P(B(n, 2^-b) >= q)].

    Example:
        >>> per_prompt_shared(weights=[1, 1, 1, 1], quorum=3, rate=0.5).agreement_failure_probability
        0.1875
    """
    failures, dissents = [], []
    for marked in range(1, requests + 1):
        chance = math.comb(requests, marked) * rate**marked * (1 - rate) ** (requests - marked)
        pattern = math.ldexp(1.0, -marked)
        decided = math.ldexp(_at_least(quorum, weight_distribution(weights, pattern)), marked)
        unanimous = math.ldexp(1.0, -marked * (len(weights) - 1))
        failures.append(chance * (1 - decided))
        dissents.append(chance * (decided - unanimous))
        if chance * requests < 1e-30 and marked > rate * requests:
            break  # every further term is smaller still
    return _prediction(failure=math.fsum(failures), dissent=math.fsum(dissents))


def per_replica_distinct(*, weights: Sequence[int], quorum: int, rate: float, requests: int = 1) -> Prediction:
    """Dial per replica, distinct answers: a replica is wrong on the block with p = 1 - (1-r)^k, and then stands alone.

    P = P(B(n, p) >= n - q + 1), dissent P(1 <= B(n, p) <= n - q), unless one replica alone weighs a quorum.

    Example:
        >>> prediction = per_replica_distinct(weights=[1, 1, 1, 1], quorum=3, rate=1e-4)
        >>> f"{prediction.agreement_failure_probability:.3e} {prediction.dissent_probability:.3e}"
        '5.999e-08 3.999e-04'
    """
    wrong = weight_distribution(weights, some_request_marked(rate, requests))
    bearable = math.inf if max(weights) >= quorum else sum(weights) - quorum
    return _prediction(
        failure=math.fsum(chance for weight, chance in wrong.items() if weight > bearable),
        dissent=math.fsum(chance for weight, chance in wrong.items() if 0 < weight <= bearable)
        if len(weights) > 1
        else 0.0,
    )


def per_replica_shared(*, weights: Sequence[int], quorum: int, rate: float, requests: int = 1) -> Prediction:
    """Dial per replica, one shared wrong answer per request.

    A replica's block is the set of its m wrong requests, of probability r^m (1-r)^(k-m):
    P = 1 - sum over m of C(k,m) P(B(n, r^m (1-r)^(k-m)) >= q).

    Example:
        >>> prediction = per_replica_shared(weights=[1, 1, 1, 1], quorum=3, rate=1e-4)
        >>> f"{prediction.agreement_failure_probability:.3e}"
        '5.999e-08'
    """
    wrong = weight_distribution(weights, some_request_marked(rate, requests))
    right_without_quorum = math.fsum(chance for weight, chance in wrong.items() if weight > sum(weights) - quorum)
    unanimously_wrong = [
        math.comb(requests, m) * _pattern(rate, requests, m) ** len(weights) for m in range(1, requests + 1)
    ]
    wrongly = wrong_answer_committed(weights=weights, quorum=quorum, rate=rate, requests=requests)
    with_dissent = [chance for weight, chance in wrong.items() if 0 < weight <= sum(weights) - quorum]
    return _prediction(
        failure=right_without_quorum - wrongly,
        dissent=math.fsum([*with_dissent, wrongly, *(-chance for chance in unanimously_wrong)]),
    )


def wrong_answer_committed(*, weights: Sequence[int], quorum: int, rate: float, requests: int = 1) -> float:
    """Dial per replica, one shared wrong answer per request: the chance that a quorum agrees on a wrong block.

    About 4 r^3 at n = 4, q = 3, k = 1.

    Example:
        >>> f"{wrong_answer_committed(weights=[1, 1, 1, 1], quorum=3, rate=1e-4):.4e}"
        '3.9997e-12'
    """
    return math.fsum(
        math.comb(requests, m) * _at_least(quorum, weight_distribution(weights, _pattern(rate, requests, m)))
        for m in range(1, requests + 1)
    )


def k_split_results_max(slices: int) -> int:
    """How many distinct results S partial products, added left to right in any order, can have: S!/2.

    Example:
        >>> [k_split_results_max(slices) for slices in (1, 2, 4)]
        [1, 1, 12]
    """
    return max(1, math.factorial(slices) // 2)


def predict(
    *,
    weights: Sequence[int],
    quorum: int,
    rate: float,
    scope: str = "prompt",
    answers: str = "distinct",
    requests: int = 1,
    silent: Iterable[int] = (),
) -> Prediction | NoClosedForm:
    """The closed form for a dial on replicas of equal profiles; silent ones execute nothing, and the quorum stays.

    Args:
        weights: of all replicas, by id.
        quorum: weight that decides, more than half of all.
        rate: of the dial, for each request or each request and replica.
        scope: "prompt" or "replica".
        answers: "distinct" or "shared".
        requests: in a block.
        silent: ids of the replicas that never vote.

    Example:
        >>> predict(weights=[1] * 4, quorum=3, rate=1e-4, silent=[2, 3])
        NoClosedForm(reason='replicas that vote weigh 2, a quorum 3: too few for any attempt')
    """
    voting = [weight for replica, weight in enumerate(weights) if replica not in set(silent)]
    if sum(voting) < quorum:
        return NoClosedForm(f"replicas that vote weigh {sum(voting)}, a quorum {quorum}: too few for any attempt")
    if requests > REQUESTS_MAX:
        return NoClosedForm(f"blocks of {requests} requests; the formulas are summed for at most {REQUESTS_MAX}")
    form = _FORMS[scope, answers]
    try:
        return form(weights=voting, quorum=quorum, rate=rate, requests=requests)
    except ValueError as error:  # weights that add up in too many ways
        return NoClosedForm(str(error))


def predict_scenario(scenario: Scenario) -> Prediction | NoClosedForm:
    """The closed form for a whole scenario, where one holds.

    Example:
        >>> from lastbit.scenario import load_scenario
        >>> predict_scenario(load_scenario("one-in-ten-thousand"))
        Prediction(agreement_failure_probability=0.0001, dissent_probability=0.0)
    """
    replicas = scenario.replicas()
    voting = [spec for spec in replicas if spec.behaviour != "silent"]
    if any(spec.behaviour.startswith("equivocating") for spec in voting):
        return NoClosedForm("a replica equivocates")
    if scenario.network.has_faults or scenario.crash:
        return NoClosedForm("messages are lost or late, or replicas are away, so not all execute each block")
    if scenario.state is not None:
        return NoClosedForm("state carries over, so blocks are not independent of those before")
    profiles = {spec.profile for spec in voting}
    if len(profiles) > 1:
        return NoClosedForm("replicas of different numeric profiles diverge by themselves, how often only a run shows")
    if any(profile.summation.orders_differ for profile in profiles):
        return NoClosedForm("replicas add in different orders and diverge by themselves, how often only a run shows")
    dial = scenario.divergence
    return predict(
        weights=scenario.chain.voting_weights,
        quorum=scenario.quorum_system().threshold,
        rate=dial.rate if dial else 0.0,
        scope=dial.scope if dial else "prompt",
        answers=dial.answers if dial else "distinct",
        requests=scenario.chain.requests_per_block,
        silent=[spec.id for spec in replicas if spec.behaviour == "silent"],
    )


def _at_least(quorum: int, distribution: Mapping[int, float]) -> float:
    return math.fsum(chance for weight, chance in distribution.items() if weight >= quorum)


def _pattern(rate: float, requests: int, wrong: int) -> float:
    """The probability that a replica is wrong on exactly one given set of `wrong` requests."""
    return float(rate**wrong * (1 - rate) ** (requests - wrong))


def _prediction(*, failure: float, dissent: float) -> Prediction:
    """Rounding may leave a probability of nothing a hair below 0."""
    return Prediction(
        agreement_failure_probability=min(max(failure, 0.0), 1.0), dissent_probability=min(max(dissent, 0.0), 1.0)
    )


_FORMS: dict[tuple[str, str], Callable[..., Prediction]] = {
    ("prompt", "distinct"): per_prompt_distinct,
    ("prompt", "shared"): per_prompt_shared,
    ("replica", "distinct"): per_replica_distinct,
    ("replica", "shared"): per_replica_shared,
}
