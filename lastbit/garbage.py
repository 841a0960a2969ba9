"""Looking for garbage rarely while a run lasts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 50_000
"""Objects that may hold others, made since the last look."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Within: Python looks for cycles of garbage after 50,000 new objects, and not after 700.

    A run makes few cycles, and much that lives long and would be looked through in vain again and again. Who has set a
    higher threshold, or switched the looking off, keeps that.
    """
    threshold, *others = before = gc.get_threshold()
    if 0 < threshold < RARELY:
        gc.set_threshold(RARELY, *others)
    try:
        yield
    finally:
        gc.set_threshold(*before)
