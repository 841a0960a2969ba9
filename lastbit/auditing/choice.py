"""Which profiles an audit tries, as a person names them: names of the library, or a file of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from lastbit.did_you_mean import did_you_mean
from lastbit.wording import counted
from replicas.library import NamedProfile, named_profiles, read_profiles
from replicas.profile import ProfileError


class ChoiceError(ValueError):
    """Profiles that cannot be tried; one line that says which and what would do."""


def chosen_profiles(text: str) -> Mapping[str, NamedProfile]:
    """The profiles behind `ref,threads4`, or in a file that ends in `.toml`.

    Raises:
        ChoiceError: no such name, or a file that cannot be read or says what no profile may.

    Example:
        >>> list(chosen_profiles("threads4, noprepack"))
        ['threads4', 'noprepack']
    """
    if text.endswith(".toml"):
        return _in_file(Path(text))
    library = named_profiles()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ChoiceError("--profiles names none; names with commas between, or a file that ends in .toml")
    unknown = [name for name in names if name not in library]
    if unknown:
        raise ChoiceError(f'profiles: no profile "{unknown[0]}"; {did_you_mean(unknown[0], library)}')
    return {name: library[name] for name in names}


def profile_named(name: str, file: str | None) -> NamedProfile:
    """The profile of that name, in a file of the user's own or else in the library.

    Raises:
        ChoiceError: there is none, or the file cannot be read.
    """
    known = {**named_profiles(), **(_in_file(Path(file)) if file is not None else {})}
    if name not in known:
        raise ChoiceError(f'no profile "{name}"; {did_you_mean(name, known)}')
    return known[name]


def _in_file(path: Path) -> Mapping[str, NamedProfile]:
    try:
        return read_profiles(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ChoiceError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ChoiceError(f"{path}: is no TOML: {error}") from error
    except ProfileError as error:
        faults = "".join(f"\n  {fault}" for fault in error.faults)
        raise ChoiceError(f"{path}: {counted(len(error.faults), 'fault')}, nothing was run\n{faults}") from error
