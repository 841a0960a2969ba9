"""Where it began: the first node at which each class parts from the reference."""

from __future__ import annotations

from lastbit.auditing.findings import Origin
from lastbit.auditing.measuring import Measuring
from replicas.divergence import (
    Divergence,
    Unsaid,
    Watch,
    WatchedAnswer,
    first_divergence_of_answers,
    watch_answer,
)
from replicas.engine import EngineError, OnnxRuntimeEngine


def origins_of(measuring: Measuring) -> tuple[Origin, ...]:
    """Watch the reference and the first profile of each other class, on the first input that told them apart."""
    firsts = [names[0] for names in measuring.by_bytes.classes]
    if measuring.reference not in firsts:
        return ()
    watching = _Watching(measuring)
    found = []
    for other in firsts:
        request = measuring.pairs.between(measuring.reference, other).first_request
        if request is not None:
            found.append(watching.origin(other, request))
    return tuple(found)


class _Watching:
    """The reference is watched once for all, and each input once."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._reference: Watch | None = None
        self._seen: dict[int, WatchedAnswer] = {}

    def origin(self, other: str, request: int) -> Origin:
        found: Divergence | Unsaid | None
        try:
            one, two = self._of_reference(request), self._watched(self._watch(other), other, request)
            found = first_divergence_of_answers(one, two)
        except EngineError as error:
            found = Unsaid(str(error))
        return plain_origin(self._measuring.reference, other, request, found)

    def _of_reference(self, request: int) -> WatchedAnswer:
        name = self._measuring.reference
        if self._reference is None:
            self._reference = self._watch(name)
        if request not in self._seen:
            self._seen = {request: self._watched(self._reference, name, request)}
        return self._seen[request]

    def _watch(self, name: str) -> Watch:
        replica = self._measuring.replica(name)
        engine = replica.engine if isinstance(replica.engine, OnnxRuntimeEngine) else None
        return Watch(self._measuring.model(name), replica.profile, engine=engine)

    def _watched(self, watch: Watch, name: str, request: int) -> WatchedAnswer:
        return watch_answer(watch, self._measuring.replica(name), request, 0)


def plain_origin(one: str, other: str, request: int, found: Divergence | Unsaid | None) -> Origin:
    """What was found between two runs of one request, as plain data."""
    if found is None:
        return Origin(one=one, other=other, request=request, said="no inner tensor differs")
    if isinstance(found, Unsaid):
        return Origin(one=one, other=other, request=request, said=f"nothing can be said: {found.reason}")
    return Origin(
        one=one,
        other=other,
        request=request,
        said=str(found),
        tensor=str(found.tensor),
        nodes_one=tuple(map(str, found.nodes_a)),
        nodes_other=tuple(map(str, found.nodes_b)),
        weight=found.weight,
        element=found.element,
        values=found.values,
        ulps=found.ulps,
        others=found.others,
    )
