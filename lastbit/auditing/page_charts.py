"""The two pictures on the page of an audit: how far each class lies from each, and how distances are spread."""

from __future__ import annotations

from math import log2

from lastbit.auditing.findings import Audit, Pair
from lastbit.auditing.markup import Markup, element, joined
from lastbit.auditing.report import distance_told, letter

_HOTTEST_POWER = 24
"""A difference of 2^24 spacings is as large as an fp32 value itself: nothing is hotter."""

_CLASSES_WIDE_MAX = 10
"""Of more classes the cells are small, or the matrix would not fit a page."""

_LEFT, _ROW, _BARS, _WIDTH = 170, 44, 480, 750
_TICKS_MAX = 14


def matrix(audit: Audit) -> Markup:
    """Class against class: above the diagonal the largest distance, below it the share of inputs changed."""
    firsts = [names[0] for names in audit.classes["bytes"]]
    places = {name: place for place, name in enumerate(firsts)}
    pairs = {frozenset((pair.one, pair.other)): pair for pair in audit.pairs}
    head = [element("th", ""), *(element("th", letter(place), scope="col") for place in places.values())]
    rows = [element("tr", *head)]
    for one, row in places.items():
        cells = [element("th", f"{letter(row)}  {one}", scope="row")]
        for other, column in places.items():
            cells.append(_cell(pairs.get(frozenset((one, other))), is_above=row < column))
        rows.append(element("tr", *cells))
    kind = "matrix" if len(firsts) <= _CLASSES_WIDE_MAX else "matrix dense"
    table = element("table", element("thead", rows[0]), element("tbody", *rows[1:]), class_=kind)
    return element("div", table, class_="wide")


def _cell(pair: Pair | None, *, is_above: bool) -> Markup:
    if pair is None:
        return element("td", "", class_="self")
    if is_above:
        heat, told = min(log2(1 + pair.scaled_ulp) / _HOTTEST_POWER, 1.0), compact(pair.scaled_ulp)
    else:
        heat = pair.changed.estimate or 0.0
        told = f"{100 * heat:.3g} %"
    kind = "far" if is_above else "share"
    return element(
        "td",
        told,
        class_=kind,
        style=f"--heat: {heat:.2f}",
        title=f"{pair.one} and {pair.other}: {distance_told(pair)}",
    )


def compact(value: float) -> str:
    """A distance in few characters.

    Example:
        >>> compact(0.125), compact(8.04), compact(131072.0), compact(2.5e7)
        ('0.12', '8', '131k', '2.5e7')
    """
    if value >= 1e6:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    if value >= 1e4:
        return f"{value / 1000:.0f}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def histograms(audit: Audit) -> Markup | None:
    """How many inputs lie how far from the first class, class by class; None where no distance has a size."""
    first = audit.classes["bytes"][0][0] if audit.classes["bytes"] else None
    shown = [(place, pair) for place, pair in enumerate(audit.pairs, start=1) if pair.one == first]
    shown = [(place, pair) for place, pair in shown if pair.inputs_by_power]
    if not shown:
        return None
    powers = [power for _, pair in shown for power in pair.inputs_by_power]
    low, high = min(powers), max(powers)
    # At least six columns, so that a lone power is a bar and no wall.
    step = _BARS / max(high - low + 1, 6)
    rows = [_row(pair, place, row, low, step) for row, (place, pair) in enumerate(shown)]
    bottom = _ROW * len(shown)
    chart = element(
        "svg",
        *rows,
        _axis(low, high, step, bottom),
        viewBox=f"0 0 {_WIDTH} {bottom + 44}",
        role="img",
        aria_label="inputs by their distance from the first class",
    )
    return element("div", chart, class_="wide")


def _row(pair: Pair, place: int, row: int, low: int, step: float) -> Markup:
    bottom, most = _ROW * (row + 1), max(pair.inputs_by_power.values())
    parts = [
        element("text", f"{letter(place)}  {_shortened(pair.other)}", x=0, y=bottom - 6),
        element("line", x1=_LEFT, x2=_LEFT + _BARS, y1=bottom, y2=bottom),
        element("text", f"tallest {most:,}", x=_LEFT + _BARS + 8, y=bottom - 6, class_="faint"),
    ]
    for power, inputs in pair.inputs_by_power.items():
        height = max((_ROW - 10) * inputs / most, 1)
        told = element("title", f"{inputs:,} inputs from {_power(power)} to {_power(power + 1)}")
        left = _LEFT + (power - low) * step
        parts.append(
            element(
                "rect",
                told,
                x=f"{left + 1:.1f}",
                y=f"{bottom - height:.1f}",
                width=f"{step - 2:.1f}",
                height=f"{height:.1f}",
            )
        )
    return joined(*parts)


def _axis(low: int, high: int, step: float, bottom: int) -> Markup:
    every = -(-(high + 2 - low) // _TICKS_MAX)
    ticks = [
        element(
            "text",
            _power(power),
            x=f"{_LEFT + (power - low) * step:.1f}",
            y=bottom + 16,
            text_anchor="middle",
            class_="faint",
        )
        for power in range(low, high + 2, every)
    ]
    middle = _LEFT + _BARS / 2
    name = element(
        "text",
        "largest distance on an input, in spacings",
        x=middle,
        y=bottom + 36,
        text_anchor="middle",
        class_="faint",
    )
    return joined(*ticks, name)


def _power(power: int) -> str:
    """2^k as a number where it is short.

    Example:
        >>> _power(-2), _power(3), _power(17)
        ('1/4', '8', '2¹⁷')
    """
    if 0 <= power < 11:
        return str(2**power)
    if -7 < power < 0:
        return f"1/{2**-power}"
    return "2" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
