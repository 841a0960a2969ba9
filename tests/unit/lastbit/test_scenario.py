"""Scenario files: what they say, and every way in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lastbit import resources
from lastbit.scenario import Fault, Scenario, ScenarioError, load_scenario
from replicas.library import named_profiles
from replicas.profile import KSplit, NumericProfile, ProfileError

MINIMAL = '[chain]\nreplicas = 4\nblocks = 10\n[model]\nname = "digits-mlp"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Scenario:
    return load_scenario(written(folder, text))


def faults_of(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(ScenarioError) as caught:
        read(folder, text)
    return {fault.place: fault.message for fault in caught.value.faults}


def chain(**keys: object) -> str:
    table = {"replicas": 4, "blocks": 10} | keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "[chain]\n" + "\n".join(lines) + '\n[model]\nname = "digits-mlp"\n'


@pytest.mark.parametrize("name", resources.scenario_names())
def test_a_bundled_scenario_is_right_and_tells_its_story(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert len(scenario.story) > 200
    assert scenario.seed > 0
    assert scenario.expect is not None


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    assert scenario.name == "mine"
    assert scenario.chain.policy == "halt"
    assert scenario.chain.watermark_window_heights == 32
    assert scenario.inputs.kind == "card"
    assert scenario.divergence is None
    assert [spec.weight for spec in scenario.replicas()] == [1, 1, 1, 1]


def test_the_watermark_window_grows_with_the_pipeline(tmp_path: Path) -> None:
    assert read(tmp_path, chain(pipeline=100)).chain.watermark_window_heights == 100


def test_times_are_integer_nanoseconds(tmp_path: Path) -> None:
    text = chain(timeout_ms=0.5, stall_after_ms=3, give_up_after_ms=7, until_s=1.5)
    timed = read(tmp_path, text + '[network.latency]\nkind = "uniform"\nlow_ms = 1\nhigh_ms = 2.25\n')
    assert (timed.chain.timeout_ns, timed.chain.stall_after_ns) == (500_000, 3_000_000)
    assert (timed.chain.give_up_after_ns, timed.chain.until_ns) == (7_000_000, 1_500_000_000)
    assert timed.chain.timeout_cap_ns is None
    assert timed.network.latency.kind == "uniform"
    assert (timed.network.latency.low_ns, timed.network.latency.high_ns) == (1_000_000, 2_250_000)
    assert isinstance(timed.network.latency.low_ns, int)


def test_a_replica_overrides_the_fleet_key_by_key(tmp_path: Path) -> None:
    scenario = read(
        tmp_path,
        MINIMAL
        + """
[fleet]
operations_per_second = 5
profile = { intra_op_threads = 2, precision = "fp64" }
[[replica]]
id = 2
behaviour = "silent"
profile = { intra_op_threads = 8, summation = { kind = "ksplit", slices = 4 } }
""",
    )
    first, _, third, _ = scenario.replicas()
    assert (first.profile.intra_op_threads, first.profile.precision, first.behaviour) == (2, "fp64", "honest")
    assert (third.profile.intra_op_threads, third.profile.precision, third.behaviour) == (8, "fp64", "silent")
    assert third.profile.summation == KSplit(slices=4)
    assert third.operations_per_second == 5


def test_the_layout_of_the_error_is_that_of_the_style_guide(tmp_path: Path) -> None:
    text = '[chain]\nreplicas = 0\nprotocl = "pbft"\nblocks = 1\n[model]\nname = "m"\n[divergence]\nrate = 1e4\n'
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value) == (
        f"{path}: 3 faults, nothing was run\n"
        "\n"
        "  chain.replicas    0 is not a number of replicas; from 2 to 1000\n"
        '  chain.protocl     unknown key; did you mean "protocol"?\n'
        "  divergence.rate   1e4 is no probability; did you mean 1e-4?"
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (chain(replicas="4"), "chain.replicas", '"4" is not a number of replicas; a whole number, from 2 to 1000'),
        (chain(replicas=True), "chain.replicas", "true is not a number of replicas; a whole number, from 2 to 1000"),
        (chain(blocks=1e5), "chain.blocks", "1e5 is not a number of blocks; a whole number: did you mean 100000?"),
        (chain(policy="retrry"), "chain.policy", '"retrry" is not allowed; did you mean "retry"?'),
        (chain(weights=[1, 1]), "chain.weights", "2 weights for 4 replicas; one for each"),
        (chain(weights=[1, 1, 0, 1]), "chain.weights[2]", "0 is not a voting weight; from 1 to 1000000000000"),
        (chain(weights=3), "chain.weights", "3 is not a list"),
        (chain(watermark_window=8), "chain.watermark_window", "8 heights are too few; at least 16"),
        (chain(pipeline=50, watermark_window=20), "chain.watermark_window", "20 heights are too few; at least 50"),
        (chain(timeout_ms=5, timeout_cap_ms=4), "chain.timeout_cap_ms", "4.0 is below the first timeout, 5.0"),
        (chain(stall_after_ms=5, give_up_after_ms=4), "chain.give_up_after_ms", "4.0 is below stall_after_ms, 5.0"),
        (chain(timeout_ms=0), "chain.timeout_ms", "0 is not a time in milliseconds; from 1e-6 to 1e12"),
        (chain(quorum=2), "chain.quorum", "two quorums of 2 of 4 may share as little as 0"),
        (chain(faulty_max=2), "chain.faulty_max", "cannot form a quorum"),
        ("seed = -1\n" + MINIMAL, "seed", "-1 is not a seed; at least 0"),
        ("seed = 2020-01-01\n" + MINIMAL, "seed", "2020-01-01 is not a seed; a whole number, at least 0"),
        ('title = "a\\u001b[2J"\n' + MINIMAL, "title", "holds a character that cannot be printed"),
        ("chain = 3\n[model]\nname = 'm'\n", "chain", "3 is not a table"),
        ('[chain]\nreplicas = 4\n[model]\nname = "m"\n', "chain.blocks", "missing; it has no default"),
        ("[chain]\nreplicas = 4\nblocks = 1\n", "model", "missing; it has no default"),
        ("[chain]\nreplicas = 4\nblocks = 1\n[model]\n", "model", "names no model"),
        (MINIMAL + 'file = "a.onnx"\n', "model", "has both a name and a file; one of them"),
        (MINIMAL.replace('name = "digits-mlp"', 'file = "../a.onnx"'), "model.file", "leads out of"),
        (MINIMAL.replace('name = "digits-mlp"', 'file = "/a.onnx"'), "model.file", "leads out of"),
        (MINIMAL.replace('name = "digits-mlp"', "file = 'C:\\a.onnx'"), "model.file", "leads out of"),
        (MINIMAL.replace('name = "digits-mlp"', 'file = "C:a.onnx"'), "model.file", "leads out of"),
        (MINIMAL.replace('name = "digits-mlp"', 'file = "a.pt"'), "model.file", '"a.pt" does not end in .onnx'),
        (
            MINIMAL.replace('name = "digits-mlp"', 'file = "a.onnx"') + '[inputs]\nkind = "card"\n',
            "inputs.kind",
            "has no card",
        ),
        (MINIMAL + "[inputs]\nnoise = 2\n", "inputs.kind", "missing; known: card, generated, npz"),
        (MINIMAL + '[inputs]\nkind = "cart"\n', "inputs.kind", '"cart" is no kind; did you mean "card"?'),
        (MINIMAL + '[inputs]\nkind = "card"\nnois = 2\n', "inputs.nois", 'unknown key; did you mean "noise"?'),
        (
            MINIMAL + '[inputs]\nkind = "generated"\nranges = { ids = [5, 1] }\n',
            "inputs.ranges.ids",
            "from 5 to 1 is no range; the lower end comes first",
        ),
        (MINIMAL + "[fleet.profile]\nintra_op_threads = 0\n", "fleet.profile.intra_op_threads", "0 is not allowed"),
        (
            MINIMAL + "[[replica]]\nid = 1\nprofile = { intra_op_thread = 2 }\n",
            "replica[0].profile.intra_op_thread",
            'unknown key; did you mean "intra_op_threads"?',
        ),
        (MINIMAL + "[[replica]]\nid = 4\n", "replica[0].id", "there is no replica 4; 4 replicas, 0 to 3"),
        (MINIMAL + "[[replica]]\nid = 1\n[[replica]]\nid = 1\n", "replica[1].id", "described already, by replica[0]"),
        (
            MINIMAL + '[[replica]]\nid = 1\nbehaviour = "honst"\n',
            "replica[0].behaviour",
            '"honst" is not allowed; did you mean "honest"?',
        ),
        (MINIMAL + "[[crash]]\nreplica = 1\nfrom_ms = 2\nuntil_ms = 2\n", "crash[0].until_ms", "2.0 is not after"),
        (
            MINIMAL + "[[crash]]\nreplica = 1\nfrom_ms = 2\n[[crash]]\nreplica = 1\nfrom_ms = 9\n",
            "crash[1]",
            "replica 1 is down already then, by crash[0]",
        ),
        (
            MINIMAL + "[[crash]]\nreplica = 1\nfrom_ms = 2\nuntil_ms = 9\n[[crash]]\nreplica = 1\nfrom_ms = 8\n",
            "crash[1]",
            "replica 1 is down already then, by crash[0]",
        ),
        (MINIMAL + "[network]\nloss = 1.0\n", "network.loss", "below 1"),
        (MINIMAL + "[network]\nloss = 5\n", "network.loss", "5 is no probability; from 0 to 1"),
        (MINIMAL + "[network]\nloss = nan\n", "network.loss", "nan is no probability; a number from 0 to 1"),
        (
            MINIMAL + '[network.latency]\nkind = "uniform"\nlow_ms = 3\nhigh_ms = 2\n',
            "network.latency.high_ms",
            "2.0 is below low_ms, 3.0",
        ),
        (
            MINIMAL + '[network.latency]\nkind = "matrix"\nms = [[0, 1], [1, 0]]\n',
            "network.latency.ms",
            "2 rows for 4 replicas; 4 rows of 4",
        ),
        (
            MINIMAL + '[network.latency]\nkind = "constant"\nms = 1\nmsec = 3\n',
            "network.latency.msec",
            'unknown key; did you mean "ms"?',
        ),
        (
            MINIMAL + "[[network.partition]]\ngroups = [[0, 1], [1]]\nfrom_ms = 0\nuntil_ms = 5\n",
            "network.partition[0].groups",
            "replica 1 is named 2 times; a replica is in one group",
        ),
        (
            MINIMAL + "[[network.partition]]\ngroups = [[0], []]\nfrom_ms = 0\nuntil_ms = 5\n",
            "network.partition[0].groups",
            "a group is empty",
        ),
        (MINIMAL + "[divergence]\nrate = 50\n", "divergence.rate", "50 is no probability; did you mean 0.5?"),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_is_allowed(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    faults = faults_of(tmp_path, text)
    assert list(faults) == [place]
    assert message in faults[place]


def test_faults_within_tables_do_not_hide_those_between_them(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        chain(polcy="halt")
        + "[[replica]]\nid = 9\n[network]\nlatency = 3\n"
        + "[[network.partition]]\ngroups = [[7]]\nfrom_ms = 0\nuntil_ms = 1\n",
    )
    assert list(faults) == ["chain.polcy", "network.latency", "network.partition[0].groups", "replica[0].id"]


def test_more_faulty_replicas_than_tolerated_are_an_experiment_and_no_fault(tmp_path: Path) -> None:
    silent = "".join(f'[[replica]]\nid = {i}\nbehaviour = "silent"\n' for i in range(4))
    assert len(read(tmp_path, MINIMAL + silent).replicas()) == 4


@pytest.mark.parametrize("name", resources.scenario_names())
def test_a_resolved_scenario_is_json_and_reads_back_whole(name: str) -> None:
    resolved = load_scenario(name).resolved()
    again = Scenario.from_resolved(json.loads(json.dumps(resolved)))
    assert again.resolved() == resolved
    assert again.replicas() == load_scenario(name).replicas()
    assert len(resolved["replica"]) == resolved["chain"]["replicas"]
    assert resolved["chain"]["quorum"] == again.quorum_system().threshold


@pytest.mark.parametrize("damaged", [[], None, {"chain": []}, {"chain": None, "model": 3, "x": {}}])
def test_a_damaged_resolved_scenario_is_refused(damaged: Any) -> None:
    with pytest.raises(ScenarioError, match="nothing was run"):
        Scenario.from_resolved(damaged)


def test_overrides_make_another_scenario_and_are_judged(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    other = scenario.with_overrides(seed=9, blocks=77, output="scores")
    assert (other.seed, other.chain.blocks, other.model.output) == (9, 77, "scores")
    assert scenario.seed == 0
    with pytest.raises(ScenarioError, match=r"(?s)changed as asked: 1 fault.*blocks   0 is not a number"):
        scenario.with_overrides(blocks=0)


def test_a_profile_may_be_one_of_the_library_which_leaves_nothing_to_the_fleets(tmp_path: Path) -> None:
    text = """
        [fleet]
        profile = { intra_op_threads = 8 }
        [[replica]]
        id = 1
        profile = "noprepack"
    """
    fleet, named, *_ = read(tmp_path, MINIMAL + text).replicas()
    assert fleet.profile == NumericProfile(intra_op_threads=8)
    assert named.profile == named_profiles()["noprepack"].profile


def test_a_profile_that_the_library_lacks_is_refused_with_what_was_probably_meant(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r'fleet\.profile +"noprepak" is no profile .* did you mean "noprepack"'):
        read(tmp_path, MINIMAL + '[fleet]\nprofile = "noprepak"\n')


def test_a_profile_that_is_neither_a_name_nor_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"fleet\.profile +3 is not a table"):
        read(tmp_path, MINIMAL + "[fleet]\nprofile = 3\n")


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_the_schema_tells_the_bounds_of_a_profile_that_are_checked(bound: str) -> None:
    profile = Scenario.model_json_schema()["$defs"]["Fleet"]["properties"]["profile"]["anyOf"][1]["properties"]
    slices = profile["summation"]["anyOf"][1]["properties"]["slices"][bound]
    threads = profile["intra_op_threads"][bound]
    beyond = -1 if bound == "minimum" else 1

    NumericProfile(intra_op_threads=threads, summation=KSplit(slices=slices))
    with pytest.raises(ProfileError):
        KSplit(slices=slices + beyond)
    with pytest.raises(ProfileError):
        NumericProfile(intra_op_threads=threads + beyond)


def test_a_model_of_the_users_own_may_lie_anywhere_and_gets_generated_inputs(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL + 'output = "scores"\n').with_overrides(
        model="/some/where/my.onnx", dims={"batch": 1}, values={"flag": "true"}
    )
    assert scenario.model_path == Path("/some/where/my.onnx")
    assert (scenario.model.name, scenario.model.file, scenario.model.output) == (None, "my.onnx", None)
    assert scenario.inputs.model_dump() == {
        "kind": "generated",
        "dims": {"batch": 1},
        "ranges": {},
        "values": {"flag": "true"},
    }
    assert "/some" not in json.dumps(scenario.resolved())
    assert Scenario.from_resolved(scenario.resolved()).model_path is None


def test_a_file_of_inputs_and_options_for_generated_ones_exclude_each_other(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    with pytest.raises(ScenarioError, match=r"inputs   come from my\.npz"):
        scenario.with_overrides(inputs=Path("my.npz"), dims={"batch": 1})
    assert scenario.with_overrides(inputs=Path("/some/my.npz")).inputs_path == Path("/some/my.npz")


def test_a_file_that_a_scenario_names_lies_beside_it(tmp_path: Path) -> None:
    text = MINIMAL.replace('name = "digits-mlp"', 'file = "sub/a.onnx"') + '[inputs]\nkind = "npz"\nfile = "a.npz"\n'
    scenario = read(tmp_path, text)
    assert scenario.model_path == tmp_path / "sub" / "a.onnx"
    assert scenario.inputs_path == tmp_path / "a.npz"
    assert Scenario.from_resolved(scenario.resolved()).inputs_path is None


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.onnx").touch()
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "a.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    scenario = read(folder, MINIMAL.replace('name = "digits-mlp"', 'file = "a.onnx"'))
    with pytest.raises(ScenarioError, match=r"model\.file   a\.onnx is a link that leads out"):
        _ = scenario.model_path


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"seed = \n", "line 1, column 8", "not TOML: Invalid value"),
        (b"a = 1\na = 2\n", "line 2, column 6", "Cannot overwrite a value"),
        (b'title = """x', "line 1, at the end", "not TOML: "),
        (b"\n\n\xff = 1", "line 3", "is not UTF-8 text"),
        (b"a = " + b"[" * 200_000, "file", "nested too deeply"),
        (b"a = 1" + b"0" * 5_000, "file", "cannot be read as TOML"),
        (b"#" * 1_000_001, "file", "larger than 1,000,000 bytes"),
        (b"", "chain", "missing"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_line(
    tmp_path: Path, content: bytes, place: str, message: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert caught.value.faults[0].place == place
    assert message in caught.value.faults[0].message


def test_a_mark_at_the_start_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_scenario(path).chain.replicas == 4


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is a folder"):
        load_scenario(tmp_path)
    with pytest.raises(ScenarioError, match='did you mean "one-in-ten-thousand"'):
        load_scenario("one-in-ten-thousnd")
    with pytest.raises(ScenarioError, match=r"no such file|cannot be the name"):
        load_scenario("a\0b")
    with pytest.raises(ScenarioError, match="cannot be the name of a file") as caught:
        load_scenario("a" * 10_000)
    assert len(str(caught.value)) < 1_000


def test_an_error_without_a_fault_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least one fault"):
        ScenarioError("x", [])
    assert Fault("a", "b") < Fault("b", "a")
