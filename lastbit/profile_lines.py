"""What a report says of numeric profiles: what each did to the model, and which changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lastbit import wording
from lastbit.result import Comparison, ReplicaResult
from replicas.engine import SettingShown
from replicas.prepare import PreparationReport
from replicas.profile import SLICES_MIN, NumericProfile

NAMES_SHOWN_MAX = 3
USUAL = NumericProfile().to_mapping()
EVIDENCE = {"cannot": "not to be shown", "seen": "seen in the graph"}


def prepared(replicas: Sequence[ReplicaResult]) -> Iterator[str]:
    """A line for the replicas whose profile rewrote the model, and how much of it that covers."""
    same: dict[str, list[int]] = {}
    for replica in replicas:
        for sentence in _sentences(replica):
            same.setdefault(sentence, []).append(replica.id)
    for sentence, ids in same.items():
        yield f"{wording.replicas(ids)}: {sentence}"


def unseen(replicas: Sequence[ReplicaResult], *, form: str) -> Iterator[str]:
    """Replicas whose bits differ from the base's, and never what is voted on."""
    for (base, compared), ids in _compared(replicas, lambda found: bool(found.differing and not found.votes_differing)):
        shares = [replica.against.differing for replica in replicas if replica.id in ids and replica.against]
        span = f"{min(shares):,}" if min(shares) == max(shares) else f"{min(shares):,} to {max(shares):,}"
        yield (
            f"{wording.replicas(ids)}: bits differ from replica {base}'s in {span} of {compared:,} answers, "
            f"the vote on {form} in none"
        )


def inert(replicas: Sequence[ReplicaResult]) -> Iterator[str]:
    """Replicas whose profile is another than the base's and changed no bit: nobody should think it was tested."""
    by_id = {replica.id: replica for replica in replicas}
    others = [each for each in replicas if each.against and each.profile != by_id[each.against.base].profile]
    for (base, compared), ids in _compared(others, lambda found: not found.differing):
        whose = "its profile differs" if len(ids) == 1 else "their profiles differ"
        yield f"{wording.replicas(ids)}: {whose} from replica {base}'s, yet not a bit of {compared:,} answers does"


def _compared(
    replicas: Sequence[ReplicaResult], holds: Callable[[Comparison], bool]
) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """The replicas whose comparison holds, by what they are compared with and how often."""
    same: dict[tuple[int, int], list[int]] = {}
    for replica in replicas:
        if replica.against is not None and replica.against.compared and holds(replica.against):
            same.setdefault((replica.against.base, replica.against.compared), []).append(replica.id)
    yield from same.items()


def _sentences(replica: ReplicaResult) -> Iterator[str]:
    found = replica.preparation
    settings = [_setting(each) for each in replica.settings if replica.profile[each.name] != USUAL[each.name]]
    if settings:
        yield ", ".join(settings)
    if found.products_reordered:
        yield _reordered(found, replica.profile["summation"])
    if found.values_rounded or found.values_kept_fp32:
        yield _rounded(found)
    if found.float_nodes:
        yield _in_fp64(found)
    if batch := _batch(replica.profile):
        yield batch
    if found.products_quantised:
        yield _quantised(found, replica.profile["precision"])


def _batch(profile: Mapping[str, Any]) -> str:
    """How requests are computed together; "" where each is by itself."""
    parts = []
    if profile.get("batch_size", 1) > 1:
        mates = "others of zeros" if profile["batch_mates"] == "zeros" else "its neighbours"
        parts.append(f"computes a request in a batch of {profile['batch_size']:,}, with {mates}")
    if profile.get("padding"):
        parts.append(f"pads it by {wording.counted(profile['padding'], 'position')}, masked out")
    return "; ".join(parts)


def _setting(setting: SettingShown) -> str:
    shown = next((word for begin, word in EVIDENCE.items() if setting.evidence.startswith(begin)), "read back")
    return f"{setting.name} = {setting.value} ({shown})"


def _reordered(found: PreparationReport, summation: Mapping[str, Any]) -> str:
    slices = summation.get("slices")
    text = f"{wording.counted(len(found.products_reordered), 'product')} {_how_reordered(summation)}, "
    text += f"{100 * found.share_reordered:.3g} % of the multiply-adds"
    if slices == SLICES_MIN:
        text += "; two slices never change a bit"
    if found.products_left_as_built:
        names = [f"{name} ({reason})" for name, reason in found.products_left_as_built]
        text += f"; left as built: {_listed(names)}"
    return text


def _how_reordered(summation: Mapping[str, Any]) -> str:
    match summation["kind"]:
        case "tree":
            how = f"added in a tree by {wording.counted(summation['shards'], 'shard')}"
        case "ksplit":
            how = f"split in {'up to ' if summation.get('by_batch') else ''}{summation['slices']} along K"
        case _:
            return "permuted along K"
    match summation.get("partials", "fp32"):
        case "fp32":
            return how
        case "fp64":
            return f"{how}, added in fp64 and rounded once"
        case partials:
            return f"{how}, partial sums in {partials}"


def _rounded(found: PreparationReport) -> str:
    text = f"{wording.counted(found.values_rounded, 'weight')} rounded to fp16"
    if found.values_kept_fp32:
        names = [f"{count:,} of {name}" for name, count in found.values_kept_fp32]
        text += f"; do not fit and stay fp32: {_listed(names)}"
    return text


def _in_fp64(found: PreparationReport) -> str:
    kept = len(found.nodes_kept_fp32)
    if not kept:
        return f"fp64 in all {wording.counted(found.float_nodes, 'node')} that compute with floats"
    text = f"fp64, but for {kept:,} of {wording.counted(found.float_nodes, 'node')} without such a kernel, "
    text += f"{100 * found.share_of_multiply_adds_kept_fp32:.3g} % of the multiply-adds"
    return f"{text}: {_listed(found.nodes_kept_fp32)}"


def _quantised(found: PreparationReport, precision: object) -> str:
    numbers = "whole numbers that are added exactly" if precision == "integers" else "whole numbers of 8 bits"
    text = f"{wording.counted(len(found.products_quantised), 'product')} in {numbers}, "
    text += f"{100 * found.share_quantised:.3g} % of the multiply-adds"
    if found.products_not_quantised:
        names = [f"{name} ({reason})" for name, reason in found.products_not_quantised]
        text += f"; not quantised: {_listed(names)}"
    return text


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return shown if len(names) <= NAMES_SHOWN_MAX else f"{shown} and {len(names) - NAMES_SHOWN_MAX} more"
