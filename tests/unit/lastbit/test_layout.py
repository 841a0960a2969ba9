"""Lines of a report."""

from __future__ import annotations

from lastbit.layout import Layout


def test_a_label_as_wide_as_its_column_does_not_touch_the_text() -> None:
    assert Layout(None, label_width=10).row("a label of 20 letters", "text") == "  a label of 20 letters text"
    assert Layout(None, label_width=10).row("label", "text") == "  label     text"
