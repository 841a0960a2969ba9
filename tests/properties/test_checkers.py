"""Whatever befalls a sound protocol, no checker calls it broken."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import lastbit
from lastbit.protocols import PROTOCOLS
from lastbit.scenario import Scenario

BEHAVIOURS = ("silent", "equivocating-leader", "equivocating-voter")


@st.composite
def stories(draw: st.DrawFn) -> Scenario:
    """A short run in which much may go wrong, more than is tolerated, too."""
    kind = PROTOCOLS[draw(st.sampled_from(sorted(PROTOCOLS)))]
    replicas = draw(st.integers(2, 7))
    some = st.lists(st.integers(0, replicas - 1), max_size=2, unique=True)
    optional = {
        "checkpoint_interval": st.integers(1, 5),
        "pipeline": st.integers(1, 3),
        "cup_interval": st.integers(2, 6),
        "digest": st.sampled_from(["next-header", "proposal"]),
    }
    keys = {key: draw(values) for key, values in sorted(optional.items()) if key in kind.keys}
    chain = {
        "protocol": kind.name,
        "replicas": replicas,
        "blocks": draw(st.integers(1, 12)),
        "policy": draw(st.sampled_from(kind.policies)),
        "outvoted": draw(st.sampled_from(kind.outvoted)),
        "until_s": 30,
    }
    tables: dict[str, Any] = {
        "replica": [{"id": each, "behaviour": draw(st.sampled_from(BEHAVIOURS))} for each in draw(some)],
        "crash": [
            {
                "replica": each,
                "from_ms": draw(st.integers(0, 300)),
                "until_ms": draw(st.integers(301, 2_000)),
                "memory": draw(st.sampled_from(["kept", "lost"])),
            }
            for each in draw(some)
        ],
        "network": {
            "loss": draw(st.sampled_from([0.0, 0.05, 0.2])),
            "duplication": draw(st.sampled_from([0.0, 0.2])),
            "latency": {"kind": "uniform", "low_ms": 1, "high_ms": draw(st.integers(1, 60))},
        },
        "divergence": {
            "rate": draw(st.sampled_from([0.0, 0.1, 0.5])),
            "scope": draw(st.sampled_from(["prompt", "replica"])),
            "answers": draw(st.sampled_from(["distinct", "shared"])),
            "duration": draw(st.sampled_from(["persistent", "transient"])),
        },
    }
    found = {"chain": chain | keys, "model": {"name": "digits-mlp"}, "seed": draw(st.integers(0, 10**6))}
    return Scenario.from_mapping(found | tables)


@settings(max_examples=60)
@given(stories())
def test_no_run_of_a_sound_protocol_breaks_a_rule(story: Scenario) -> None:
    assert lastbit.run(story).violations == ()
