"""The library of named profiles: settings that real fleets mix, each with a sentence on what it imitates."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import tomli_w

from replicas.profile import NumericProfile
from replicas.profile_faults import ProfileError, fault_in_choice, raise_if, unknown_keys

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
    return read_profiles(files("replicas").joinpath(LIBRARY_FILE).read_text(encoding="utf-8"))


def read_profiles(text: str) -> Mapping[str, NamedProfile]:
    """Read profiles in the form of the library: a table for each, with a `profile` and, if wanted, a `sentence`.

    Raises:
        tomllib.TOMLDecodeError: the text is no TOML.
        ProfileError: all that no profile may say, each with the name of its profile.

    Example:
        >>> read_profiles("[mine]\\nprofile = { intra_op_threads = 8 }")["mine"].profile.intra_op_threads
        8
    """
    faults: list[str] = []
    profiles: dict[str, NamedProfile] = {}
    for name, table in tomllib.loads(text).items():
        try:
            profiles[name] = _read(name, table)
        except ProfileError as error:
            faults += (f"{name}: {fault}" for fault in error.faults)
    raise_if(faults if profiles or faults else ["no profile: a table for each, such as [mine]"])
    return MappingProxyType(profiles)


def _read(name: str, table: object) -> NamedProfile:
    if not isinstance(table, dict):
        raise ProfileError((f"{table!r} is no table with a profile",))
    faults = unknown_keys(table, ["sentence", "profile"], prefix="")
    if not isinstance(table.get("sentence", ""), str):
        faults.append(f"sentence: {table['sentence']!r} is no text")
    if not isinstance(table.get("profile"), dict):
        raise ProfileError((*faults, "profile: missing; a table of settings"))
    try:
        profile = NumericProfile.from_mapping(table["profile"])
    except ProfileError as error:
        raise ProfileError((*faults, *error.faults)) from None
    raise_if(faults)
    return NamedProfile(name, table.get("sentence", ""), profile)


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


def library_toml(name: str) -> str:
    """The profile of that name as a document that `read_profiles` reads back equal, every setting stated.

    Raises:
        ProfileError: the library has none of that name.

    Example:
        >>> print(library_toml("threads4").splitlines()[3])
        [threads4.profile]
    """
    profile_named(name)
    named = named_profiles()[name]
    return tomli_w.dumps({name: {"sentence": named.sentence, "profile": named.profile.to_mapping()}})
