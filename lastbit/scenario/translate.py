"""From pydantic's errors to faults: where in the file, and a sentence that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from lastbit.did_you_mean import did_you_mean
from lastbit.scenario.faults import Fault, shown
from replicas.profile import ProfileError

Location = tuple[int | str, ...]


def faults_from(errors: Iterable[ErrorDetails], document: type[BaseModel], found: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults that pydantic found in `found`, which was to be a `document`."""
    for error in errors:
        keys = _keys(error["loc"], found)
        place = _place(keys)
        carried = error.get("ctx", {}).get("error")
        if isinstance(carried, ProfileError):
            yield from _in_profile(place, carried)
        else:
            place += ".kind" if error["type"].startswith("union_tag") else ""
            yield Fault(place, _message(error, document))


def without_unknown_keys(errors: Iterable[ErrorDetails], found: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `found` that lacks the keys of which `errors` say that they are unknown."""
    known = deepcopy(dict(found))
    for error in errors:
        if error["type"] == "extra_forbidden":
            *path, last = _keys(error["loc"], found)
            table: Any = known
            for key in path:
                table = table[key]
            del table[last]
    return known


def _in_profile(place: str, carried: ProfileError) -> Iterator[Fault]:
    for line in carried.faults:
        key, message = line.split(": ", 1)
        yield Fault(f"{place}.{key}", message)


def _message(error: ErrorDetails, document: type[BaseModel]) -> str:
    found = error["input"]
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key; {_nearest(error['loc'][-1], _table_at(document, error['loc'][:-1])[0].model_fields)}"
        case "missing":
            return "missing; it has no default"
        case "literal_error":
            return f"{shown(found)} is not allowed; {_nearest(found, _quoted(error['ctx']['expected']))}"
        case "union_tag_invalid":
            kinds = _quoted(error["ctx"]["expected_tags"])
            return f"{shown(error['ctx']['tag'])} is no kind; {_nearest(error['ctx']['tag'], kinds)}"
        case "union_tag_not_found":
            return f"missing; {did_you_mean('', (str(_kind(table)) for table in _table_at(document, error['loc'])))}"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            return f"{shown(found)} is not a table"
        case "tuple_type" | "list_type":
            return f"{shown(found)} is not a list"
        case _:
            return error["msg"]


def _nearest(found: object, known: Iterable[str]) -> str:
    return did_you_mean(str(found)[:100], known)


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _keys(location: Location, found: Mapping[str, Any]) -> Location:
    """The location without the kinds that pydantic puts in for unions: only what stands in the file."""
    keys: list[int | str] = []
    here: Any = found
    for part in location:
        if isinstance(here, Mapping) and part not in here and here.get("kind") == part:
            continue
        keys.append(part)
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
    return tuple(keys)


def _place(keys: Location) -> str:
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            shown_key = key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else shown(key)
            text += f".{shown_key}" if text else shown_key
    return text


def _table_at(document: type[BaseModel], location: Location) -> list[type[BaseModel]]:
    """The tables that may stand at `location`: one, or several before their kind is known."""
    tables = [document]
    for part in location:
        if isinstance(part, int):
            continue
        if len(tables) == 1 and part in tables[0].model_fields:
            tables = _tables_in(tables[0].model_fields[part].rebuild_annotation())
        else:
            tables = [table for table in tables if _kind(table) == part] or tables
    return tables


def _tables_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for argument in get_args(annotation) for table in _tables_in(argument)]


def _kind(table: type[BaseModel]) -> object:
    return table.model_fields["kind"].default if "kind" in table.model_fields else None
