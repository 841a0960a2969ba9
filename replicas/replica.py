"""A replica's answers: its engine run on the requests of a block, and the digest that it votes for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from replicas.ahead import RunAhead
from replicas.cost import compute_ns
from replicas.dial import Marks
from replicas.engine import Engine, EngineError
from replicas.forms import BytesForm, Form
from replicas.outputs import Outputs, outputs_digest, root_digest
from replicas.profile import NumericProfile
from replicas.store import ResultStore
from replicas.workload import Workload
from replicas.wrong_answers import wrong_answer, wrong_answers_max
from simcore.streams import Streams

Order = npt.NDArray[np.int64]

ALL_BYTES = BytesForm()

ROOM_BYTES = 64 << 20
ANSWER_BYTES = 64 << 10
"""What an answer is taken to need beside its tensors: so a thousand small ones are kept, and a few that are large."""

BLOCKS_KEPT_MAX = 64


class Requests(Protocol):
    """Where the tensors of a request come from: a key that is equal for equal content, and the tensors by name.
    `describe` says it in a line."""

    def tensors(self, request_id: int) -> tuple[Any, Any]: ...
    def describe(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run of the workload gave.

    Attributes:
        outputs: all of them.
        bits: their digest to the last bit.
        vote: their digest in the form that is voted on.
    """

    outputs: Outputs
    bits: bytes
    vote: bytes


class Said(NamedTuple):
    """What one replica says to a request.

    Attributes:
        answer: what the arithmetic gave.
        outputs: the tensors behind its vote: those, or the wrong ones that the dial put there.
        vote: their digest in the form that is voted on.
        is_marked: did the dial mark it?
    """

    answer: Answer
    outputs: Outputs
    vote: bytes
    is_marked: bool


class Run(NamedTuple):
    """What one run of the workload is given.

    Attributes:
        keys: of the requests that are computed together.
        inputs: their tensors.
        place: which of them is to be answered.
        order: of summation; None where it is as built.
    """

    keys: tuple[Hashable, ...]
    inputs: tuple[Mapping[str, npt.NDArray[Any]], ...]
    place: int
    order: Order | None


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """What one replica answers to the requests of a block.

    Attributes:
        digest: the root over the digests of its requests.
        truths: for each request, the digest of all that the arithmetic gave, to the last bit and before the dial.
        votes: for each request, the digest of what would be voted on, before the dial.
        marked: for each request, did the dial mark what this replica says?
        changed: of the marked, how many digests of what is voted on really changed.
        state: where state carries over, the digest of the state that the answer leads to.
    """

    digest: bytes
    truths: tuple[bytes, ...]
    votes: tuple[bytes, ...]
    marked: tuple[bool, ...]
    changed: int
    state: bytes | None = None

    @property
    def named(self) -> bytes:
        """What a vote names: the state, where it carries over, or else the answer."""
        return self.digest if self.state is None else self.state


Identity: TypeAlias = tuple[str, Workload]
"""Of an engine, and how it is used."""

Digests: TypeAlias = tuple[tuple[bytes, ...], tuple[bytes, ...]]
"""Of the requests of a block: to the last bit, and of what is voted on."""


class AnswerStore(ResultStore[Answer]):
    """Answers by engine, input and order of summation, shared by all replicas of a run."""

    def __init__(self) -> None:
        super().__init__(lambda answer: answer.bits, size=_bytes_of, room=ROOM_BYTES)
        self._blocks: dict[Identity, dict[tuple[int, ...], BlockAnswer]] = {}

    def blocks_of(self, replica: Identity) -> dict[tuple[int, ...], BlockAnswer]:
        """The answers of one kind of replica to the blocks under way, by requests."""
        return self._blocks.setdefault(replica, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica's numbers: which engine answers, in which order of summation, and how fast.

    Args:
        id: its position.
        profile: its numeric settings.
        engine: an engine with those settings; replicas of equal profile may share one.
        workload: how a request becomes an output.
        requests: the input set.
        form: what of an output is voted on.
        store: answers already computed.
        ahead: inferences under way before they are asked for, if that pays for this model.
        streams: the run's random streams; orders of summation come from `order.fixed` and `order.drawn`.
        marks: the dial, if there is one.
        operations: of one request.
        operations_per_second: how fast this replica computes.
    """

    id: int
    profile: NumericProfile
    engine: Engine
    workload: Workload
    requests: Requests
    form: Form
    store: AnswerStore
    ahead: RunAhead | None
    streams: Streams
    marks: Marks | None
    operations: int
    operations_per_second: int
    _blocks: dict[tuple[int, ...], BlockAnswer] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_blocks", self.store.blocks_of(self.identity))

    def answer_block(self, requests: tuple[int, ...], attempt: int) -> BlockAnswer:
        """Answer all requests of a block, in this attempt at it."""
        if self.marks is not None and self._is_any_marked(self.marks, requests, attempt):
            return self._speak_block(requests, attempt)
        if self.engine.order_shape is not None:
            return _unmarked(self._digests(requests, attempt))
        answer = self._blocks.get(requests)
        if answer is not None:
            self.store.asked += len(requests)
            return answer
        answer = self._blocks[requests] = _unmarked(self._digests(requests, attempt))
        if len(self._blocks) > BLOCKS_KEPT_MAX:
            del self._blocks[next(iter(self._blocks))]
        return answer

    def begin_block(self, requests: tuple[int, ...], attempt: int) -> None:
        """Run what this replica will be asked next already now, in worker threads. Changes no answer and no count."""
        if self.ahead is None:
            return
        for request in requests:
            key, infer = self._inference(request, attempt)
            if key not in self.store:
                self.ahead.begin(key, infer)

    @property
    def answers_by_attempt(self) -> bool:
        """Does the arithmetic of another attempt differ, for its orders of summation are drawn anew?"""
        return self.engine.order_shape is not None and self.profile.summation.is_drawn

    def _speak_block(self, requests: tuple[int, ...], attempt: int) -> BlockAnswer:
        return block_of([self.speak(request, attempt) for request in requests])

    def _digests(self, requests: tuple[int, ...], attempt: int) -> Digests:
        answers = [self.answer(request, attempt) for request in requests]
        return tuple(answer.bits for answer in answers), tuple(answer.vote for answer in answers)

    def _is_any_marked(self, marks: Marks, requests: tuple[int, ...], attempt: int) -> bool:
        return any(marks.wrong_answer_index(request, self.id, attempt) is not None for request in requests)

    def speak(self, request: int, attempt: int) -> Said:
        """Answer one request. Outputs that cannot hold the wrong answer that the dial wants stay as they are."""
        answer = self.answer(request, attempt)
        wrong = None if self.marks is None else self.marks.wrong_answer_index(request, self.id, attempt)
        if wrong is None or wrong >= wrong_answers_max(answer.outputs, self.form):
            return Said(answer, answer.outputs, answer.vote, wrong is not None)
        outputs = wrong_answer(answer.outputs, wrong, self.form)
        return Said(answer, outputs, self.form.digest(outputs), is_marked=True)

    def answer(self, request: int, attempt: int) -> Answer:
        """What the arithmetic gives for one request, really run unless the store holds it."""
        key, infer = self._inference(request, attempt)

        def compute() -> Answer:
            try:
                ahead = None if self.ahead is None else self.ahead.take(key)
                outputs = infer() if ahead is None else ahead
            except EngineError as error:
                raise EngineError(f"request {request:,} of {self.requests.describe()}: {error}") from error
            bits = outputs_digest(outputs)
            return Answer(outputs, bits, bits if self.form == ALL_BYTES else self.form.digest(outputs))

        return self.store.answer(key, compute, subject=self.engine)

    def _inference(self, request: int, attempt: int) -> tuple[Hashable, Callable[[], Outputs]]:
        """What determines the outputs of a request, and how to compute them."""
        run = self.run_of(request, attempt)
        order_digest = None if run.order is None else sha256(run.order.tobytes()).digest()  # it may be as long as K
        return (self.identity, run.keys, run.place, order_digest), partial(self.compute, run)

    def run_of(self, request: int, attempt: int) -> Run:
        """What the workload is given for a request."""
        together = self.workload.together(request)
        keys, inputs = zip(*map(self.requests.tensors, together), strict=True)
        return Run(keys, inputs, together.index(request), self.order(request, attempt))

    def run_batch(self, run: Run) -> Outputs:
        """What the engine gives for all that is computed together, run now.

        Raises:
            EngineError: the runtime refuses it.
        """
        return self.engine.run(self.workload.feeds(run.inputs, run.place, subject=self.engine), run.order)

    def own(self, outputs: Outputs, run: Run) -> Outputs:
        """The part of what the engine gave that answers the request.

        Raises:
            EngineError: there is no such part.
        """
        return self.workload.own(outputs, run.inputs, run.place, subject=self.engine)

    def compute(self, run: Run) -> Outputs:
        """The answer of a run, computed now.

        Raises:
            EngineError: the runtime refuses it.
        """
        return self.own(self.run_batch(run), run)

    @property
    def identity(self) -> Identity:
        """Equal for replicas that give equal bits for equal requests and order."""
        return self.engine.identity, self.workload

    def run_apart(self, request: int, attempt: int = 0) -> Outputs:
        """What the arithmetic gives when it is run now: nothing is looked up, stored or counted.

        Raises:
            EngineError: the runtime refuses the request.
        """
        return self.compute(self.run_of(request, attempt))

    def said(self, request: int, attempt: int) -> Outputs:
        """The tensors behind this replica's vote: what it computed, or the wrong answer that the dial put there."""
        return self.speak(request, attempt).outputs

    def compute_ns(self, requests: int) -> int:
        """Simulated time to answer that many requests, one after another."""
        return compute_ns(self.operations * requests, self.operations_per_second) if requests else 0

    def order(self, request: int, attempt: int) -> Order | None:
        """The order of summation of one run; None where it is as built."""
        shape = self.engine.order_shape
        if shape is None:
            return None
        if self.profile.summation.is_drawn:
            return _drawn_order(self.streams, shape, "order.drawn", request, attempt, self.id)
        return _drawn_order(self.streams, shape, "order.fixed", self.id)


def block_of(said: Sequence[Said]) -> BlockAnswer:
    """The answer to a block whose requests were answered one by one."""
    return BlockAnswer(
        digest=root_digest([each.vote for each in said]),
        truths=tuple(each.answer.bits for each in said),
        votes=tuple(each.answer.vote for each in said),
        marked=tuple(each.is_marked for each in said),
        changed=sum(each.vote != each.answer.vote for each in said),
    )


def _drawn_order(streams: Streams, shape: tuple[int, int], name: str, *indices: int) -> Order:
    """A permutation of the columns for each rewritten node, drawn apart: no device has one order for a whole graph."""
    rows, columns = shape
    in_order = np.broadcast_to(np.arange(columns, dtype=np.int64), (rows, columns))
    return streams.generator(name, *indices).permuted(in_order, axis=1)


def _bytes_of(answer: Answer) -> int:
    return ANSWER_BYTES + sum(getattr(value, "nbytes", 0) for _, value in answer.outputs.items())


@lru_cache(maxsize=1024)
def _unmarked(digests: Digests) -> BlockAnswer:
    truths, votes = digests
    return BlockAnswer(root_digest(votes), truths, votes, (False,) * len(votes), 0)
