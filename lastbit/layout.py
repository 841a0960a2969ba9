"""Lines of a report within a width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

EVIDENCE = " " * 6
"""What stands before a line of evidence."""

_NARROW = 60


class Layout:
    """Lines within a width, continued under their own text."""

    def __init__(self, width: int | None, *, label_width: int = 21) -> None:
        self._width = None if width is None else max(width, 20)
        self._label_width = label_width

    def line(self, first: str, text: str, *, indent: int | None = None) -> str:
        """`text` after `first`, later lines indented as far."""
        text = _printable(text)
        if self._width is None:
            return first + text
        indent = len(first) if indent is None else indent
        return textwrap.fill(
            text, self._width, initial_indent=first, subsequent_indent=" " * min(indent, self._width // 2)
        )

    def hanging(self, label: str, text: str, *, gap: int) -> str:
        """A label, then text; on a narrow terminal the text goes below the label."""
        label = _printable(label)
        if self._width is not None and self._width < _NARROW:
            return f"{label}\n{self.line('    ', text)}"
        return self.line(label + " " * gap, text)

    def row(self, label: str, text: str) -> str:
        """A line of the table of figures."""
        if self._width is not None and self._width < _NARROW:
            return f"  {label}\n{self.line('    ', text)}"
        return self.line(f"  {label:<{self._label_width - 1}} ", text)

    def columns(self, cells: Sequence[str]) -> Iterator[str]:
        """Cells side by side, as many as fit."""
        if not cells:
            return
        cell_width = max(map(len, cells)) + 3
        per_line = max(1, ((self._width or 110) - len(EVIDENCE)) // cell_width)
        for start in range(0, len(cells), per_line):
            yield EVIDENCE + "".join(f"{cell:<{cell_width}}" for cell in cells[start : start + per_line]).rstrip()


def _printable(text: str) -> str:
    """Names come from models and scenarios of strangers: nothing of them may steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
