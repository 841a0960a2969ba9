"""What a trace says of a height: its attempts, with their ballots, what was decided, and who dissents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from consensus.protocol import Block, Decide
from consensus.quorum import QuorumSystem
from lastbit.attempts import Attempt, Line, Verdict


def attempt_records(
    attempts: Mapping[int, Attempt], verdicts: Iterable[Verdict], quorum: QuorumSystem
) -> list[dict[str, Any]]:
    """The attempts that are judged: who voted for what, and where states are voted on, who answered what.

    Args:
        attempts: those at the height, by view.
        verdicts: on some of them.
        quorum: who weighs what.
    """
    return [_attempt_record(attempts[verdict.view], verdict, quorum) for verdict in verdicts]


def decision_record(decide: Decide, output: bytes | None) -> dict[str, Any]:
    """What was decided, and the output that holds; None where none is certified."""
    shown = None if output is None else output.hex()
    decision = {"block": decide.block.digest.hex(), "output": shown, "view": decide.view}
    return {"requests": list(decide.block.requests), "decided": decision}


def dissenters(attempts: Mapping[int, Attempt], block: Block, output: bytes) -> list[int]:
    """The honest replicas whose own last answer to the decided block is not the output that holds."""
    last: dict[int, bytes] = {}
    for _, attempt in sorted(attempts.items()):
        for executed, answer, replicas in attempt.groups:
            if executed == block:
                last.update(dict.fromkeys(replicas, answer.named))
    return sorted(replica for replica, digest in last.items() if digest != output)


def _attempt_record(attempt: Attempt, verdict: Verdict, quorum: QuorumSystem) -> dict[str, Any]:
    record = {"view": verdict.view, "ballot": [_plain(line) for line in verdict.ballot]}
    if any(group.answer.state is not None for group in attempt.groups):
        record["answers"] = [_plain(line) for line in attempt.answers(verdict.block, quorum)]
    return record


def _plain(line: Line) -> dict[str, Any]:
    return {"digest": line.digest.hex(), "weight": line.weight, "replicas": list(line.replicas)}
