"""Kinds of summation: in which order a replica adds up its products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from replicas.profile_faults import ProfileError, fault_in_choice, fault_in_number, raise_if, unknown_keys

PartialPrecision: TypeAlias = Literal["fp32", "tf32", "bf16", "fp16"]
SummationOrder: TypeAlias = Literal["fixed", "drawn"]

SLICES_MIN = 2
SLICES_MAX = 256


@dataclass(frozen=True, slots=True)
class AsBuilt:
    """The order of summation that the runtime's own kernels use."""

    @property
    def is_drawn(self) -> bool:
        """Whether each run draws an order of its own."""
        return False

    @property
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class KSplit:
    """Products and convolutions split along K, their partial products added in an order given at run time.

    Args:
        slices: into how many slices K is split, 2 to 256. Two never change a bit, because addition commutes.
        partials: what each partial product and each running sum is rounded to.
        order: "fixed": one order for the life of the replica. "drawn": a new one on every run, as atomics on a GPU do.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> KSplit(slices=4, partials="bf16").order
        'fixed'
    """

    slices: int
    partials: PartialPrecision = "fp32"
    order: SummationOrder = "fixed"

    def __post_init__(self) -> None:
        raise_if(
            [
                *fault_in_number("summation.slices", self.slices, low=SLICES_MIN, high=SLICES_MAX),
                *fault_in_choice("summation.partials", self.partials, get_args(PartialPrecision)),
                *fault_in_choice("summation.order", self.order, get_args(SummationOrder)),
            ]
        )

    @property
    def is_drawn(self) -> bool:
        """Whether each run draws an order of its own."""
        return self.order == "drawn"

    @property
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return self.slices > SLICES_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class KPermute:
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
    def orders_differ(self) -> bool:
        """Whether two replicas of this summation may add in orders that give other bits."""
        return True


Summation: TypeAlias = AsBuilt | KSplit | KPermute

SUMMATION_TABLES: Mapping[str, type[KSplit | KPermute]] = {"ksplit": KSplit, "kpermute": KPermute}
"""The kinds of summation that are told as a table, by their `kind`."""


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
        hint = "; ksplit is a table that needs slices" if found == "ksplit" else ""
        hint = '; kpermute is a table, { kind = "kpermute" }' if found == "kpermute" else hint
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
    if table is KSplit and "slices" not in settings:
        faults.append("summation.slices: missing; the number of slices that K is split into, at least 2")
        settings["slices"] = SLICES_MIN
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
