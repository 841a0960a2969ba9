"""Does `docs/protocols.md` say what runs show?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.stories import told

from lastbit.protocols import PROTOCOLS
from lastbit.result import Result

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")


def rows(first_cell: str) -> list[list[str]]:
    """The cells of all rows of the page's tables that begin so."""
    lines = [line.strip().strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if line[0].strip().startswith(first_cell)]


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_the_table_of_what_a_protocol_bears_is_what_it_bears(name: str) -> None:
    kind = PROTOCOLS[name]
    borne = next(row for row in rows(f"`{name}`") if len(row) == 3)

    assert tuple(re.findall(r"`(\w+)`", borne[1])) == kind.policies
    assert tuple(re.findall(r"`(\w+)`", borne[2])) == kind.outvoted


@pytest.mark.parametrize("place", range(4))
def test_the_recorded_numbers_are_those_of_the_runs(place: int) -> None:
    name = ("pbft", "pbft-classic", "tendermint", "icp")[place]
    split, one, two = (told(f"{story}-{name}") for story in ("two-against-two", "one-drifts", "two-of-seven"))
    dissent = [row[place + 1] for row in rows("heights with dissent")]

    for story, result in (("two-against-two", split), ("one-drifts", one), ("two-of-seven", two)):
        assert rows(f"`{story}")[0][place + 1] == f"{result.heights.ordered}, {result.heights.certified}"
    assert rows("stalled at height")[0][place + 1] == str(split.stalls[-1].height)
    assert dissent == [str(one.heights.with_dissent), str(two.heights.with_dissent)]
    assert rows("what became of it")[0][place + 1] == _became(one)
    assert rows("rounds or views lost")[0][place + 1] == str(two.view_changes)


def _became(result: Result) -> str:
    if result.halted_themselves:
        return "halted"
    return "took the state over" if result.resyncs else "stays different"
