"""An explanation as a person reads it: who said what, then for every two answers the cause and where they part."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from lastbit import wording
from lastbit.explaining.findings import Explanation, PairExplained
from lastbit.layout import EVIDENCE, Layout

LABEL_WIDTH = 19


def render(found: Explanation, *, width: int | None = None) -> Text:
    """The report of an explanation.

    Args:
        found: what was found.
        width: columns to stay within; None: lines as long as they are, for files and pipes.

    Returns:
        Text with colour on the outcome alone; `str()` of it is the plain report.
    """
    layout = Layout(width, label_width=LABEL_WIDTH)
    text = Text()
    text.append(layout.hanging(found.scenario, _what_was_run(found), gap=3) + "\n\n")
    style = "bold green" if found.outcome == "same" else "bold yellow"
    text.append(layout.line("  ", _outcome(found)), style=style)
    text.append("\n" + "\n".join(_ballot(found, layout)) + "\n\n")
    for pair in found.pairs:
        text.append("\n".join(_pair(pair, layout)) + "\n\n")
    rest = list(_rest(found, layout))
    if rest:
        text.append("\n".join(rest) + "\n\n")
    text.right_crop(1)
    return text


def _what_was_run(found: Explanation) -> str:
    attempts = f", one of attempts {', '.join(map(str, found.attempts))}" if len(found.attempts) > 1 else ""
    parts = [
        f"height {found.height:,}, attempt {found.attempt:,}{attempts}",
        f"{found.model}, votes on {found.form}",
        f"seed {found.seed}",
    ]
    return " · ".join(parts)


def _outcome(found: Explanation) -> str:
    match found.outcome:
        case "same":
            return f"AGREED: {found.said}"
        case "split":
            return f"SPLIT: {found.said}"
        case "not-repeated":
            return f"NOT REPEATED: {found.said}"


def _ballot(found: Explanation, layout: Layout) -> Iterator[str]:
    cells = []
    for answer in found.ballot:
        weight = f", weight {answer.weight:,}" if answer.weight != len(answer.replicas) else ""
        cells.append(f"{wording.digest(answer.digest)}  {wording.replicas(answer.replicas)}{weight}")
    yield from layout.columns(cells)


def _pair(pair: PairExplained, layout: Layout) -> Iterator[str]:
    one, other = pair.replicas
    yield layout.line("  ", f"replica {one} against replica {other}")
    yield layout.row("cause", pair.cause.said)
    for refused in pair.cause.refused:
        yield layout.row("could not be tried", refused)
    yield layout.row("first difference", _difference(pair))
    if pair.origin is not None:
        yield layout.row("first node", pair.origin.said)


def _difference(pair: PairExplained) -> str:
    apart = "" if pair.steps is None else f", {wording.counted(pair.steps, 'step')} apart"
    values = " and ".join(pair.values)
    return f'request {pair.request:,}, output "{pair.output}", element {pair.element:,}: {values}{apart}'


def _rest(found: Explanation, layout: Layout) -> Iterator[str]:
    if found.drifted:
        states = "the state" if len(found.drifted) == 1 else "the states"
        yield layout.line("  ", f"{states} of {wording.replicas(found.drifted)} had differed before")
    if found.answers_lighter:
        yield layout.line("  ", f"{wording.counted(found.answers_lighter, 'lighter answer')} not compared")
    if found.answers_not_computed:
        answers = wording.counted(found.answers_not_computed, "answer")
        yield layout.line("  ", f"{answers} not compared: voted for by faulty replicas alone")
    for line in found.environment:
        yield layout.line(EVIDENCE, line.strip())
