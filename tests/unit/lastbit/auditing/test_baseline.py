"""Does an audit tell what changed since an earlier one, and nothing else?"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

import lastbit
from lastbit.auditing import Audit
from lastbit.auditing.baseline import BaselineError, read_baseline, with_changes
from lastbit.auditing.findings import Changes
from lastbit.intervals import binomial_rate
from replicas.library import named_profiles

NOTHING = Changes(circumstances=(), classes=(), verdicts=(), flips=())


@cache
def found() -> Audit:
    profiles = {name: named_profiles()[name] for name in ("ref", "threads4", "noprepack")}
    return lastbit.audit("digits-mlp", profiles=profiles, samples=3)


def changes(before: Audit, now: Audit, folder: Path) -> Changes:
    path = folder / "before.json"
    path.write_text(before.to_json(), encoding="utf-8")
    compared = with_changes(now, read_baseline(path)).changes
    assert compared is not None
    return compared


def test_an_audit_against_itself_has_no_changes(tmp_path: Path) -> None:
    assert changes(found(), found(), tmp_path) == NOTHING
    assert not NOTHING.fails


def test_other_versions_and_another_processor_are_told_and_fail_nothing(tmp_path: Path) -> None:
    there = found().environment
    before = replace(
        found(), environment=replace(there, versions={**there.versions, "onnxruntime": "1.0"}, processor="riscv")
    )
    told = changes(before, found(), tmp_path)
    now = there.versions["onnxruntime"]
    assert told.circumstances == (f"onnxruntime: 1.0, now {now}", f"processor: riscv, now {there.processor}")
    assert not told.fails


def test_only_the_profile_that_left_its_class_has_changed_class(tmp_path: Path) -> None:
    before = replace(found(), classes={**found().classes, "bytes": (("ref", "threads4", "noprepack"),)})
    told = changes(before, found(), tmp_path)
    assert told.classes == ("noprepack: by bytes in the class of ref, now first of its class",)
    assert told.fails


def test_the_order_in_which_profiles_were_tried_is_no_change(tmp_path: Path) -> None:
    classes = {**found().classes, "bytes": (("noprepack",), ("threads4", "ref"))}
    before = replace(found(), classes=classes, profiles=found().profiles[::-1])
    assert changes(before, found(), tmp_path) == NOTHING


def test_a_profile_that_belongs_to_no_class_any_more_has_changed(tmp_path: Path) -> None:
    now = replace(found(), classes={**found().classes, "bytes": (("ref", "threads4"),)})
    told = changes(found(), now, tmp_path)
    assert told.classes == ("noprepack: by bytes first of its class, now of no class",)


def test_a_profile_that_one_alone_tried_is_a_circumstance(tmp_path: Path) -> None:
    fewer = replace(found(), profiles=found().profiles[:2], classes={"bytes": (("ref", "threads4"),)})
    assert changes(found(), fewer, tmp_path).circumstances == ("noprepack: tried in the baseline alone",)
    assert changes(fewer, found(), tmp_path).circumstances == ("noprepack: not tried in the baseline",)
    assert not changes(fewer, found(), tmp_path).fails


def test_a_knob_with_another_verdict_is_told(tmp_path: Path) -> None:
    knob = found().knobs[0]
    before = replace(found(), knobs=(replace(knob, verdict="live"), *found().knobs[1:]))
    told = changes(before, found(), tmp_path)
    assert told.verdicts == (f"{knob.knob} from {knob.base}: live, now inert",)
    assert told.fails


def test_more_flips_are_told_and_fail_nothing(tmp_path: Path) -> None:
    *others, last = found().profiles
    now = replace(found(), profiles=(*others, replace(last, flips=binomial_rate(2, 3))))
    told = changes(found(), now, tmp_path)
    assert told == replace(NOTHING, flips=("noprepack: flips on 0 of 3, now 2 of 3",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no audit"),
        (b"\xff\xfe", "is no audit"),
        (b"[1]", "is no audit"),
        (b'{"versions": 1}', "is no audit"),
        (b'{"format": "lastbit.audit/99"}', 'has the format "lastbit.audit/99"; this version reads "lastbit.audit/1"'),
        (b'{"format": "lastbit.audit/1", "seed": "x"}', "is a damaged audit"),
    ],
)
def test_what_is_no_audit_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_bytes(content)
    with pytest.raises(BaselineError) as refusal:
        read_baseline(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_half_an_audit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(found().to_json()[:2000], encoding="utf-8")
    with pytest.raises(BaselineError):
        read_baseline(path)
