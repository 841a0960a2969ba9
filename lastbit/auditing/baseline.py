"""What changed since an earlier audit: another runtime, another processor, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lastbit.auditing.findings import FORMAT, Audit, Changes, KnobFound, Profile
from lastbit.result import Environment


class BaselineError(ValueError):
    """A file that nothing can be compared with; one line that says why."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Those parts of an earlier audit's JSON that a later one is compared with; see `Audit` for each."""

    model_sha256: str
    inputs: str
    seed: int
    inputs_done: int
    profiles: tuple[Profile, ...]
    classes: dict[str, tuple[tuple[str, ...], ...]]
    knobs: tuple[KnobFound, ...]
    environment: Environment


class _Kind(msgspec.Struct, frozen=True):
    format: str


def read_baseline(path: Path) -> Baseline:
    """Read what `lastbit audit --json` wrote.

    Raises:
        BaselineError: it cannot be read, or is no audit, or one of another version of the format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        kind = msgspec.json.decode(content, type=_Kind).format
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: is no audit, as lastbit audit --json writes it: {error}") from error
    if kind != FORMAT:
        raise BaselineError(f'{path}: has the format "{kind}"; this version reads "{FORMAT}"')
    try:
        return msgspec.json.decode(content, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: is a damaged audit: {error}") from error


def with_changes(now: Audit, before: Baseline) -> Audit:
    """An audit that tells what is otherwise than in an earlier one, of the profiles and knobs that both tried."""
    tried_before = {each.name for each in before.profiles}
    common = [each.name for each in now.profiles if each.name in tried_before]
    changes = Changes(
        circumstances=tuple(_circumstances(before, now)),
        classes=tuple(_classes(before, now, common)),
        verdicts=tuple(_verdicts(before.knobs, now.knobs)),
        flips=tuple(_flips(before, now, common)),
    )
    return replace(now, changes=changes)


def _circumstances(before: Baseline, now: Audit) -> Iterator[str]:
    named = {
        "model (sha256)": (before.model_sha256, now.model_sha256),
        "inputs": (before.inputs, now.inputs),
        "seed": (str(before.seed), str(now.seed)),
        "inputs tried": (f"{before.inputs_done:,}", f"{now.inputs_done:,}"),
        **_of_environment(before.environment, now.environment),
    }
    yield from (f"{name}: {old}, now {new}" for name, (old, new) in named.items() if old != new)
    tried_before, tried_now = ({each.name: None for each in audit.profiles} for audit in (before, now))
    yield from (f"{name}: tried in the baseline alone" for name in tried_before if name not in tried_now)
    yield from (f"{name}: not tried in the baseline" for name in tried_now if name not in tried_before)


def _of_environment(before: Environment, now: Environment) -> dict[str, tuple[str, str]]:
    packages = dict.fromkeys([*before.versions, *now.versions])
    return {
        **{name: (before.versions.get(name, "none"), now.versions.get(name, "none")) for name in packages},
        "processor": (before.processor, now.processor),
        "processor features": (_listed(before.processor_features), _listed(now.processor_features)),
    }


def _classes(before: Baseline, now: Audit, common: list[str]) -> Iterator[str]:
    for form in now.classes:
        if form not in before.classes:
            continue
        old, new = (_firsts(audit.classes[form], common) for audit in (before, now))
        for name in common:
            if old.get(name) != new.get(name):
                yield f"{name}: by {form} {_placed(name, old)}, now {_placed(name, new)}"


def _firsts(classes: Iterable[tuple[str, ...]], common: list[str]) -> dict[str, str]:
    """The first of each profile's class, in one order for both audits: equal if and only if the classes are."""
    kept = [[name for name in common if name in names] for names in classes]
    return {name: names[0] for names in kept for name in names}


def _placed(name: str, firsts: Mapping[str, str]) -> str:
    if name not in firsts:
        return "of no class"
    return "first of its class" if firsts[name] == name else f"in the class of {firsts[name]}"


def _verdicts(before: Iterable[KnobFound], now: Iterable[KnobFound]) -> Iterator[str]:
    old = {(each.knob, each.base): each.verdict for each in before}
    for each in now:
        was = old.get((each.knob, each.base), each.verdict)
        if was != each.verdict:
            yield f"{each.knob} from {each.base}: {was}, now {each.verdict}"


def _flips(before: Baseline, now: Audit, common: list[str]) -> Iterator[str]:
    old = {each.name: each.flips for each in before.profiles}
    for each in now.profiles:
        was = old.get(each.name) if each.name in common else None
        if was is not None and each.flips is not None and was.estimate != each.flips.estimate:
            told = f"{was.failures:,} of {was.trials:,}, now {each.flips.failures:,} of {each.flips.trials:,}"
            yield f"{each.name}: flips on {told}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
