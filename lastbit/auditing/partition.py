"""Classes of profiles: those whose answers were equal on every input so far."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Split:
    """A class fell apart: `parent` stays the first name of one part, `child` is the first of another."""

    parent: str
    child: str


class Partition:
    """Names in classes, and these by their first names, in the order in which they were given.

    Classes only ever fall apart.

    Example:
        >>> partition = Partition(["ref", "threads4", "noprepack"])
        >>> partition.refine({"ref": b"a", "threads4": b"a", "noprepack": b"b"})
        (Split(parent='ref', child='noprepack'),)
        >>> partition.classes
        (('ref', 'threads4'), ('noprepack',))
    """

    def __init__(self, names: Iterable[str]) -> None:
        whole = tuple(names)
        self.classes: tuple[tuple[str, ...], ...] = (whole,) if whole else ()
        self._places = {name: place for place, name in enumerate(whole)}

    def refine(self, answers: Mapping[str, Hashable]) -> tuple[Split, ...]:
        """Take the answers to one more input; returns what fell apart by it."""
        refined: list[tuple[str, ...]] = []
        splits: list[Split] = []
        for names in self.classes:
            parts: dict[Hashable, list[str]] = {}
            for name in names:
                parts.setdefault(answers[name], []).append(name)
            refined += map(tuple, parts.values())
            splits += (Split(names[0], part[0]) for part in list(parts.values())[1:])
        if splits:
            self.classes = tuple(sorted(refined, key=lambda names: self._places[names[0]]))
        return tuple(splits)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, class by class."""
        return tuple(name for names in self.classes for name in names)

    def drop(self, name: str) -> None:
        """Forget a name."""
        left = (tuple(each for each in names if each != name) for names in self.classes)
        self.classes = tuple(names for names in left if names)
