"""Numeric profiles: everything about a replica that may change the bits of its output.

Two replicas of one model with equal profiles give equal bits on one processor. Which settings change bits, and which
are inert, depends on the model, the library version and the processor: a profile only says what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Literal, TypeAlias, get_args

import tomli_w

ExecutionMode: TypeAlias = Literal["sequential", "parallel"]
Optimization: TypeAlias = Literal["off", "basic", "extended", "all"]
Precision: TypeAlias = Literal["fp32", "fp16-weights", "fp64"]
PartialPrecision: TypeAlias = Literal["fp32", "tf32", "bf16", "fp16"]
SummationOrder: TypeAlias = Literal["fixed", "drawn"]

THREADS_MAX = 256
SLICES_MIN = 2
SLICES_MAX = 256


class ProfileError(ValueError):
    """A profile asks for something that does not exist. Holds every fault that was found, not the first alone.

    Args:
        faults: one line each: the key, what was found, what is allowed.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class AsBuilt:
    """The order of summation that the runtime's own kernels use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KSplit:
    """Constant-weight products split along K, their partial products added in an order given at run time.

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
        _raise_if(
            [
                *_fault_in_number("summation.slices", self.slices, low=SLICES_MIN, high=SLICES_MAX),
                *_fault_in_choice("summation.partials", self.partials, get_args(PartialPrecision)),
                *_fault_in_choice("summation.order", self.order, get_args(SummationOrder)),
            ]
        )


Summation: TypeAlias = AsBuilt | KSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericProfile:
    """The settings of one replica that may change output bits. Equal profiles compare and hash equal.

    Args:
        intra_op_threads: threads that share one node, 1 to 256. Never "as many as there are cores": a result must
            not depend on the machine's size.
        inter_op_threads: threads that run nodes side by side, 1 to 256; used by `parallel` alone.
        execution_mode: whether independent nodes may run at once.
        optimization: how far the runtime may rewrite the graph.
        prepacking: whether the runtime may lay out constant weights anew.
        gelu_approximation: whether the runtime may compute a GELU by its tanh formula. It does so from optimization
            "extended" on, where it has fused the nodes of a GELU; an operator Gelu of the file stays exact.
        precision: "fp32" as the model is; "fp16-weights" rounds the weights and still computes in fp32, as the
            processor does; "fp64" computes in double where a kernel for it exists.
        summation: the order in which products are added.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> NumericProfile(intra_op_threads=4) == NumericProfile(intra_op_threads=4)
        True
        >>> NumericProfile.from_mapping({"summation": {"kind": "ksplit", "slices": 4}}).summation
        KSplit(slices=4, partials='fp32', order='fixed')
    """

    intra_op_threads: int = 1
    inter_op_threads: int = 1
    execution_mode: ExecutionMode = "sequential"
    optimization: Optimization = "all"
    prepacking: bool = True
    gelu_approximation: bool = False
    precision: Precision = "fp32"
    summation: Summation = field(default_factory=AsBuilt)

    def __post_init__(self) -> None:
        _raise_if(
            [
                *_fault_in_number("intra_op_threads", self.intra_op_threads, low=1, high=THREADS_MAX),
                *_fault_in_number("inter_op_threads", self.inter_op_threads, low=1, high=THREADS_MAX),
                *_fault_in_choice("execution_mode", self.execution_mode, get_args(ExecutionMode)),
                *_fault_in_choice("optimization", self.optimization, get_args(Optimization)),
                *_fault_in_flag("prepacking", self.prepacking),
                *_fault_in_flag("gelu_approximation", self.gelu_approximation),
                *_fault_in_choice("precision", self.precision, get_args(Precision)),
                *_fault_in_summation(self.summation),
            ]
        )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> NumericProfile:
        """Read a profile from a mapping such as a TOML table; keys left out keep their defaults.

        `summation` is "as-built", or a table with `kind = "ksplit"`, `slices` and, if wanted, `partials` and `order`.

        Raises:
            ProfileError: unknown keys and values that are not allowed, all of them at once.

        Example:
            >>> NumericProfile.from_mapping({"intra_op_thread": 2})
            Traceback (most recent call last):
                ...
            replicas.profile.ProfileError: intra_op_thread: unknown key; did you mean "intra_op_threads"?
        """
        allowed = [each.name for each in fields(cls)]
        faults = _unknown_keys(mapping, allowed, prefix="")
        settings = {key: value for key, value in mapping.items() if key in allowed}
        try:
            settings["summation"] = _read_summation(settings.get("summation", "as-built"))
        except ProfileError as error:
            faults += error.faults
            settings["summation"] = AsBuilt()
        try:
            profile = cls(**settings)  # type: ignore[arg-type]  # judged in __post_init__
        except ProfileError as error:
            raise ProfileError((*faults, *error.faults)) from None
        _raise_if(faults)
        return profile

    def to_mapping(self) -> dict[str, object]:
        """The plain form of the profile, every key stated: `from_mapping` reads it back equal."""
        mapping: dict[str, object] = {each.name: getattr(self, each.name) for each in fields(self)}
        if isinstance(self.summation, KSplit):
            table = {each.name: getattr(self.summation, each.name) for each in fields(self.summation)}
            mapping["summation"] = {"kind": "ksplit", **table}
        else:
            mapping["summation"] = "as-built"
        return mapping

    def to_toml(self) -> str:
        """The profile as a TOML document.

        Example:
            >>> print(NumericProfile(intra_op_threads=8).to_toml().splitlines()[0])
            intra_op_threads = 8
        """
        return tomli_w.dumps(self.to_mapping())


def _read_summation(found: object) -> Summation:
    if isinstance(found, AsBuilt | KSplit):
        return found
    if found == "as-built":
        return AsBuilt()
    if not isinstance(found, Mapping):
        hint = "; ksplit is a table that needs slices" if found == "ksplit" else ""
        raise ProfileError((f'summation: {found!r} is neither "as-built" nor a table of kind "ksplit"{hint}',))
    kind = found.get("kind", "ksplit")
    if kind == "as-built":
        _raise_if(_unknown_keys(found, ["kind"], prefix="summation."))
        return AsBuilt()
    allowed = ["kind", *(each.name for each in fields(KSplit))]
    faults = [
        *_fault_in_choice("summation.kind", kind, ("as-built", "ksplit")),
        *_unknown_keys(found, allowed, prefix="summation."),
    ]
    if "slices" not in found:
        faults.append("summation.slices: missing; the number of slices that K is split into, at least 2")
    settings = {key: value for key, value in found.items() if key in allowed and key != "kind"}
    try:
        summation = KSplit(**{"slices": 2, **settings})
    except ProfileError as error:
        raise ProfileError((*faults, *error.faults)) from None
    _raise_if(faults)
    return summation


def _unknown_keys(found: Mapping[str, object], allowed: list[str], prefix: str) -> list[str]:
    return [f"{prefix}{key}: unknown key{_suggest(key, allowed)}" for key in found if key not in allowed]


def _suggest(found: object, allowed: list[str]) -> str:
    close = get_close_matches(str(found), allowed, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; allowed are {', '.join(allowed)}"


def _fault_in_number(key: str, found: object, *, low: int, high: int) -> list[str]:
    if isinstance(found, int) and not isinstance(found, bool) and low <= found <= high:
        return []
    return [f"{key}: {found!r} is not allowed; a whole number from {low} to {high}"]


def _fault_in_choice(key: str, found: object, allowed: tuple[str, ...]) -> list[str]:
    if isinstance(found, str) and found in allowed:
        return []
    return [f"{key}: {found!r} is not allowed{_suggest(found, list(allowed))}"]


def _fault_in_flag(key: str, found: object) -> list[str]:
    return [] if isinstance(found, bool) else [f"{key}: {found!r} is not allowed; true or false"]


def _fault_in_summation(found: object) -> list[str]:
    if isinstance(found, AsBuilt | KSplit):
        return []
    return [f"summation: {found!r} is not allowed; AsBuilt() or KSplit(slices=...)"]


def _raise_if(faults: list[str]) -> None:
    if faults:
        raise ProfileError(tuple(faults))
