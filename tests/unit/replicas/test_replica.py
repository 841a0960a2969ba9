from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from replicas.dial import Dial, Marks
from replicas.forms import BytesForm
from replicas.outputs import Outputs, root_digest
from replicas.profile import KPermute, KSplit, NumericProfile
from replicas.replica import BLOCKS_KEPT_MAX, AnswerStore, Replica
from replicas.workload import SingleRun
from simcore.streams import Streams

Array = npt.NDArray[Any]


@dataclass
class Adder:
    """An engine that adds 1, and keeps the orders it was asked to add in."""

    order_shape: tuple[int, int] | None = None
    identity: str = "adder"
    orders: list[Array | None] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array], order: Array | None = None) -> Outputs:
        self.orders.append(order)
        return Outputs.of({"y": inputs["x"] + np.float32(1)})


class Numbers:
    """Request i holds the number i, or i modulo `period`."""

    def __init__(self, period: int = 10**9) -> None:
        self.period = period

    def tensors(self, request_id: int) -> tuple[int, dict[str, Array]]:
        number = request_id % self.period
        return number, {"x": np.float32([number])}


def replica(replica_id: int = 0, **changed: Any) -> Replica:
    made: dict[str, Any] = {
        "profile": NumericProfile(),
        "engine": Adder(),
        "workload": SingleRun(),
        "requests": Numbers(),
        "form": BytesForm(),
        "store": AnswerStore(),
        "ahead": None,
        "streams": Streams(1),
        "marks": None,
        "operations": 1_000,
        "operations_per_second": 1_000_000,
    }
    return Replica(id=replica_id, **(made | changed))


def marks(seed: int = 1, **dial: Any) -> Marks:
    return Marks(Dial(**dial), Streams(seed), replicas=4)


def drawn(order: str = "drawn") -> NumericProfile:
    return NumericProfile(summation=KSplit(slices=8, partials="fp32", order=order))


def test_the_digest_of_a_block_is_the_root_over_those_of_its_requests() -> None:
    one = replica()
    answered = one.answer_block((3, 4), attempt=0)

    assert answered.truths == tuple(BytesForm().digest(Outputs.of({"y": np.float32([n])})) for n in (4, 5))
    assert answered.digest == root_digest(answered.truths)
    assert (answered.marked, answered.changed) == ((False, False), 0)


def test_equal_replicas_share_one_run() -> None:
    store, engine = AnswerStore(), Adder()
    answers = [replica(each, store=store, engine=engine).answer_block((1, 2), attempt=0) for each in range(4)]

    assert len({answer.digest for answer in answers}) == 1
    assert (store.asked, store.run) == (8, 2)


def test_answers_to_whole_blocks_are_kept_for_those_under_way_alone() -> None:
    one = replica()
    for height in range(2 * BLOCKS_KEPT_MAX):
        one.answer_block((height,), attempt=0)

    assert set(one.store.blocks_of(one.identity)) == {(each,) for each in range(BLOCKS_KEPT_MAX, 2 * BLOCKS_KEPT_MAX)}


def test_requests_of_equal_content_run_once() -> None:
    one = replica(requests=Numbers(period=3))
    one.answer_block(tuple(range(9)), attempt=0)

    assert (one.store.asked, one.store.run) == (9, 3)


def test_replicas_whose_engines_differ_share_nothing() -> None:
    store = AnswerStore()
    for each, identity in enumerate(("one", "two")):
        replica(each, store=store, engine=Adder(identity=identity)).answer_block((1,), attempt=0)

    assert store.run == 2


def test_a_marked_replica_says_something_else_and_keeps_the_truth_apart() -> None:
    truth = replica().answer_block((5,), attempt=0)
    lie = replica(marks=marks(rate=1.0)).answer_block((5,), attempt=0)

    assert lie.truths == truth.truths
    assert lie.digest != truth.digest
    assert (lie.marked, lie.changed) == ((True,), 1)


def test_distinct_marks_give_every_replica_an_answer_of_its_own_and_shared_ones_a_common_one() -> None:
    distinct = {replica(each, marks=marks(rate=1.0)).answer_block((5,), 0).digest for each in range(4)}
    shared = {
        replica(each, marks=marks(rate=1.0, scope="replica", answers="shared")).answer_block((5,), 0).digest
        for each in range(4)
    }

    assert len(distinct) == 4
    assert len(shared) == 1


def test_a_lie_asks_for_no_inference_of_its_own() -> None:
    one = replica(marks=marks(rate=1.0))
    one.answer_block((5, 6), attempt=0)

    assert (one.store.asked, one.store.run) == (2, 2)


def test_the_tensors_behind_a_vote_are_those_that_were_hashed() -> None:
    one = replica(2, marks=marks(rate=0.5))
    for request in range(20):
        answered = one.answer_block((request,), attempt=0)
        assert root_digest([BytesForm().digest(one.said(request, 0))]) == answered.digest


def test_a_persistent_mark_comes_again_and_a_transient_one_is_drawn_anew() -> None:
    persistent = replica(marks=marks(rate=0.5))
    transient = replica(marks=marks(rate=0.5, duration="transient"))
    requests = tuple(range(64))

    assert persistent.answer_block(requests, 0) == persistent.answer_block(requests, 7)
    assert transient.answer_block(requests, 0).marked != transient.answer_block(requests, 7).marked


def test_an_engine_without_products_to_split_is_given_no_order() -> None:
    engine = Adder()
    replica(engine=engine).answer(1, 0)

    assert engine.orders[0] is None


def test_each_rewritten_node_adds_in_an_order_of_its_own() -> None:
    engine = Adder(order_shape=(64, 8))
    replica(engine=engine, profile=drawn()).answer(1, 0)

    (order, *_) = engine.orders
    assert order is not None
    assert order.shape == (64, 8)
    assert (np.sort(order, axis=1) == np.arange(8)).all()
    assert len({row.tobytes() for row in order}) > 32


def orders_of(profile: NumericProfile, asked: list[tuple[int, int, int]]) -> int:
    """How many different orders come of (replica, request, attempt)."""
    seen = set()
    for each, request, attempt in asked:
        engine = Adder(order_shape=(4, 8))
        replica(each, engine=engine, profile=profile).answer(request, attempt)
        assert engine.orders[0] is not None
        seen.add(engine.orders[0].tobytes())
    return len(seen)


def test_a_drawn_order_is_new_for_every_replica_request_and_attempt() -> None:
    asked = [(each, request, attempt) for each in range(3) for request in range(3) for attempt in range(3)]

    assert orders_of(drawn(), asked) == 27
    assert orders_of(drawn(), [(1, 2, 0), (1, 2, 0)]) == 1


def test_a_fixed_order_belongs_to_the_replica_alone() -> None:
    asked = [(each, request, attempt) for each in range(3) for request in range(3) for attempt in range(3)]

    assert orders_of(drawn("fixed"), asked) == 3


def test_a_permutation_of_k_is_fixed_or_drawn_as_an_order_of_slices_is() -> None:
    asked = [(each, request, attempt) for each in range(3) for request in range(3) for attempt in range(3)]

    assert orders_of(NumericProfile(summation=KPermute(order="drawn")), asked) == 27
    assert orders_of(NumericProfile(summation=KPermute(order="fixed")), asked) == 3


def test_a_trial_is_neither_stored_nor_counted() -> None:
    one = replica()
    one.run_apart(0)

    assert (one.store.asked, one.store.run) == (0, 0)


def test_time_to_answer_is_operations_over_speed_and_an_empty_block_takes_none() -> None:
    one = replica()

    assert one.compute_ns(1) == 1_000_000
    assert one.compute_ns(3) == 3_000_000
    assert one.compute_ns(0) == 0


def test_an_empty_block_has_an_answer_too() -> None:
    assert replica().answer_block((), attempt=0) == replica(1, marks=marks(rate=1.0)).answer_block((), attempt=3)
