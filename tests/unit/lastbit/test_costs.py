"""What agreement costs, in real runs, against the closed forms of the papers: written out here once more."""

from __future__ import annotations

import pytest

from lastbit.costing import Costs, Figure, measure
from lastbit.costing.closed_forms import CLOSED_FORMS
from lastbit.costing.measuring import INTERVAL
from lastbit.costing.report import render
from lastbit.protocols import PROTOCOLS

SIZES = (4, 16, 64)


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, int], Costs]:
    return {(name, n): measure(name, n) for name in PROTOCOLS for n in SIZES}


def test_every_protocol_has_a_closed_form() -> None:
    assert CLOSED_FORMS.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("n", SIZES)
def test_pbft_as_in_the_literature_sends_2n_n_minus_1_messages(measured: dict[tuple[str, int], Costs], n: int) -> None:
    costs = measured["pbft-classic", n].messages
    assert costs.kinds == {"pre-prepare": n - 1, "prepare": (n - 1) ** 2, "commit": n * (n - 1)}
    assert costs.agreement.measured == 2 * n * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_where_votes_name_outputs_the_leader_prepares_too(measured: dict[tuple[str, int], Costs], n: int) -> None:
    costs = measured["pbft", n].messages
    assert costs.kinds == {"pre-prepare": n - 1, "prepare": n * (n - 1), "commit": n * (n - 1)}
    assert costs.agreement.measured == (n - 1) + 2 * n * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_tendermint_on_a_full_mesh_votes_twice(measured: dict[tuple[str, int], Costs], n: int) -> None:
    costs = measured["tendermint", n].messages
    assert costs.kinds == {"proposal": n - 1, "prevote": n * (n - 1), "precommit": n * (n - 1)}
    assert costs.all_amortised.measured == costs.agreement.measured == (n - 1) + 2 * n * (n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_icp_combines_certificates_and_certifies_outputs_beside_agreement(
    measured: dict[tuple[str, int], Costs], n: int
) -> None:
    costs = measured["icp", n].messages
    everybody = n * (n - 1)
    assert costs.kinds == {
        "proposal": n - 1,
        "notarization-share": everybody,
        "finalization-share": everybody,
        "notarization": everybody,
        "finalization": everybody,
        "certification-share": everybody,
    }
    assert costs.agreement.measured == (n - 1) + 2 * everybody
    assert (costs.certificates.measured, costs.output_votes.measured) == (2 * everybody, everybody)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_checkpoints_are_told_apart_and_amortised(
    measured: dict[tuple[str, int], Costs], protocol: str, n: int
) -> None:
    costs = measured[protocol, n].messages
    assert costs.checkpoint_votes.measured == (0 if protocol == "tendermint" else n * (n - 1))
    each_block = costs.agreement.measured + costs.certificates.measured + costs.output_votes.measured
    assert costs.all_amortised.measured == each_block + costs.checkpoint_votes.measured / INTERVAL
    assert costs.other.measured == 0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("protocol", "decided", "next_block", "certified"),
    [("pbft", 3, 3, (3, 3)), ("pbft-classic", 3, 3, (4, 13)), ("tendermint", 3, 3, (6, 6)), ("icp", 3, 2, (4, 4))],
)
def test_blocks_take_so_many_message_delays(
    measured: dict[tuple[str, int], Costs],
    protocol: str,
    decided: int,
    next_block: int,
    certified: tuple[int, int],
    n: int,
) -> None:
    delays = measured[protocol, n].delays
    assert (delays.decided.measured, delays.next_block.measured) == (decided, next_block)
    assert (delays.certified_first.measured, delays.certified_last.measured) == certified


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("protocol", "waits"), [("pbft", 1), ("pbft-classic", 0), ("tendermint", 1), ("icp", 0)])
def test_a_replica_executes_a_block_once_and_who_orders_first_does_not_wait_for_it(
    measured: dict[tuple[str, int], Costs], protocol: str, waits: int, n: int
) -> None:
    computing = measured[protocol, n].computing
    assert computing.executions.measured == 1
    assert computing.before_decision.measured == waits
    assert computing.block_ns == measured["pbft", 4].computing.block_ns > 0


def test_every_figure_is_that_of_its_closed_form(measured: dict[tuple[str, int], Costs]) -> None:
    assert [key for key, costs in measured.items() if not costs.agrees] == []
    assert "every figure is that of its closed form" in render(list(measured.values()))


def test_among_three_the_closed_form_does_not_hold_and_that_is_marked() -> None:
    costs = measure("pbft", 3)
    assert costs.delays.decided == Figure(measured=2, closed_form=3)
    report = render([costs])
    assert "2 ≠ 3" in report
    assert "1 row has figures other than their closed form" in report
