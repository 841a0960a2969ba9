"""What observers are told in unit tests: answers, attempts and decisions in a few words."""

from __future__ import annotations

from hashlib import sha256

from consensus.protocol import Block, Decide
from lastbit.attempts import Attempt
from replicas.replica import BlockAnswer


def digest(name: str) -> bytes:
    """A digest by a readable name."""
    return sha256(name.encode()).digest()


def answer(said: str, *, truths: tuple[str, ...] | None = None, marked: tuple[bool, ...] | None = None) -> BlockAnswer:
    """An answer to a block of one request, or of as many as `truths` names."""
    held = (said,) if truths is None else truths
    marks = (False,) * len(held) if marked is None else marked
    digests = tuple(map(digest, held))
    return BlockAnswer(digest(said), digests, digests, marks, sum(marks))


def attempt(answers: dict[int, str], *, block: Block, view: int = 0) -> Attempt:
    """An attempt in which each replica executed `block` and said what is named."""
    tried = Attempt(view)
    for replica, said in answers.items():
        tried.add(replica, block, answer(said), done_ns=0)
    return tried


def decide(
    height: int, output: str = "a", *, voters: tuple[int, ...] = (0, 1, 2), requests: tuple[int, ...] | None = None
) -> Decide:
    """A decision on the block of a height, which holds one request."""
    block = Block(height, (height - 1,) if requests is None else requests)
    return Decide(block, digest(output), 0, voters, digest(f"state after {height} with {output}"))
