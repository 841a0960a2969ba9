"""`lastbit costs` as a user types it."""

from __future__ import annotations

import json

import pytest
from support.commands import Typed


def test_a_row_for_each_number_of_replicas(typed: Typed) -> None:
    code, out, err = typed("costs", "--replicas", "4,5", "--protocol", "pbft-classic")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.startswith("  pbft-classic")]
    assert [row[:2] for row in rows[:4]] == [["pbft-classic", n] for n in ("4", "5", "4", "5")]
    assert rows[1][5:7] == ["40", "40"]
    assert out.endswith("every figure is that of its closed form\n")


def test_json_holds_what_was_measured_beside_the_closed_form(typed: Typed) -> None:
    code, out, _ = typed("costs", "--replicas", "4", "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["format"] == "lastbit.costs/1"
    found = {each["protocol"]: each for each in printed["costs"]}
    assert list(found) == ["pbft", "pbft-classic", "tendermint", "icp"]
    assert found["icp"]["delays"]["next_block"] == {"measured": 2, "closed_form": 2}


@pytest.mark.parametrize("numbers", ["0", "1", "4,x", "1001", "", "-4", "4.0"])
def test_what_is_no_number_of_replicas_is_refused(typed: Typed, numbers: str) -> None:
    code, out, err = typed("costs", f"--replicas={numbers}")
    assert (code, out) == (2, "")
    assert "is not a number of replicas; from 2 to 1000" in err


def test_an_unknown_protocol_is_refused_with_the_one_that_was_meant(typed: Typed) -> None:
    code, out, err = typed("costs", "--protocol", "tendermin")
    assert (code, out) == (2, "")
    assert 'did you mean "tendermint"?' in err
