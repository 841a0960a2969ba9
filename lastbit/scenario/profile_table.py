"""The `profile` of fleet and replicas: a table judged by `replicas.profile`, which knows what a profile may say, or the
name of one in the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from lastbit.did_you_mean import did_you_mean
from lastbit.scenario.faults import shown
from replicas.library import named_profiles
from replicas.profile import BATCH_MAX, PADDING_MAX, SLICES_MAX, SLICES_MIN, THREADS_MAX, KSplit, NumericProfile
from replicas.summation import LEAVES, SUMMATION_TABLES, SummationTable

NUMBERS = {
    "slices": (SLICES_MIN, SLICES_MAX),
    "shards": (1, LEAVES),
    "batch_size": (1, BATCH_MAX),
    "padding": (0, PADDING_MAX),
}
"""What whole numbers may be, where they are no numbers of threads."""


def profile_of(*tables: Mapping[str, Any]) -> NumericProfile:
    """The profile that several tables make together, later ones overriding earlier ones key by key.

    Raises:
        ProfileError: a table says what no profile may.

    Example:
        >>> profile_of({"intra_op_threads": 2, "precision": "fp64"}, {"intra_op_threads": 8}).intra_op_threads
        8
    """
    merged: dict[str, Any] = {}
    for table in tables:
        merged |= table
    return NumericProfile.from_mapping(merged)


def _named(found: object) -> object:
    """The table behind a name: every key of it, so that a named profile leaves nothing to the fleet's."""
    if not isinstance(found, str):
        return found
    if found not in named_profiles():
        message = f"{shown(found)} is no profile of the library; {did_you_mean(found, named_profiles())}"
        raise PydanticCustomError("profile_name", "{message}", {"message": message})
    return named_profiles()[found].profile.to_mapping()


def _judged(found: dict[str, Any]) -> dict[str, Any]:
    NumericProfile.from_mapping(found)  # raises a ProfileError that holds every fault
    return found


def _json_schema() -> dict[str, Any]:
    properties = _properties(NumericProfile)
    properties["summation"] = {
        "anyOf": [{"const": "as-built"}, *(_summation(kind, table) for kind, table in SUMMATION_TABLES.items())]
    }
    table = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"anyOf": [{"enum": list(named_profiles())}, table]}


def _summation(kind: str, table: type[SummationTable]) -> dict[str, Any]:
    """The schema of a summation's table; ksplit is what a table without a kind is."""
    stated = [each.name for each in fields(table) if each.default is MISSING]
    return {
        "type": "object",
        "properties": {"kind": {"const": kind}, **_properties(table)},
        "required": stated if table is KSplit else ["kind", *stated],
        "additionalProperties": False,
    }


def _properties(table: type[SummationTable | NumericProfile]) -> dict[str, Any]:
    hints = get_type_hints(table)
    return {each.name: _property(each.name, hints[each.name]) for each in fields(table)}


def _property(name: str, hint: Any) -> dict[str, Any]:
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if hint is bool:
        return {"type": "boolean"}
    low, high = NUMBERS.get(name, (1, THREADS_MAX))
    return {"type": "integer", "minimum": low, "maximum": high}


ProfileTable: TypeAlias = Annotated[
    dict[str, Any], BeforeValidator(_named), AfterValidator(_judged), WithJsonSchema(_json_schema())
]
