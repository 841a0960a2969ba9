"""The ballot of one attempt, as a trace records it.

A trace may come from a stranger: what no run can have said is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from lastbit.recorded import Sha256
from lastbit.result import Answer
from lastbit.scenario.tables import Chain
from simcore.trace_reader import Trace, TraceError, TraceRecord

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class NothingToExplain(ValueError):  # noqa: N818 - it names what was asked for
    """The trace holds no such height or attempt, or nobody executed it."""


class _Line(msgspec.Struct):
    digest: Sha256
    weight: Count
    replicas: tuple[Count, ...]


class _Attempt(msgspec.Struct):
    view: Count
    ballot: tuple[_Line, ...]
    answers: tuple[_Line, ...] = ()

    @property
    def said(self) -> tuple[_Line, ...]:
        """What was answered, apart from a state that carries over from the answers before."""
        return self.answers or self.ballot


class _Height(msgspec.Struct):
    height: Count
    attempts: tuple[_Attempt, ...]


@dataclass(frozen=True, slots=True)
class Ballot:
    """Who said what.

    Attributes:
        attempt: the view or round.
        attempts: all that were executed at the height.
        answers: by falling weight.
        states: where state carries over what the votes name, which the answers led to; by falling weight.
        drifted: those who answered like others and came to another state: theirs had differed before.
    """

    attempt: int
    attempts: tuple[int, ...]
    answers: tuple[Answer, ...]
    states: tuple[Answer, ...] = ()
    drifted: tuple[int, ...] = ()


def ballot_at(trace: Trace, height: int, attempt: int | None, chain: Chain) -> Ballot:
    """Find an attempt: the one that is named, else the first on which not all agreed, else the first.

    Raises:
        NothingToExplain: there is none.
        TraceError: the record says what no run can have said.
    """
    found = _height_at(trace, height, chain)
    views = tuple(each.view for each in found)
    if not found:
        raise NothingToExplain(f"{trace.path}: height {height:,} was executed by no honest replica")
    if attempt is not None and attempt not in views:
        listed = ", ".join(map(str, views))
        raise NothingToExplain(
            f"{trace.path}: height {height:,} has no executed attempt {attempt}; its attempts are {listed}"
        )
    wanted = [each for each in found if each.view == attempt] if attempt is not None else []
    chosen = next(iter([*wanted, *(each for each in found if len(each.said) > 1), *found]))
    if len(chosen.said) == 1 and _drifted(chosen):
        raise NothingToExplain(
            f"{trace.path}: at height {height:,} all answered alike, and their states had differed before; height "
            f"{_first_of_stretch(trace, height):,} is where that began"
        )
    states = _answers(chosen.ballot) if chosen.answers else ()
    return Ballot(chosen.view, views, _answers(chosen.said), states, _drifted(chosen))


def _answers(lines: Sequence[_Line]) -> tuple[Answer, ...]:
    return tuple(Answer(digest=line.digest, weight=line.weight, replicas=line.replicas) for line in lines)


def _drifted(attempt: _Attempt) -> tuple[int, ...]:
    """Of those who answered alike, all but the heaviest that came to one state. Without a state nobody did."""
    drifted: set[int] = set()
    for line in attempt.answers:
        states = [set(state.replicas) & set(line.replicas) for state in attempt.ballot]
        alike = [who for who in states if who]  # by falling weight, as a ballot is
        drifted.update(*alike[1:])
    return tuple(sorted(drifted))


def _height_at(trace: Trace, height: int, chain: Chain) -> Sequence[_Attempt]:
    heights: list[int] = []
    for record in trace.records():
        if record.name != "height":
            continue
        found = _read(trace, record)
        if found.height == height:
            fault = _fault(found, chain)
            if fault is not None:
                raise TraceError(trace.path, record.line, fault)
            return found.attempts
        heights.append(found.height)
    held = f"it holds heights {min(heights):,} to {max(heights):,}" if heights else "it holds none"
    raise NothingToExplain(f"{trace.path}: holds no height {height:,}; {held}")


def _first_of_stretch(trace: Trace, height: int) -> int:
    """The first of the heights in a row, up to this one, after which states differed."""
    began = height
    differed = False
    for record in trace.records():
        if record.name != "height":
            continue
        found = _read(trace, record)
        if found.height >= height:
            break
        differs = any(len(attempt.answers) > 1 or _drifted(attempt) for attempt in found.attempts)
        began = found.height if differs and not differed else began
        differed = differs
    return began if differed else height


def _read(trace: Trace, record: TraceRecord) -> _Height:
    try:
        return msgspec.convert(record.fields, _Height)
    except msgspec.ValidationError as error:
        raise TraceError(trace.path, record.line, f"not the record of a height: {error}") from None


def _fault(found: _Height, chain: Chain) -> str | None:
    """What no run of that chain can have recorded; None where there is nothing of the kind."""
    if found.height > chain.blocks:
        return f"height {found.height}; the chain has {chain.blocks} blocks"
    for attempt in found.attempts:
        if not attempt.ballot:
            return f"attempt {attempt.view} has no ballot"
        if any(len({line.digest for line in lines}) < len(lines) for lines in (attempt.ballot, attempt.answers)):
            return f"attempt {attempt.view} has one answer in two lines of its ballot"
        for line in (*attempt.ballot, *attempt.answers):
            if not line.replicas or max(line.replicas) >= chain.replicas:
                return f"a ballot names replicas {list(line.replicas)[:9]}; there are {chain.replicas}"
    return None
