"""Numeric profiles: everything about a replica that may change the bits of its output.

Two replicas of one model with equal profiles give equal bits on one processor. Which settings change bits, and which
are inert, depends on the model, the library version and the processor: a profile only says what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, get_args

import tomli_w

from replicas.profile_faults import (
    ProfileError,
    fault_in_choice,
    fault_in_flag,
    fault_in_number,
    raise_if,
    unknown_keys,
)
from replicas.summation import (
    SLICES_MAX,
    SLICES_MIN,
    AsBuilt,
    KPermute,
    KSplit,
    PartialPrecision,
    Summation,
    SummationOrder,
    Tree,
    read_summation,
    summation_to_plain,
)

__all__ = [
    "BATCH_MAX",
    "PADDING_MAX",
    "SLICES_MAX",
    "SLICES_MIN",
    "THREADS_MAX",
    "AsBuilt",
    "BatchMates",
    "ExecutionMode",
    "KPermute",
    "KSplit",
    "NumericProfile",
    "Optimization",
    "PartialPrecision",
    "Precision",
    "ProfileError",
    "Summation",
    "SummationOrder",
    "Tree",
]

ExecutionMode: TypeAlias = Literal["sequential", "parallel"]
Optimization: TypeAlias = Literal["off", "basic", "extended", "all"]
Precision: TypeAlias = Literal["fp32", "fp16-weights", "fp64", "int8-s8", "int8-u8", "integers"]

BatchMates: TypeAlias = Literal["requests", "zeros"]

THREADS_MAX = 256
BATCH_MAX = 256
PADDING_MAX = 4096


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
            processor does; "fp64" computes in double where a kernel for it exists; "int8-s8" and "int8-u8" quantise
            products with constant weights dynamically, to signed and to unsigned weights; "integers" computes products
            in whole numbers so small that they are added exactly, in any order.
        summation: the order in which products are added.
        batch_size: how many requests are computed at once, 1 to 256; the answer is that of one of them. The model's
            inputs must leave an axis open for it.
        batch_mates: the other requests of a batch: "requests", the neighbours of the one asked for, or "zeros".
        padding: positions that are added behind the last one and masked out, 0 to 4,096; for a model with a mask.

    Raises:
        ProfileError: a value that is not allowed.

    Example:
        >>> NumericProfile(intra_op_threads=4) == NumericProfile(intra_op_threads=4)
        True
        >>> NumericProfile.from_mapping({"summation": {"kind": "ksplit", "slices": 4}}).summation
        KSplit(slices=4, partials='fp32', order='fixed', by_batch=False)
    """

    intra_op_threads: int = 1
    inter_op_threads: int = 1
    execution_mode: ExecutionMode = "sequential"
    optimization: Optimization = "all"
    prepacking: bool = True
    gelu_approximation: bool = False
    precision: Precision = "fp32"
    summation: Summation = field(default_factory=AsBuilt)
    batch_size: int = 1
    batch_mates: BatchMates = "requests"
    padding: int = 0

    def __post_init__(self) -> None:
        raise_if(
            [
                *fault_in_number("intra_op_threads", self.intra_op_threads, low=1, high=THREADS_MAX),
                *fault_in_number("inter_op_threads", self.inter_op_threads, low=1, high=THREADS_MAX),
                *fault_in_choice("execution_mode", self.execution_mode, get_args(ExecutionMode)),
                *fault_in_choice("optimization", self.optimization, get_args(Optimization)),
                *fault_in_flag("prepacking", self.prepacking),
                *fault_in_flag("gelu_approximation", self.gelu_approximation),
                *fault_in_choice("precision", self.precision, get_args(Precision)),
                *_fault_in_summation(self.summation),
                *fault_in_number("batch_size", self.batch_size, low=1, high=BATCH_MAX),
                *fault_in_choice("batch_mates", self.batch_mates, get_args(BatchMates)),
                *fault_in_number("padding", self.padding, low=0, high=PADDING_MAX),
            ]
        )

    @property
    def summation_in_use(self) -> Summation:
        """How products are added in a batch of this size: a split-K may follow it.

        Example:
            >>> NumericProfile(summation=KSplit(slices=8, by_batch=True), batch_size=8).summation_in_use
            AsBuilt()
        """
        return self.summation.for_batch(self.batch_size) if isinstance(self.summation, KSplit) else self.summation

    @property
    def bits_depend_on_order(self) -> bool:
        """Whether two orders of summation may give other bits: not of two slices, and not of exact whole numbers."""
        summation = self.summation_in_use
        is_exact = self.precision == "integers" and getattr(summation, "partials", "fp64") == "fp64"
        return summation.orders_differ and not is_exact

    @property
    def bits_are_drawn_anew(self) -> bool:
        """Whether two runs of one replica may give other bits, since each draws an order."""
        return self.summation_in_use.is_drawn and self.bits_depend_on_order

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> NumericProfile:
        """Read a profile from a mapping such as a TOML table; keys left out keep their defaults.

        `summation` is "as-built", or a table: `kind = "ksplit"`, `slices` and, if wanted, `partials`, `order` and
        `by_batch`; `kind = "kpermute"` and, if wanted, `order`; `kind = "tree"`, `shards` and, if wanted, `partials`.

        Raises:
            ProfileError: unknown keys and values that are not allowed, all of them at once.

        Example:
            >>> NumericProfile.from_mapping({"intra_op_thread": 2})
            Traceback (most recent call last):
                ...
            replicas.profile_faults.ProfileError: intra_op_thread: unknown key; did you mean "intra_op_threads"?
        """
        allowed = [each.name for each in fields(cls)]
        faults = unknown_keys(mapping, allowed)
        settings = {key: value for key, value in mapping.items() if key in allowed}
        try:
            settings["summation"] = read_summation(settings.get("summation", "as-built"))
        except ProfileError as error:
            faults += error.faults
            settings["summation"] = AsBuilt()
        try:
            profile = cls(**settings)  # type: ignore[arg-type]  # judged in __post_init__
        except ProfileError as error:
            raise ProfileError((*faults, *error.faults)) from None
        raise_if(faults)
        return profile

    def to_mapping(self) -> dict[str, object]:
        """The plain form of the profile, every key stated: `from_mapping` reads it back equal."""
        mapping: dict[str, object] = {each.name: getattr(self, each.name) for each in fields(self)}
        mapping["summation"] = summation_to_plain(self.summation)
        return mapping

    def to_toml(self) -> str:
        """The profile as a TOML document.

        Example:
            >>> print(NumericProfile(intra_op_threads=8).to_toml().splitlines()[0])
            intra_op_threads = 8
        """
        return tomli_w.dumps(self.to_mapping())


def _fault_in_summation(found: object) -> list[str]:
    if isinstance(found, Summation):
        return []
    return [f"summation: {found!r} is not allowed; AsBuilt(), KSplit(slices=...), KPermute() or Tree(shards=...)"]
