"""The running digest covers each event and their order, whenever it is hashed."""

from __future__ import annotations

import hashlib

import pytest

from simcore import running_digest
from simcore.running_digest import EXECUTION, TIMER, RunningDigest, content_of

HERE = {"replica": 1, "kind": TIMER, "content": content_of(b"a")}


def of(*events: tuple[int, dict[str, object]]) -> str:
    digest = RunningDigest()
    for time_ns, fields in events:
        digest.record(time_ns, **fields)  # type: ignore[arg-type]
    return digest.hexdigest()


@pytest.mark.parametrize(
    "other", [{"replica": 2}, {"kind": EXECUTION}, {"content": content_of(b"b")}], ids=lambda other: next(iter(other))
)
def test_every_field_of_an_event_counts(other: dict[str, object]) -> None:
    assert of((5, HERE)) != of((5, HERE | other))
    assert of((5, HERE)) != of((6, HERE))


def test_two_orders_of_the_same_events_differ() -> None:
    other = HERE | {"replica": 2}
    assert of((5, HERE), (5, other)) != of((5, other), (5, HERE))


def test_the_digest_is_that_of_the_records_put_together_as_documented() -> None:
    record = (5).to_bytes(8, "little") + TIMER.to_bytes(2, "little") + content_of(b"a") + (1).to_bytes(8, "little")
    assert of((5, HERE)) == hashlib.sha256(record).hexdigest()


def test_when_it_is_hashed_changes_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [(time_ns, HERE) for time_ns in range(10)]
    at_once = of(*events)
    monkeypatch.setattr(running_digest, "GATHERED_MAX", 3)
    stretches: list[int] = []
    digest = RunningDigest(lambda records: stretches.append(len(records)))
    for time_ns, fields in events:
        digest.record(time_ns, **fields)  # type: ignore[arg-type]
    assert stretches == [102, 102, 102]
    assert digest.events == 10
    assert stretches == [102, 102, 102, 34]
    assert digest.hexdigest() == digest.hexdigest() == at_once
    assert digest.recorded == 10


def test_content_of_another_length_and_kinds_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="content of 3 bytes; it must be 16"):
        RunningDigest().record(0, replica=0, kind=0, content=b"abc")
    with pytest.raises(ValueError, match="kind 65536 is outside"):
        RunningDigest().record(0, replica=0, kind=65536, content=content_of(b""))
