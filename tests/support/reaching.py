"""Stories that are drawn until each branch of what may come of them has been reached.

What Hypothesis draws from a seed depends also on the constants in all code of ours that is loaded: a branch that some
few stories in hundreds come to may be missed after any change. Then more are drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import TypeVar

import pytest
from hypothesis import event, given, seed, settings
from hypothesis import strategies as st

SEEDS_MAX = 5

StoryT = TypeVar("StoryT")


def assert_all_reached(
    title: str,
    branches: Collection[str],
    stories: st.SearchStrategy[StoryT],
    judge: Callable[[StoryT], str],
    capsys: pytest.CaptureFixture[str],
    *,
    stories_max: int,
) -> None:
    """Judge so many stories of each seed, of as many as are needed; `judge` names the branch, or raises."""
    reached: Counter[str] = Counter()

    @settings(deadline=None, max_examples=stories_max, database=None)
    @given(stories)
    def every_story(story: StoryT) -> None:
        branch = judge(story)
        event(branch)
        reached[branch] += 1

    for number in range(SEEDS_MAX):
        seed(number)(every_story)()
        if all(reached[branch] for branch in branches):
            break
    with capsys.disabled():
        print(f"\n{title}:", ", ".join(f"{branch} {count}" for branch, count in sorted(reached.items())))
    assert all(reached[branch] for branch in branches), f"a branch was never reached: {reached}"
