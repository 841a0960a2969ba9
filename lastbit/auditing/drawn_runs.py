"""What profiles say that draw an order of summation: on one input many things, each with some chance.

Of a fleet each replica draws its own, for all of its life or anew on each run. Where there are few orders each is run
once, and the chances are exact. Where there are many, a profile is run some times, as so many replicas would run it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import factorial
from typing import TypeAlias

import numpy as np

from lastbit.auditing.measuring import Measuring
from lastbit.auditing.pairs import Answered
from lastbit.auditing.quorum_chance import FleetError, FleetShares
from replicas.forms import Top1Form
from replicas.outputs import Outputs, outputs_digest
from replicas.replica import Order, Replica

ORDERS_MAX = 128
"""A profile of no more orders is run in each of them."""

RUNS_MIN = 16
REPLICAS_MAX = 64
"""A sample holds a run for each replica, on each input."""

INPUTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Voices:
    """How many runs of a profile gave which digest, on one input.

    Attributes:
        counts: of runs, by digest.
        runs: how many there were.
        is_sample: orders were drawn for them; False where each order was run once, so that shares are chances.
    """

    counts: Mapping[Hashable, int]
    runs: int
    is_sample: bool


ByProfile: TypeAlias = Mapping[str, Voices]


class DrawnRuns:
    """Runs the drawn profiles of a fleet on the first inputs of an audit.

    Args:
        fleet: the names of its profiles.
        drawn: those of them of which each replica draws an order of its own.
        replicas: how many a fleet of them is asked for: a sample holds at least as many runs.

    Attributes:
        by_input: for each form, what every profile of the fleet said, input by input.
        are_samples: some profile has too many orders to run them all.
        runs: the most that any profile was run on an input.
    """

    def __init__(self, fleet: tuple[str, ...], drawn: tuple[str, ...], replicas: int) -> None:
        self._fleet = fleet
        self._drawn = drawn
        self._sample = max(RUNS_MIN, replicas)
        self.by_input: dict[str, list[ByProfile]] = {}
        self.are_samples = False
        self.runs = 0

    @classmethod
    def of_fleet(cls, fleet: FleetShares, drawn: tuple[str, ...], replicas: int) -> DrawnRuns | None:
        """What a fleet needs beside the audit itself; None where none of its profiles is drawn.

        Raises:
            FleetError: it has such a profile, and more replicas are asked for than can be told.
        """
        names = tuple(name for name in fleet.weights if name in drawn)
        if names and replicas > REPLICAS_MAX:
            raise FleetError(
                f"fleet: {replicas:,} replicas are too many with profiles that draw an order of their own "
                f"({', '.join(names)}), which run once for each on every input; up to {REPLICAS_MAX}"
            )
        return cls(tuple(fleet.weights), names, replicas) if names else None

    def take(self, request: int, answers: Mapping[str, Answered], measuring: Measuring) -> None:
        """Run one more input, to which every profile gave an answer already. After `INPUTS_MAX` nothing is run."""
        if len(self.by_input.get("bytes", ())) == INPUTS_MAX:
            return
        said: dict[str, dict[str, Voices]] = {form: {} for form in measuring.divisions}
        for name in self._fleet:
            if name not in answers:  # refused: nothing will be told of the fleet
                continue
            answer = answers[name]
            by_form: dict[str, Voices] = {
                form: Voices({digest: 1}, 1, is_sample=False)
                for form, digest in (("bytes", answer.bits), ("top1", answer.top1))
            }
            if name in self._drawn:
                by_form = self._voices(measuring.replica(name), request, measuring.score)
            for form, voices in said.items():
                voices[name] = by_form[form]
        for form, by_profile in said.items():
            self.by_input.setdefault(form, []).append(by_profile)

    def _voices(self, replica: Replica, request: int, score: Top1Form | None) -> dict[str, Voices]:
        orders = all_orders(replica)
        is_sample = orders is None
        outputs = list(self._drawn_anew(replica, request) if orders is None else _in_orders(replica, request, orders))
        self.are_samples |= is_sample
        self.runs = max(self.runs, len(outputs))
        found = {"bytes": Voices(Counter(map(outputs_digest, outputs)), len(outputs), is_sample)}
        if score is not None:
            found["top1"] = Voices(Counter(map(score.digest, outputs)), len(outputs), is_sample)
        return found

    def _drawn_anew(self, replica: Replica, request: int) -> Iterator[Outputs]:
        if replica.profile.summation.is_drawn:
            return (replica.run_apart(request, attempt) for attempt in range(self._sample))
        return (replace(replica, id=number).run_apart(request) for number in range(self._sample))


def all_orders(replica: Replica) -> list[Order] | None:
    """Every order in which a replica may sum; None where there are more than `ORDERS_MAX`."""
    assert replica.engine.order_shape is not None, "a drawn order has a shape"
    rows, columns = replica.engine.order_shape
    if factorial(min(columns, ORDERS_MAX)) ** min(rows, ORDERS_MAX) > ORDERS_MAX:
        return None
    each_row = list(permutations(range(columns)))
    return [np.array(order, dtype=np.int64) for order in product(each_row, repeat=rows)]


def _in_orders(replica: Replica, request: int, orders: list[Order]) -> Iterator[Outputs]:
    run = replica.run_of(request, attempt=0)
    return (replica.compute(run._replace(order=order)) for order in orders)
