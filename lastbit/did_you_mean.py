"""The end of a message about an unknown name: what it probably should have been, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NAMES_LISTED_MAX = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which of the known names is close to `name`, or else which names there are.

    Example:
        >>> did_you_mean("protocl", ["protocol", "policy"])
        'did you mean "protocol"?'
        >>> did_you_mean("x", ["seed", "blocks"])
        'known: blocks, seed'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1) or [each for each in names if each.lower() == name.lower()]
    if close:
        return f'did you mean "{close[0]}"?'
    if not names:
        return "there is none"
    more = f" and {len(names) - NAMES_LISTED_MAX} more" if len(names) > NAMES_LISTED_MAX else ""
    return f"known: {', '.join(names[:NAMES_LISTED_MAX])}{more}"
