"""Kinds of summation: in which order a replica adds up its products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from replicas.profile_faults import (
    ProfileError,
    fault_in_choice,
    fault_in_flag,
    fault_in_number,
    raise_if,
    unknown_keys,
)

PartialPrecision: TypeAlias = Literal["fp32", "tf32", "bf16", "fp16", "fp64"]
SummationOrder: TypeAlias = Literal["fixed", "drawn"]
SplitOrder: TypeAlias = Literal["fixed", "drawn", "prescribed"]

SLICES_MIN = 2
SLICES_MAX = 256
LEAVES = 16
"""Into how many leaves a tree cuts K, whoever computes them."""


class SummationKind:
    """What is asked of every kind of summation; each says where it is otherwise."""

    __slots__ = ()

    @property
    def is_drawn(self) -> bool:
        """Whether each run draws an order of its own."""
        return False

    @property
    def reads_order(self) -> bool:
        """Whether each replica is given an order of its own."""
        return False

    @property
    def rounds_once(self) -> bool:
        """Whether products are added in double precision, and their sum is rounded once."""
        return False

    @property
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return False


@dataclass(frozen=True, slots=True)
class AsBuilt(SummationKind):
    """The order of summation that the runtime's own kernels use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KSplit(SummationKind):
    """Products and convolutions split along K, their partial products added in an order given at run time.

    Args:
        slices: into how many slices K is split, 2 to 256. Two never change a bit, because addition commutes.
        partials: what each partial product and each running sum is rounded to. "fp64": partial products are computed
            and added in double precision, and the sum is rounded once.
        order: "fixed": one order for the life of the replica. "drawn": a new one on every run, as atomics on a GPU do.
            "prescribed": slice after slice, the same for all replicas.
        by_batch: fewer slices for more requests at once, as kernels choose that want to fill a GPU: `slices` for one
            request, half as many for two, and none from `slices` requests on.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> KSplit(slices=4, partials="bf16").order
        'fixed'
        >>> KSplit(slices=8, by_batch=True).for_batch(4)
        KSplit(slices=2, partials='fp32', order='fixed', by_batch=True)
        >>> KSplit(slices=8, by_batch=True).for_batch(8)
        AsBuilt()
    """

    slices: int
    partials: PartialPrecision = "fp32"
    order: SplitOrder = "fixed"
    by_batch: bool = False

    def __post_init__(self) -> None:
        raise_if(
            [
                *fault_in_number("summation.slices", self.slices, low=SLICES_MIN, high=SLICES_MAX),
                *fault_in_choice("summation.partials", self.partials, get_args(PartialPrecision)),
                *fault_in_choice("summation.order", self.order, get_args(SplitOrder)),
                *fault_in_flag("summation.by_batch", self.by_batch),
            ]
        )

    def for_batch(self, size: int) -> KSplit | AsBuilt:
        """What is done to a batch of that many requests."""
        if not self.by_batch:
            return self
        slices = self.slices // size
        return replace(self, slices=slices) if slices >= SLICES_MIN else AsBuilt()

    @property
    def is_drawn(self) -> bool:
        """Whether each run draws an order of its own."""
        return self.order == "drawn"

    @property
    def reads_order(self) -> bool:
        """Whether each replica is given an order of its own."""
        return self.order != "prescribed"

    @property
    def rounds_once(self) -> bool:
        """Whether products are added in double precision, and their sum is rounded once."""
        return self.partials == "fp64"

    @property
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return self.slices > SLICES_MIN and self.reads_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(SummationKind):
    """Products and convolutions split along K among shards, their partial products added in one fixed binary tree.

    A model that is spread over several devices adds one partial product for each: as a chain (a `KSplit` of prescribed
    order, a slice for each device) the number of devices is in the bits. Here K is cut into 16 leaves whatever their
    number; a shard adds its own leaves pairwise, and the sums of the shards are added pairwise: the same additions for
    1, 2, 4, 8 and 16 shards.

    Args:
        shards: over how many devices a product is spread: 1, 2, 4, 8 or 16.
        partials: what each partial product and each sum is rounded to.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> Tree(shards=4)
        Tree(shards=4, partials='fp32')
    """

    shards: int
    partials: PartialPrecision = "fp32"

    def __post_init__(self) -> None:
        faults = fault_in_number("summation.shards", self.shards, low=1, high=LEAVES)
        if not faults and LEAVES % self.shards:
            faults = [f"summation.shards: {self.shards} is not allowed; 1, 2, 4, 8 or 16"]
        raise_if([*faults, *fault_in_choice("summation.partials", self.partials, get_args(PartialPrecision))])

    @property
    def rounds_once(self) -> bool:
        """Whether products are added in double precision, and their sum is rounded once."""
        return self.partials == "fp64"


@dataclass(frozen=True, slots=True, kw_only=True)
class KPermute(SummationKind):
    """Products and convolutions whose K dimension is put in an order given at run time, on both sides.

    The kernel is the runtime's own, and adds in the order that it always does: what it adds comes in another order.

    Args:
        order: "fixed": one order for the life of the replica. "drawn": a new one on every run.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> KPermute(order="drawn")
        KPermute(order='drawn')
    """

    order: SummationOrder = "fixed"

    def __post_init__(self) -> None:
        raise_if(fault_in_choice("summation.order", self.order, get_args(SummationOrder)))

    @property
    def is_drawn(self) -> bool:
        """Whether each run draws an order of its own."""
        return self.order == "drawn"

    @property
    def reads_order(self) -> bool:
        """Whether each replica is given an order of its own."""
        return True

    @property
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return True


Summation: TypeAlias = AsBuilt | KSplit | KPermute | Tree
SummationTable: TypeAlias = KSplit | KPermute | Tree

SUMMATION_TABLES: Mapping[str, type[SummationTable]] = {"ksplit": KSplit, "kpermute": KPermute, "tree": Tree}
"""The kinds of summation that are told as a table, by their `kind`."""


_EXAMPLES = {
    "ksplit": "ksplit is a table that needs slices",
    "kpermute": 'kpermute is a table, { kind = "kpermute" }',
    "tree": "tree is a table that needs shards",
}
_NEEDED: Mapping[type[SummationTable], Mapping[str, str]] = {
    KSplit: {"slices": "the number of slices that K is split into, at least 2"},
    Tree: {"shards": "over how many devices a product is spread: 1, 2, 4, 8 or 16"},
}


def read_summation(found: object) -> Summation:
    """Read "as-built", or a table with the `kind` of a summation and its settings; ksplit where no kind is given.

    Raises:
        ProfileError: unknown keys and values that are not allowed, all of them at once.

    Example:
        >>> read_summation({"kind": "kpermute"})
        KPermute(order='fixed')
    """
    if isinstance(found, Summation):
        return found
    if found == "as-built":
        return AsBuilt()
    if not isinstance(found, Mapping):
        kinds = " or ".join(f'"{kind}"' for kind in SUMMATION_TABLES)
        hint = f"; {_EXAMPLES[found]}" if isinstance(found, str) and found in _EXAMPLES else ""
        raise ProfileError((f'summation: {found!r} is neither "as-built" nor a table of kind {kinds}{hint}',))
    kind = found.get("kind", "ksplit")
    if kind == "as-built":
        raise_if(unknown_keys(found, ["kind"], prefix="summation."))
        return AsBuilt()
    return _read_table(found, kind)


def _read_table(found: Mapping[str, Any], kind: object) -> Summation:
    faults = fault_in_choice("summation.kind", kind, ("as-built", *SUMMATION_TABLES))
    table = SUMMATION_TABLES.get(str(kind), KSplit)
    allowed = ["kind", *(each.name for each in fields(table))]
    faults += unknown_keys(found, allowed, prefix="summation.")
    settings = {key: value for key, value in found.items() if key in allowed and key != "kind"}
    for key, what in _NEEDED.get(table, {}).items():
        if key not in settings:
            faults.append(f"summation.{key}: missing; {what}")
            settings[key] = SLICES_MIN
    try:
        summation = table(**settings)
    except ProfileError as error:
        raise ProfileError((*faults, *error.faults)) from None
    raise_if(faults)
    return summation


def summation_to_plain(summation: Summation) -> str | dict[str, object]:
    """The plain form of a summation, every key stated: `read_summation` reads it back equal.

    Example:
        >>> summation_to_plain(KPermute())
        {'kind': 'kpermute', 'order': 'fixed'}
    """
    if isinstance(summation, AsBuilt):
        return "as-built"
    kind = next(kind for kind, table in SUMMATION_TABLES.items() if isinstance(summation, table))
    return {"kind": kind, **{each.name: getattr(summation, each.name) for each in fields(summation)}}
