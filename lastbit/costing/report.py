"""What agreement costs, as tables for a terminal: a row for each protocol and number of replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastbit.costing.closed_forms import CLOSED_FORMS
from lastbit.costing.figures import Amount, Costs, Figure
from lastbit.costing.measuring import INTERVAL

GAP = " " * 3


def render(costs: Sequence[Costs]) -> str:
    """The tables, what their closed forms are, and whether all agree."""
    lines = [
        "What agreement on a block costs, as measured: equal replicas, nothing goes wrong, one block at a time, a",
        f"checkpoint every {INTERVAL} blocks",
        "",
        "copies of messages for one block",
        "",
        *_table(_MESSAGES, [_messages(each) for each in costs]),
        "",
        "message delays from the proposal of a block, and computing",
        "",
        *_table(_TIMES, [_times(each) for each in costs]),
        "",
        *_closed_forms(costs),
        "",
        _verdict(costs),
    ]
    return "\n".join(lines)


_MESSAGES = (
    "proposal",
    "first votes",
    "second votes",
    "agreement",
    "closed form",
    "certificates",
    "output votes",
    "checkpoint",
    "all, amortised",
)
_TIMES = ("decided", "next block", "output certified", "executions", "before deciding", "computing")


def _messages(costs: Costs) -> list[str]:
    found = costs.messages
    steps = (found.proposal, found.first_votes, found.second_votes, found.agreement)
    beside = (found.certificates, found.output_votes, found.checkpoint_votes, found.all_amortised)
    return [*_head(costs), *map(_cell, steps), _shown(found.agreement.closed_form), *map(_cell, beside)]


def _times(costs: Costs) -> list[str]:
    delays, computing = costs.delays, costs.computing
    certified = _cell(delays.certified_first)
    if delays.certified_first != delays.certified_last:
        certified += f" to {_cell(delays.certified_last)}"
    return [
        *_head(costs),
        _cell(delays.decided),
        _cell(delays.next_block),
        certified,
        _cell(computing.executions),
        _cell(computing.before_decision),
        f"{computing.block_ns / 1e3:,.2f} µs",
    ]


def _head(costs: Costs) -> tuple[str, str]:
    return costs.protocol, f"{costs.n:,}"


def _cell(figure: Figure) -> str:
    return _shown(figure.measured) + ("" if figure.agrees else f" ≠ {_shown(figure.closed_form)}")


def _shown(amount: Amount) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:,.2f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Names to the left, figures to the right."""
    lines = [("protocol", "n", *headings), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells in lines:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield f"  {name.ljust(widths[0])}{GAP}{GAP.join(right)}"


def _closed_forms(costs: Sequence[Costs]) -> Iterator[str]:
    names = list(dict.fromkeys(each.protocol for each in costs))
    width, formula_width = max(map(len, names)), max(len(CLOSED_FORMS[name].agreement) for name in names)
    for name in names:
        form = CLOSED_FORMS[name]
        yield f"  {name:<{width}}{GAP}{form.agreement:<{formula_width}}{GAP}{form.source}"


def _verdict(costs: Sequence[Costs]) -> str:
    others = sum(each.messages.other.measured for each in costs)
    strays = f"; {_shown(others)} copies of other kinds, where none should be" if others else ""
    differing = sum(not each.agrees for each in costs)
    if not differing:
        return "every figure is that of its closed form"
    rows = "1 row has" if differing == 1 else f"{differing} rows have"
    return f"{rows} figures other than their closed form, which is after ≠{strays}"
