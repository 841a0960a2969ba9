"""Replicas whose answers a test writes itself, for what is done with answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.observing import answer

from consensus.protocol import Block, Decide
from lastbit.carried_state import CarriedState, StateArchive
from replicas.replica import BlockAnswer

COMPUTE_NS = 5
"""Of each request."""


@dataclass
class Answering:
    """Answers every block by its requests; `otherwise` are views in which it answers something else."""

    id: int = 0
    otherwise: frozenset[int] = frozenset()
    answers_by_attempt: bool = False
    ahead: object = True  # it can be told what comes next
    begun: list[tuple[int, ...]] = field(default_factory=list)

    def answer_block(self, requests: tuple[int, ...], attempt: int) -> BlockAnswer:
        said = f"wrong {requests}" if attempt in self.otherwise else str(requests)
        return answer(said)

    def begin_block(self, requests: tuple[int, ...], attempt: int) -> None:
        self.begun.append(requests)

    def compute_ns(self, requests: int) -> int:
        return requests * COMPUTE_NS


def carried(archive: StateArchive | None = None, *, otherwise: set[int] | None = None) -> CarriedState:
    replica = Answering(otherwise=frozenset(otherwise or ()))
    return CarriedState(replica, archive or StateArchive(), None)  # type: ignore[arg-type]


def block(height: int) -> Block:
    return Block(height, (height - 1,))


def decision(of: Block, output: bytes = b"", view: int = 0) -> Decide:
    return Decide(of, output, view, (0, 1, 2), b"state")
