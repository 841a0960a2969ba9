"""Numbers, times and replicas as people read them."""

from __future__ import annotations

from collections.abc import Sequence

_NS_PER_S = 1_000_000_000


def duration(ns: int) -> str:
    """A stretch of simulated time.

    Example:
        >>> [duration(ns) for ns in (830, 214_000_000, 4_320_000_000, 1_623 * 10**9, 3 * 3600 * 10**9)]
        ['830 ns', '214 ms', '4.32 s', '27 min 03 s', '3 h 00 min']
    """
    for unit_ns, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if ns < 1_000 * unit_ns:
            return f"{ns / unit_ns:.3g} {unit}" if ns < 999.5 * unit_ns else f"{ns // unit_ns} {unit}"
    if ns < 59_995_000_000:
        return f"{ns / _NS_PER_S:.3g} s"
    minutes, seconds = divmod(round(ns / _NS_PER_S), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def probability(value: float) -> str:
    """A probability with two significant digits, a small one as a power of ten.

    Example:
        >>> [probability(value) for value in (0.0, 1e-4, 4.547e-4, 0.0375, 0.9965, 1.0)]
        ['0', '1.0e-4', '4.5e-4', '0.037', '0.9965', '1']
    """
    if 0.99 < value < 1:
        return f"{value:.4f}"  # two digits would make a certainty of it
    if value == 0 or value >= 0.01:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def counted(count: int, noun: str) -> str:
    """A number and what is counted.

    Example:
        >>> counted(1, "height"), counted(8_112, "height")
        ('1 height', '8,112 heights')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def replicas(ids: Sequence[int]) -> str:
    """Some replicas, runs of three and more drawn together.

    Example:
        >>> replicas([2]), replicas([0, 1, 2, 5])
        ('replica 2', 'replicas 0 to 2, 5')
    """
    runs: list[list[int]] = []
    for replica in sorted(ids):
        if runs and replica == runs[-1][-1] + 1:
            runs[-1].append(replica)
        else:
            runs.append([replica])
    parts = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(replica) for replica in run]
    return f"replica{'' if len(ids) == 1 else 's'} {', '.join(parts)}"


def digest(hexadecimal: str, digits: int = 6) -> str:
    """The first digits of a digest, enough to tell those of one ballot apart by eye.

    Example:
        >>> digest("a41f07c2")
        'a41f07…'
    """
    return f"{hexadecimal[:digits]}…"
