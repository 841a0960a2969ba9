"""Which setting makes two replicas answer differently, found by changing one at a time.

One replica is run with one setting of the other in the place of its own. If it then gives the other's bits, that
setting alone explains the difference. The order of summation that a replica draws is a setting of its own: replicas
of equal profile differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import combinations, islice

from lastbit.explaining.findings import Cause, SettingChange
from replicas.engine import EngineError, EnginePool
from replicas.forms import Top1Form
from replicas.model import Model
from replicas.profile import NumericProfile, ProfileError, Summation
from replicas.replica import Replica
from replicas.summation import summation_to_plain
from replicas.workload import workload_of

ORDER = "order of summation"
TRIALS_MAX = 64
"""Of combinations; each makes a session."""


class Causes:
    """Finds causes for pairs of replicas of one model; what was run once is not run again.

    Args:
        model: what they run.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pool = EnginePool()

    def of(self, one: Replica, other: Replica, request: int, attempt: int) -> Cause:
        """Why two replicas compute different answers to a request."""
        trials = _Trials(self._model, self._pool, request, attempt)
        changes = _changes(one, other, attempt)
        back = [SettingChange(name=each.name, one=each.other, other=each.one) for each in changes]
        ways = ((one, other, changes), (other, one, back))
        for start, goal, way in ways:
            alone = tuple(each for each in way if trials.gives([each], start, goal))
            if alone:
                return _alone(alone, start, goal, trials.refused)
        for start, goal, way in ways:
            for some in islice(_several(way), TRIALS_MAX):
                if trials.gives(some, start, goal):
                    return _together(some, start, goal, trials.refused)
        said = "no setting of the one gives the other's bits"
        return Cause(kind="unknown", said=said, refused=tuple(trials.refused))


class _Trials:
    """Runs of one request under settings put together from two replicas."""

    def __init__(self, model: Model, pool: EnginePool, request: int, attempt: int) -> None:
        self._model = model
        self._pool = pool
        self._request = request
        self._attempt = attempt
        self.refused: list[str] = []

    def gives(self, changes: Sequence[SettingChange], start: Replica, goal: Replica) -> bool:
        """Whether the first replica, with these settings of the second, gives the second's bits."""
        names = {each.name for each in changes}
        own = {name: getattr(goal.profile, name) for name in names - {ORDER}}
        try:
            profile = replace(start.profile, **own)
            engine = self._pool.engine(self._model, profile)
            draws = goal if names & {ORDER, "summation"} else start  # an order is drawn by the id
            workload = workload_of(profile, self._model)
            changed = replace(start, id=draws.id, profile=profile, engine=engine, workload=workload)
            return self._bits(changed) == self._bits(goal)
        except (EngineError, ProfileError) as error:
            self.refused.append(f"{', '.join(map(str, changes))}: {error}")
            return False

    def _bits(self, replica: Replica) -> bytes:
        answer = replica.answer(self._request, self._attempt)
        return answer.bits if isinstance(replica.form, Top1Form) else answer.vote  # a label is too little to go by


def _changes(one: Replica, other: Replica, attempt: int) -> list[SettingChange]:
    """The settings in which two replicas differ."""
    changes = [
        SettingChange(
            name=each.name, one=_shown(getattr(one.profile, each.name)), other=_shown(getattr(other.profile, each.name))
        )
        for each in fields(NumericProfile)
        if getattr(one.profile, each.name) != getattr(other.profile, each.name)
    ]
    summation = one.profile.summation_in_use
    if summation == other.profile.summation_in_use and summation.reads_order:
        how = f"drawn in attempt {attempt} by" if summation.is_drawn else "fixed for"
        changes.append(
            SettingChange(name=ORDER, one=f"{how} replica {one.id}", other=f"{how} replica {other.id}"),
        )
    return changes


def _several(changes: Sequence[SettingChange]) -> Iterator[Sequence[SettingChange]]:
    """All of them first would say too much: the fewest that do it are looked for."""
    for count in range(2, len(changes) + 1):
        yield from combinations(changes, count)


def _alone(alone: tuple[SettingChange, ...], start: Replica, goal: Replica, refused: Sequence[str]) -> Cause:
    if [each.name for each in alone] == [ORDER]:
        return _order(alone, start, goal, refused)
    which = " and ".join(map(str, alone))
    verb = "alone explains it: with it" if len(alone) == 1 else "each explain it alone: with either"
    said = f"{which} {verb} replica {start.id} gives replica {goal.id}'s bits"
    return Cause(kind="setting", said=said, settings=alone, refused=tuple(refused))


def _order(alone: tuple[SettingChange, ...], start: Replica, goal: Replica, refused: Sequence[str]) -> Cause:
    summation = start.profile.summation
    assert summation.reads_order, "there was an order to change"
    how = "draws one for each run" if summation.is_drawn else "has one of its own"
    profiles = "their profiles are equal, and" if start.profile == goal.profile else "whatever else differs,"
    said = (
        f"the order of summation alone explains it: {profiles} each replica {how}; with replica {goal.id}'s, "
        f"replica {start.id} gives its bits"
    )
    return Cause(kind="order", said=said, settings=alone, refused=tuple(refused))


def _together(some: Sequence[SettingChange], start: Replica, goal: Replica, refused: Sequence[str]) -> Cause:
    said = (
        f"only together: {', '.join(map(str, some))}; with them replica {start.id} gives replica {goal.id}'s bits, "
        "with none of them alone"
    )
    return Cause(kind="together", said=said, settings=tuple(some), refused=tuple(refused))


def _shown(value: object) -> str:
    if isinstance(value, Summation):
        plain = summation_to_plain(value)
        return plain if isinstance(plain, str) else " ".join([str(plain.pop("kind")), *_settings(plain)])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(plain: Mapping[str, object]) -> Iterator[str]:
    return (f"{key}={_shown(value)}" for key, value in plain.items())
