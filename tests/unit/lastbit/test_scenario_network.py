"""The tables about network and crashes: what they say, what the world takes of it, and every way to be wrong."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from support.scenarios import scenario

from lastbit.conditions import crashes_of, disturbances_of, partitions_of
from lastbit.scenario import Scenario, ScenarioError
from simcore.disturbances import BeforeGst, Delay, Disturbances, Reordering, Slow
from simcore.faults import Crash, Partition

MS = 1_000_000

ALL = """
[network]
loss = 0.01
duplication = 0.25
reordering = 0.5
reordering_ms = 2.5
gst_ms = 300
before_gst = { loss = 0.2, extra_ms = 40 }

[[network.partition]]
groups = [[1, 2]]
from_ms = 1
until_ms = 2
one_way = true
every_ms = 0.5

[[network.slow]]
replica = 3
factor = 1.5
from_ms = 10
until_ms = 20

[[network.slow]]
replica = 0
factor = 2

[[network.delay]]
ms = 7
from_ms = 10
until_ms = 20
senders = [0]
receivers = [1, 2]

[[network.delay]]
ms = 0.5

[[crash]]
replica = 2
from_ms = 5
until_ms = 6
memory = "lost"

[[crash]]
replica = 1
from_ms = 5
"""


def read(text: str) -> Scenario:
    return scenario(**tomllib.loads(text))


def faults_of(text: str) -> dict[str, str]:
    with pytest.raises(ScenarioError) as caught:
        read(text)
    return {fault.place: fault.message for fault in caught.value.faults}


def test_the_world_takes_what_the_tables_say() -> None:
    found = read(ALL)

    assert disturbances_of(found) == Disturbances(
        slow=(
            Slow(replica=3, factor=1.5, from_ns=10 * MS, until_ns=20 * MS),
            Slow(replica=0, factor=2.0, from_ns=0, until_ns=None),
        ),
        delays=(
            Delay(
                extra_ns=7 * MS,
                from_ns=10 * MS,
                until_ns=20 * MS,
                senders=frozenset({0}),
                receivers=frozenset({1, 2}),
            ),
            Delay(extra_ns=MS // 2),
        ),
        duplication=0.25,
        reordering=Reordering(probability=0.5, held_ns_max=2 * MS + MS // 2),
        before_gst=BeforeGst(gst_ns=300 * MS, loss=0.2, extra_ns_max=40 * MS),
    )
    assert crashes_of(found) == (
        Crash(replica=2, from_ns=5 * MS, until_ns=6 * MS, memory_is_lost=True),
        Crash(replica=1, from_ns=5 * MS, until_ns=None, memory_is_lost=False),
    )
    groups = (frozenset({1, 2}), frozenset({0, 3}))
    assert partitions_of(found) == (
        Partition(groups=groups, from_ns=MS, until_ns=2 * MS, one_way=True, every_ns=MS // 2),
    )


def test_a_network_of_which_nothing_is_said_has_no_faults() -> None:
    calm = scenario(network={"latency": {"kind": "uniform", "low_ms": 1, "high_ms": 2}})

    assert not disturbances_of(calm)
    assert not calm.network.has_faults
    assert read("[[crash]]\nreplica = 0\nfrom_ms = 1\n").crash[0].memory == "kept"


@pytest.mark.parametrize(
    "fault",
    [
        {"loss": 0.1},
        {"duplication": 0.1},
        {"reordering": 0.1},
        {"gst_ms": 5, "before_gst": {"loss": 0.1}},
        {"slow": [{"replica": 0, "factor": 2}]},
        {"delay": [{"ms": 1}]},
        {"partition": [{"groups": [[0]], "from_ms": 0, "until_ms": 1}]},
    ],
)
def test_each_of_them_is_a_fault_of_the_network(fault: dict[str, Any]) -> None:
    assert scenario(network=fault).network.has_faults


@pytest.mark.parametrize(
    ("latency", "held_ms"),
    [
        ({"kind": "constant", "ms": 3}, 3),
        ({"kind": "uniform", "low_ms": 1, "high_ms": 4}, 4),
        ({"kind": "matrix", "ms": [[0, 1, 2, 9]] * 4}, 9),
    ],
)
def test_left_out_a_message_is_held_back_for_up_to_a_slow_latency(latency: dict[str, Any], held_ms: int) -> None:
    found = disturbances_of(scenario(network={"latency": latency, "reordering": 0.5}))

    assert found.reordering == Reordering(probability=0.5, held_ns_max=held_ms * MS)


def test_all_of_it_is_json_and_reads_back_whole() -> None:
    resolved = read(ALL).resolved()
    again = Scenario.from_resolved(json.loads(json.dumps(resolved)))

    assert again.resolved() == resolved
    assert disturbances_of(again) == disturbances_of(read(ALL))
    assert (crashes_of(again), partitions_of(again)) == (crashes_of(read(ALL)), partitions_of(read(ALL)))


def test_the_schema_names_every_key() -> None:
    tables = Scenario.model_json_schema()["$defs"]

    assert {"duplication", "reordering", "reordering_ms", "gst_ms", "before_gst", "slow", "delay"} < set(
        tables["Network"]["properties"]
    )
    assert tables["Partition"]["properties"]["one_way"]["type"] == "boolean"
    assert tables["Crash"]["properties"]["memory"]["enum"] == ["kept", "lost"]
    assert tables["Slow"]["properties"]["factor"]["minimum"] == 1


PARTITION = "[[network.partition]]\ngroups = [[0], [1]]\nfrom_ms = 0\nuntil_ms = 5\n"
SLOW = "[[network.slow]]\nreplica = 1\nfactor = 2\n"
DELAY = "[[network.delay]]\nms = 5\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("[network]\nduplication = 5\n", "network.duplication", "5 is no probability; from 0 to 1"),
        ("[network]\nreordering = -1\n", "network.reordering", "-1 is no probability; from 0 to 1"),
        (
            "[network]\nreordering = 0.5\nreordering_ms = -1\n",
            "network.reordering_ms",
            "-1 is not a latency in milliseconds; from 0 to 8.64e7",
        ),
        ("[network]\nreordering_ms = 3\n", "network.reordering_ms", "holds nothing back: give reordering"),
        ("[network]\ngst_ms = 3\n", "network.gst_ms", "nothing is wrong before it; before_gst = {"),
        ("[network]\nbefore_gst = { loss = 0.5 }\n", "network.before_gst", "has no end: give gst_ms"),
        (
            "[network]\ngst_ms = 3\nbefore_gst = { los = 0.5 }\n",
            "network.before_gst.los",
            'unknown key; did you mean "loss"?',
        ),
        (
            "[network]\ngst_ms = -3\nbefore_gst = { loss = 0.5 }\n",
            "network.gst_ms",
            "-3 is not a time in milliseconds; from 0",
        ),
        (
            "[network]\nreordering = 7\nreordering_ms = 3\n",
            "network.reordering",
            "7 is no probability; from 0 to 1",
        ),
        (PARTITION + "one_way = 1\n", "network.partition[0].one_way", "1 is not allowed; true or false"),
        (
            PARTITION.replace("[[0], [1]]", "[[3, 1, 2, 0]]"),
            "network.partition[0].groups",
            "all replicas are in one group, so that nobody is cut off; leave some out",
        ),
        (PARTITION + "every_ms = 0\n", "network.partition[0].every_ms", "0 is not a time in milliseconds; from 1e-6"),
        (SLOW.replace("= 2", "= 0.5"), "network.slow[0].factor", "0.5 is not a factor; from 1 to 1e6"),
        (SLOW.replace("= 1", "= 4"), "network.slow[0].replica", "there is no replica 4; 4 replicas, 0 to 3"),
        (SLOW + "from_ms = 3\nuntil_ms = 3\n", "network.slow[0].until_ms", "3.0 is not after from_ms, 3.0"),
        (SLOW.replace("factor", "facter"), "network.slow[0].facter", 'did you mean "factor"?'),
        (DELAY.replace("5", "1e9"), "network.delay[0].ms", "1e9 is not a latency in milliseconds; from 0 to 8.64e7"),
        (DELAY + "senders = [9]\n", "network.delay[0].senders", "there is no replica 9; 4 replicas, 0 to 3"),
        (DELAY + "receivers = [4]\n", "network.delay[0].receivers", "there is no replica 4; 4 replicas, 0 to 3"),
        (DELAY + "receivers = []\n", "network.delay[0].receivers", "names nobody; leave it out for everybody"),
        (DELAY + "senders = [1, 1]\n", "network.delay[0].senders", "replica 1 is named 2 times"),
        (DELAY + "from_ms = 8\nuntil_ms = 3\n", "network.delay[0].until_ms", "3.0 is not after from_ms, 8.0"),
        (
            '[[crash]]\nreplica = 1\nfrom_ms = 3\nmemory = "lost"\n',
            "crash[0].memory",
            '"lost" means nothing to a replica that never comes back; give until_ms',
        ),
        (
            '[[crash]]\nreplica = 1\nfrom_ms = 3\nuntil_ms = 4\nmemory = "lots"\n',
            "crash[0].memory",
            '"lots" is not allowed; did you mean "lost"?',
        ),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_is_allowed(text: str, place: str, message: str) -> None:
    faults = faults_of(text)

    # A key that is missing because it is misspelt is a fault of its own.
    assert place in faults
    assert len(faults) == (2 if "facter" in text else 1)
    assert message in faults[place]
