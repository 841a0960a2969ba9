"""The end of `audit` and `diff`: what was found is told, and becomes an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.cli.output import give, give_report, say

if TYPE_CHECKING:
    from lastbit.auditing.findings import Audit, Gate

EXIT_INTERRUPTED = 5
EXIT_GATE = 7


def tell(found: Audit, *, as_json: bool) -> None:
    """Give what was found, on stdout."""
    from lastbit.auditing.report import render

    if as_json:
        give(found.to_json())
    else:
        give_report(lambda width: render(found, width=width))


def exit_code(found: Audit, gate: Gate | None, *, quiet: bool) -> int:
    """What to end with; a word on stderr where it was cut."""
    if found.interrupted and not quiet:
        say("interrupted: the report covers what was done so far")
    if gate is not None and found.fails_on(gate):
        return EXIT_GATE
    return EXIT_INTERRUPTED if found.interrupted else 0
