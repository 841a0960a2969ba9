"""Where words go: data to stdout, remarks to stderr. A reader that stops reading (`| head`) ends nothing badly."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.text import Text


class OutputError(ValueError):
    """What was to be said could not be written."""


def say(text: str) -> None:
    """A remark, on stderr. It may quote a file of a stranger: nothing of that steers the terminal."""
    _write(sys.stderr, "".join(each if each.isprintable() or each == "\n" else "?" for each in text) + "\n")


def give(text: str) -> None:
    """Data, on stdout."""
    _write(sys.stdout, text + "\n")


def give_report(render: Callable[[int | None], Text]) -> None:
    """A report, on stdout: in colour and within the width of a terminal, plain and as wide as it likes otherwise."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, force_terminal=sys.stdout.isatty(), highlight=False)
    report = render(console.width if console.is_terminal else None)
    console.print(report, soft_wrap=True, end="")
    _write(sys.stdout, text.getvalue())


def write_whole(path: Path, text: str) -> None:
    """Write a file, or none: it grows as FILE.partial and gets its name when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain then: let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise OutputError(f"cannot write to {stream.name}: {error.strerror}") from error
    except UnicodeEncodeError:  # a terminal of another century
        stream.write(text.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii"))
        stream.flush()
