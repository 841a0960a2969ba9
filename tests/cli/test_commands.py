"""The command line as a user types it, in a process of its own, wherever nothing has to be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastbit import resources
from lastbit.auditing.choice import chosen_profiles
from replicas.library import named_profiles

MINIMAL = '[chain]\nreplicas = 4\nblocks = 10\n[model]\nname = "digits-mlp"\n'
# The folder of the packages: the tests run the checkout from elsewhere, installed or not.
CHECKOUT = Path(resources.__file__).parents[1]


def typed(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lastbit", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8", **environment},
    )


def test_help_tells_a_stranger_what_it_is_and_what_to_type() -> None:
    done = typed("--help")
    assert done.returncode == 0
    assert "lastbit run one-in-ten-thousand" in done.stdout
    assert "3 stalled" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "command", ["run", "audit", "diff", "explain", "costs", "profiles", "scenarios", "check", "replay", "schema"]
)
def test_every_command_has_examples_in_its_help(command: str) -> None:
    done = typed(command, "--help")
    assert done.returncode == 0
    assert f"lastbit {command}" in done.stdout.split("Example")[1]


def test_without_a_command_the_help_is_shown_as_bad_usage() -> None:
    done = typed()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: lastbit" in done.stderr


def test_the_version_is_told() -> None:
    assert typed("--version").stdout.startswith("lastbit ")


def test_an_unknown_command_is_refused_with_the_one_that_was_meant() -> None:
    done = typed("rnu")
    assert done.returncode == 2
    assert '"rnu" is no command of lastbit; did you mean "run"?' in done.stderr


@pytest.mark.parametrize("command", [["run"], ["check"], ["scenarios", "show"]])
def test_an_unknown_scenario_is_refused_with_the_one_that_was_meant(command: list[str]) -> None:
    done = typed(*command, "one-in-ten-thousnd")
    assert done.returncode == 2
    assert 'did you mean "one-in-ten-thousand"?' in done.stderr
    assert done.stdout == ""


def test_the_list_names_every_scenario_with_its_title() -> None:
    done = typed("scenarios")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(resources.scenario_names())
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())
    assert typed("scenarios", "list").stdout == done.stdout


def test_a_scenario_that_was_shown_can_be_saved_and_checked(tmp_path: Path) -> None:
    shown = typed("scenarios", "show", "one-in-ten-thousand").stdout
    path = tmp_path / "mine.toml"
    path.write_text(shown, encoding="utf-8")
    done = typed("check", path)
    assert done.returncode == 0
    assert done.stdout == "mine: no fault found; n 4, weight 4, f 1, quorum 3\n"


def test_check_tells_all_faults_at_once_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[chain]\nreplicas = 0\nprotocl = "x"\nblocks = 1\n[model]\nname = "m"\n')
    done = typed("check", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "mine.toml: 2 faults, nothing was run\n"
        "\n"
        "  chain.replicas   0 is not a number of replicas; from 2 to 1000\n"
        '  chain.protocl    unknown key; did you mean "protocol"?\n'
    )


def test_the_schemas_are_json() -> None:
    scenario = json.loads(typed("schema").stdout)
    assert {"chain", "model", "divergence"} <= set(scenario["properties"])
    assert scenario["required"] == ["chain", "model"]
    named, table = scenario["$defs"]["Fleet"]["properties"]["profile"]["anyOf"]
    assert "noprepack" in named["enum"]
    assert table["properties"]["precision"]["enum"] == [
        "fp32",
        "fp16-weights",
        "fp64",
        "int8-s8",
        "int8-u8",
        "integers",
    ]
    for option, name, key in (
        ("--result", "Result", "trace_digest"),
        ("--audit", "Audit", "knobs"),
        ("--explain", "Explanation", "pairs"),
        ("--costs", "CostsMeasured", "costs"),
    ):
        keys = json.loads(typed("schema", option).stdout)["$defs"][name]["properties"]
        assert {key, "format"} <= keys.keys()


def test_a_pipe_that_closes_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "lastbit", "schema"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_terminal_without_unicode_gets_what_it_can_show(tmp_path: Path) -> None:
    assert typed("--help", PYTHONIOENCODING="ascii").returncode == 0
    path = tmp_path / "größe.toml"
    path.write_text(MINIMAL)
    done = typed("check", path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith("gr??e: no fault found")


def test_trace_events_without_a_trace_are_refused() -> None:
    done = typed("run", "all-equal", "--trace-events")
    assert done.returncode == 2
    assert "--trace run.jsonl" in done.stderr


def test_the_profiles_are_listed_with_what_they_imitate_and_one_can_be_shown(tmp_path: Path) -> None:
    listed = typed("profiles")
    assert listed.stdout.splitlines()[0].startswith("ref ")
    assert "  A busy server that computes a request together with seven others." in listed.stdout
    shown = typed("profiles", "show", "ksplit8-bf16")
    (tmp_path / "mine.toml").write_text(shown.stdout, encoding="utf-8")
    assert chosen_profiles(str(tmp_path / "mine.toml")) == {"ksplit8-bf16": named_profiles()["ksplit8-bf16"]}


def test_a_profile_that_does_not_exist_is_refused_with_what_was_probably_meant() -> None:
    done = typed("profiles", "show", "noprepak")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'did you mean "noprepack"' in done.stderr
