"""Where the answers of two replicas part, also where one of them was computed in a batch and the other was not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from replicas.batching import Array, BatchedRun
from replicas.divergence.origins import Divergence, Unsaid, first_divergence
from replicas.divergence.watch import Watch, Watched
from replicas.outputs import Value, canonical
from replicas.replica import Replica
from replicas.workload import SingleRun, Workload


@dataclass(frozen=True, slots=True)
class WatchedAnswer:
    """One run of a replica, watched.

    Attributes:
        watched: the run, of a whole batch where the replica computes in batches.
        workload: how the request was computed.
        place: of the request in its batch.
    """

    watched: Watched
    workload: Workload
    place: int


def watch_answer(watch: Watch, replica: Replica, request: int, attempt: int) -> WatchedAnswer:
    """Watch what a replica computes for a request.

    Args:
        watch: of its model and profile.
        replica: whose inputs and order of summation are taken.
        request, attempt: which run of it.

    Raises:
        EngineError: the inputs do not fit.
    """
    run = replica.run_of(request, attempt)
    fed = replica.workload.feeds(run.inputs, run.place, subject=replica.engine)
    return WatchedAnswer(watch.run(fed, run.order), replica.workload, run.place)


def first_divergence_of_answers(a: WatchedAnswer, b: WatchedAnswer) -> Divergence | Unsaid | None:
    """Find the first origin between two replicas' runs of one request; see `first_divergence`.

    Of a batch the request's own part is compared with the run of the request alone: along an axis that is as many
    times as long as there are requests, every part that could be it, and the one nearest to the run alone, since an
    axis may count other things before and after requests; along one that is longer by the padding, all but that.
    Tensors of other shapes are passed over, and whole numbers that differ: they tell of the batch.
    """
    if a.workload == b.workload:
        return first_divergence(a.watched, b.watched)
    if isinstance(a.workload, SingleRun) and isinstance(b.workload, BatchedRun):
        return first_divergence(a.watched, _alone(b.watched, a.watched, b.workload, b.place))
    if isinstance(b.workload, SingleRun) and isinstance(a.workload, BatchedRun):
        return first_divergence(_alone(a.watched, b.watched, a.workload, a.place), b.watched)
    return Unsaid("the two were computed in batches of different kinds")


def _alone(batched: Watched, like: Watched, workload: BatchedRun, place: int) -> Watched:
    """The request's part of a batch, in the shapes of a run of the request alone."""
    values = {}
    for key, value in batched.values.items():
        if key not in like.values:
            values[key] = value
            continue
        own = _own(value, like.values[key], workload, place)
        if own is not None:
            values[key] = own
    outputs = batched.outputs
    for name, value in like.outputs.items():
        own = _own(outputs[name], value, workload, place)
        outputs = outputs if own is None else outputs.replacing(name, own)
    return replace(batched, values=values, inputs=like.inputs, outputs=outputs)


def _own(value: Value, like: Value, workload: BatchedRun, place: int) -> Value:
    """None where the part cannot be told."""
    if not isinstance(value, np.ndarray) or not isinstance(like, np.ndarray) or value.ndim != like.ndim:
        return None
    for axis, (whole, length) in enumerate(zip(value.shape, like.shape, strict=True)):
        if whole == length:
            continue
        if workload.size > 1 and whole == length * workload.size:
            value = _nearest_part(value, like, axis, workload.size, place)
        elif whole == length + workload.padding:
            value = value.take(range(length), axis=axis)
        else:
            return None
    is_float = value.dtype.kind == "f"
    return value if is_float or canonical(value) == canonical(like) else None


def _nearest_part(value: Array, like: Array, axis: int, size: int, place: int) -> Array:
    """The part of one request along an axis that counts (a, requests, b), for whichever a is right."""
    length = like.shape[axis]
    parts = []
    for before in range(1, length + 1):
        if length % before:
            continue
        apart = value.reshape(*value.shape[:axis], before, size, length // before, *value.shape[axis + 1 :])
        part: Array = apart.take(place, axis=axis + 1).reshape(*value.shape[:axis], length, *value.shape[axis + 1 :])
        if part.shape != like.shape or canonical(part) == canonical(like):
            return part
        parts.append(part)
    return min(parts, key=lambda part: _gap(part, like))


def _gap(one: Array, other: Array) -> float:
    if one.dtype.kind != "f":
        return float((one != other).sum())
    with np.errstate(invalid="ignore"):
        gaps = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(np.where(np.isnan(gaps), 0.0, gaps).sum())
