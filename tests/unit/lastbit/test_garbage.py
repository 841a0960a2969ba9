"""Python's garbage collector is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from lastbit.garbage import RARELY, collected_rarely


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_garbage_is_looked_for_rarely_within_and_as_before_afterwards() -> None:
    gc.set_threshold(700, 11, 12)
    with collected_rarely():
        assert gc.get_threshold() == (RARELY, 11, 12)
    assert gc.get_threshold() == (700, 11, 12)


def test_an_error_within_changes_nothing_about_that() -> None:
    gc.set_threshold(700, 11, 12)
    with pytest.raises(ZeroDivisionError), collected_rarely():
        raise ZeroDivisionError
    assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.parametrize("threshold", [0, RARELY + 1])
def test_who_has_it_looked_for_more_rarely_still_or_never_keeps_that(threshold: int) -> None:
    gc.set_threshold(threshold, 11, 12)
    with collected_rarely():
        assert gc.get_threshold() == (threshold, 11, 12)
