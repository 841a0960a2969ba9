"""Traces that a stranger made: changed as they please, and whole in the eyes of the file's own checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from simcore.trace import CHECK_BEGINS, CHECK_DIGITS, CHECK_ENDS, encode_line

Line = dict[str, Any]


def forge(source: Path, target: Path, change: Callable[[Line], None]) -> Path:
    """Write `source` again with `change` made to each line; checks, counts and digests are made to fit."""
    lines = [msgspec.json.decode(line) for line in source.read_bytes().splitlines()]
    trace_hash, lines_hash, written = hashlib.sha256(), hashlib.sha256(), []
    for line in lines:
        del line["check"]
        change(line)
        name = line.pop("record")
        if name == "trailer":
            line["trace_digest"] = trace_hash.hexdigest()
        encoded = encode_line(name, line)
        if name not in ("header", "event", "trailer"):
            trace_hash.update(encoded + b"\n")
        lines_hash.update(encoded + b"\n")
        check = lines_hash.hexdigest()[:CHECK_DIGITS].encode()
        written.append(encoded[:-1] + CHECK_BEGINS + check + CHECK_ENDS)
    target.write_bytes(b"".join(written))
    return target


def in_header(**changes: Any) -> Callable[[Line], None]:
    """Set what the header says was run; a name such as `scenario__model__file` leads down the tables."""

    def change(line: Line) -> None:
        if line["record"] != "header":
            return
        for name, value in changes.items():
            *tables, key = name.split("__")
            table = line["run"]
            for each in tables:
                table = table[each]
            table[key] = value

    return change
