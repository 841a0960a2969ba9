"""The library of named profiles: settings that real fleets mix, each with a sentence on what it imitates."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from replicas.profile import NumericProfile
from replicas.profile_faults import fault_in_choice, raise_if

LIBRARY_FILE = "profiles.toml"


@dataclass(frozen=True, slots=True)
class NamedProfile:
    """A profile of the library.

    Args:
        name: what scenarios and command lines call it.
        sentence: what it imitates in a real fleet.
        profile: its settings.
    """

    name: str
    sentence: str
    profile: NumericProfile


@cache
def named_profiles() -> Mapping[str, NamedProfile]:
    """Every profile of the library by name, in the order of the file; the first is the base, `ref`.

    Example:
        >>> named_profiles()["threads4"].profile.intra_op_threads
        4
        >>> next(iter(named_profiles()))
        'ref'
    """
    tables = tomllib.loads(files("replicas").joinpath(LIBRARY_FILE).read_text(encoding="utf-8"))
    return MappingProxyType(
        {
            name: NamedProfile(name, table["sentence"], NumericProfile.from_mapping(table["profile"]))
            for name, table in tables.items()
        }
    )


def profile_named(name: str) -> NumericProfile:
    """The profile of that name.

    Raises:
        ProfileError: the library has none of that name.

    Example:
        >>> profile_named("noprepak")
        Traceback (most recent call last):
            ...
        replicas.profile_faults.ProfileError: profile: 'noprepak' is not allowed; did you mean "noprepack"?
    """
    raise_if(fault_in_choice("profile", name, tuple(named_profiles())))
    return named_profiles()[name].profile
