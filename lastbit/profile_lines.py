"""What a report says of numeric profiles: what each did to the model, and which changed nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastbit import wording
from lastbit.result import Preparation, ReplicaResult

NAMES_SHOWN_MAX = 3


def prepared(replicas: Sequence[ReplicaResult]) -> Iterator[str]:
    """A line for the replicas whose profile rewrote the model, and how much of it that covers."""
    same: dict[str, list[int]] = {}
    for replica in replicas:
        for sentence in _sentences(replica):
            same.setdefault(sentence, []).append(replica.id)
    for sentence, ids in same.items():
        yield f"{wording.replicas(ids)}: {sentence}"


def inert(replicas: Sequence[ReplicaResult], *, form: str) -> Iterator[str]:
    """Replicas whose profile is another than the base's and changed nothing: nobody should think it was tested."""
    by_id = {replica.id: replica for replica in replicas}
    same: dict[tuple[int, int], list[int]] = {}
    for replica in replicas:
        against = replica.against
        if against is None or against.differing or not against.compared:
            continue
        if replica.profile != by_id[against.base].profile:
            same.setdefault((against.base, against.compared), []).append(replica.id)
    for (base, compared), ids in same.items():
        whose = "its profile differs" if len(ids) == 1 else "their profiles differ"
        yield f"{wording.replicas(ids)}: {whose} from replica {base}'s, yet 0 of {compared:,} answers do ({form})"


def _sentences(replica: ReplicaResult) -> Iterator[str]:
    found = replica.preparation
    if found is None:
        return
    if found.products_split:
        yield _split(found, replica.profile["summation"]["slices"])
    if found.values_rounded or found.values_kept_fp32:
        yield _rounded(found)
    if found.float_nodes:
        yield _in_fp64(found)


def _split(found: Preparation, slices: int) -> str:
    text = f"{wording.counted(len(found.products_split), 'product')} split in {slices} along K, "
    text += f"{_percent(found.multiply_adds_split, found.multiply_adds)} of the multiply-adds"
    if found.products_left_whole:
        names = [f"{name} ({reason})" for name, reason in found.products_left_whole]
        text += f"; left whole: {_listed(names)}"
    return text


def _rounded(found: Preparation) -> str:
    text = f"{wording.counted(found.values_rounded, 'weight')} rounded to fp16"
    if found.values_kept_fp32:
        names = [f"{count:,} of {name}" for name, count in found.values_kept_fp32]
        text += f"; do not fit and stay fp32: {_listed(names)}"
    return text


def _in_fp64(found: Preparation) -> str:
    kept = len(found.nodes_kept_fp32)
    text = f"fp64, but for {kept:,} of {wording.counted(found.float_nodes, 'node')} without such a kernel"
    text += f", {_percent(found.multiply_adds_kept_fp32, found.multiply_adds)} of the multiply-adds"
    return f"{text}: {_listed(list(found.nodes_kept_fp32))}" if kept else text


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %" if whole else "0 %"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return shown if len(names) <= NAMES_SHOWN_MAX else f"{shown} and {len(names) - NAMES_SHOWN_MAX} more"
