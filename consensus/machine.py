"""What the replicas of all protocols share as state machines: effects gathered per input, and equality."""

from __future__ import annotations

from consensus.protocol import Effect, Effects


class Machine:
    """A replica that gathers what follows from one input in `_effects`, and hands it out at the end.

    Two are compared by all their state.
    """

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def _drain(self) -> Effects:
        if not self._effects:
            return ()
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Machine) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # a replica changes; it is compared, never a key
