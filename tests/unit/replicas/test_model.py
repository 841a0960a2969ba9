from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from replicas.model import Model, ModelError, TensorSpec

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def parsed(text: str) -> onnx.ModelProto:
    return parse_model(f"{HEADER} {text}")


def loaded(text: str) -> Model:
    return Model.from_bytes(parsed(text).SerializeToString(), name="model")


def test_a_model_tells_its_inputs_outputs_and_the_sha256_of_its_file(tmp_path: Path) -> None:
    proto = parsed("g (float[batch, 4] x, int64 n, bool[] flag) => (float[batch, 4] y) { y = Relu(x) }")
    proto.graph.input[2].type.tensor_type.ClearField("shape")
    file = tmp_path / "small.onnx"
    file.write_bytes(proto.SerializeToString())

    model = Model.load(file)

    assert model.name == "small"
    assert model.content == file.read_bytes()
    assert model.sha256 == sha256(file.read_bytes()).hexdigest()
    assert model.inputs == (
        TensorSpec("x", "float32", ("batch", 4)),
        TensorSpec("n", "int64", ()),
        TensorSpec("flag", "bool", (), rank_known=False),
    )
    assert model.outputs == (TensorSpec("y", "float32", ("batch", 4)),)


def test_types_that_are_no_plain_tensors_are_told_in_words() -> None:
    proto = parsed("g (string[n] words, bfloat16[n] halves) => (string[n] y) { y = Identity(words) }")
    tensor = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [None])
    maps = helper.make_map_type_proto(onnx.TensorProto.INT64, tensor)
    for name, kind in [("s", helper.make_sequence_type_proto(maps)), ("o", helper.make_optional_type_proto(tensor))]:
        proto.graph.input.append(helper.make_value_info(name, kind))
    model = Model.from_bytes(proto.SerializeToString(), name="kinds")
    assert [each.dtype for each in model.inputs] == [
        "string",
        "bfloat16",
        "sequence(map(int64, float32))",
        "optional(float32)",
    ]


def test_an_old_file_need_not_list_its_initializers_as_inputs() -> None:
    proto = parse_model('<ir_version: 3, opset_import: ["" : 7]> g (float[2] x) => (float[2] y) { y = Mul (x, w) }')
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    model = Model.from_bytes(proto.SerializeToString(), name="old")
    assert [spec.name for spec in model.inputs] == ["x"]
    assert model.proto().ir_version == 3


def test_an_initializer_that_is_listed_as_an_input_is_none() -> None:
    proto = parsed("g (float[2] x, float[2] w) => (float[2] y) { y = Add(x, w) }")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    model = Model.from_bytes(proto.SerializeToString(), name="old")
    assert [each.name for each in model.inputs] == ["x"]


def test_a_parsed_model_belongs_to_the_caller() -> None:
    model = loaded("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    model.proto().graph.node[0].op_type = "Sigmoid"
    assert model.proto().graph.node[0].op_type == "Relu"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "cannot be parsed"),
        (b"hello, world", "cannot be parsed"),
        (b"\x08\x01", "no ONNX model: it has no operator set, no graph, no outputs"),
        (onnx.ModelProto().SerializeToString() + b"\x3a\x00", "no IR version, no operator set, no outputs"),
    ],
)
def test_bytes_that_hold_no_model_are_refused(content: bytes, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Model.load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert fault in str(caught.value)


def test_every_truncation_of_a_model_is_refused() -> None:
    content = parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString()
    for length in range(len(content)):
        with pytest.raises(ModelError):
            Model.from_bytes(content[:length], name="cut")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        Model.load(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        Model.load(tmp_path)
    with pytest.raises(ModelError, match="NUL"):
        Model.load("nul\0byte.onnx")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read: Not a directory"):
        Model.load(tmp_path / "file" / "model.onnx")


def test_a_pipe_and_a_file_too_large_for_protobuf_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelError, match="no plain file"):
        Model.load(tmp_path / "pipe.onnx")
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match="has 2147483648 bytes; at most 2147483647"):
        Model.load(tmp_path / "large.onnx")


def test_a_graph_that_the_checker_faults_is_refused_with_its_reason() -> None:
    with pytest.raises(ModelError, match=r"no valid ONNX model: .*Nodes in a graph must be topologically sorted"):
        loaded("g (float[2] x) => (float[2] y) { y = Relu(nothing) }")


def test_names_that_are_no_text_are_refused() -> None:
    content = parsed("graph_name (float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString()
    with pytest.raises(ModelError, match="no UTF-8 text"):
        Model.from_bytes(content.replace(b"graph_name", b"graph\xff\xfe\xfd\xfc\xfb"), name="model")


def test_tensors_that_do_not_hold_what_they_promise_are_refused() -> None:
    for change in ({"data_type": 83}, {"dims": [5]}, {"raw_data": bytes(12)}):
        proto = parsed("g (float[2] x) => (float[2] y) { y = Add(x, w) }")
        parts = {"name": "w", "data_type": 1, "dims": [2], "raw_data": bytes(8), **change}
        proto.graph.initializer.add(**parts)
        with pytest.raises(ModelError, match=r"\bw\b"):
            Model.from_bytes(proto.SerializeToString(), name="model")


def test_a_function_that_is_called_with_more_than_it_takes_is_refused() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]> g (float[4] x) => (float[4] y) { y = own.Twice(x, x) }
        <domain: "own", opset_import: ["" : 17]> Twice (a) => (b) { b = Add(a, a) }"""
    with pytest.raises(ModelError, match="model: calls a function otherwise than the function is defined"):
        Model.from_bytes(parse_model(text).SerializeToString(), name="model")


def test_element_types_that_onnx_does_not_define_are_refused() -> None:
    proto = parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.input[0].type.tensor_type.elem_type = 69
    with pytest.raises(ModelError, match='"x" has element type 69'):
        Model.from_bytes(proto.SerializeToString(), name="model")


def test_an_output_of_unknown_rank_is_taken_as_runtimes_do() -> None:
    proto = parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert not Model.from_bytes(proto.SerializeToString(), name="model").outputs[0].rank_known


# Random nodes


@pytest.mark.parametrize(
    "node",
    [
        "y = RandomNormalLike(x)",
        "y = RandomUniformLike <seed = 1.0> (x)",
        "y = RandomNormal <shape = [2]> ()",
        "y = RandomUniform <shape = [2]> ()",
        "y = Bernoulli(x)",
        "i = Multinomial(x)  y = Cast <to = 1> (i)",
        "t = Constant <value = bool {1}> ()  y = Dropout(x, , t)",
        "t = Constant <value = bool {1}> ()  r = Constant <value = float {0.25}> ()  y = Dropout(x, r, t)",
        "t = Constant <value = bool {0}> ()  u = Not(t)  y = Dropout(x, , u)",
    ],
)
def test_a_node_that_draws_random_numbers_is_refused(node: str) -> None:
    with pytest.raises(ModelError, match="draws random numbers"):
        loaded(f"g (float[2] x) => (float[2] y) {{ {node} }}")


@pytest.mark.parametrize(
    "node",
    [
        "y = Dropout(x)",
        "t = Constant <value = bool {0}> ()  y = Dropout(x, , t)",
        "t = Constant <value = bool {1}> ()  r = Constant <value = float {0.0}> ()  y = Dropout(x, r, t)",
    ],
)
def test_a_dropout_that_drops_nothing_is_taken(node: str) -> None:
    assert loaded(f"g (float[2] x) => (float[2] y) {{ {node} }}").outputs[0].name == "y"


def test_a_dropout_in_a_branch_is_judged_by_constants_around_the_branch() -> None:
    text = """g (bool c, float[2] x) => (float[2] y) {{
        t = Constant <value = bool {{1}}> ()  r = Constant <value = float {{{ratio}}}> ()
        y = If (c) <then_branch = t1 () => (float[2] p) {{ p = Dropout(x, r, t) }},
                    else_branch = e1 () => (float[2] q) {{ q = Relu(x) }}>
    }}"""
    assert loaded(text.format(ratio="0.0")).outputs[0].name == "y"
    with pytest.raises(ModelError, match="Dropout in training mode"):
        loaded(text.format(ratio="0.5"))


def test_an_old_dropout_trains_unless_it_says_that_it_tests() -> None:
    def old(attributes: str) -> bytes:
        text = (
            f'<ir_version: 3, opset_import: ["" : 6]> g (float[2] x) => (float[2] y) {{ y = Dropout {attributes} (x) }}'
        )
        return bytes(parse_model(text).SerializeToString())

    assert Model.from_bytes(old("<is_test = 1>"), name="old").outputs[0].name == "y"
    with pytest.raises(ModelError, match="Dropout in training mode"):
        Model.from_bytes(old(""), name="old")


def test_a_random_node_deep_inside_subgraphs_is_found_and_its_place_told() -> None:
    text = """g (bool c, float[2] x) => (float[2] y) {
        y = If (c) <then_branch = outer () => (float[2] p) {
                        p = If (c) <then_branch = inner () => (float[2] q) { q = RandomNormalLike(x) },
                                    else_branch = plain () => (float[2] r) { r = Relu(x) }> },
                    else_branch = other () => (float[2] s) { s = Relu(x) }>
    }"""
    with pytest.raises(ModelError, match='RandomNormalLike in If that makes "y", If that makes "p", RandomNormalLike'):
        loaded(text)


def test_a_random_node_in_the_body_of_a_loop_is_found() -> None:
    text = """g (int64 n, bool c, float[2] x) => (float[2] y) {
        y = Loop (n, c, x) <body = b (int64 i, bool k, float[2] v) => (bool k2, float[2] v2) {
            k2 = Identity(k)  v2 = RandomUniformLike(v) }>
    }"""
    with pytest.raises(ModelError, match="RandomUniformLike"):
        loaded(text)


def test_a_random_node_in_a_function_of_the_model_is_found() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]> g (float[2] x) => (float[2] y) { y = own.Noise(x) }
        <domain: "own", opset_import: ["" : 17]> Noise (a) => (b) { b = RandomNormalLike(a) }"""
    with pytest.raises(ModelError, match='function "own::Noise"'):
        Model.from_bytes(parse_model(text).SerializeToString(), name="own")


# External data


def with_external_weights(folder: Path, location: str, **entries: str) -> Path:
    proto = parsed("g (float[2] x) => (float[2] y) { y = Add(x, w) }")
    tensor = proto.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def test_weights_beside_the_model_are_taken_inside_and_count_in_its_sha256(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path / "m", "weights.bin", offset="4", length="8")
    (tmp_path / "m" / "weights.bin").write_bytes(np.array([9, 1, 2], np.float32).tobytes())
    model = Model.load(path)
    tensor = model.proto().graph.initializer[0]
    assert np.array_equal(numpy_helper.to_array(tensor), np.array([1, 2], np.float32))
    assert tensor.data_location == onnx.TensorProto.DEFAULT

    (tmp_path / "m" / "weights.bin").write_bytes(np.array([8, 1, 2], np.float32).tobytes())
    assert Model.load(path).sha256 != model.sha256


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", "C:\\x", "\\x", "a\\..\\x", "", "."]
)
def test_weights_outside_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    with pytest.raises(ModelError, match="outside the folder"):
        Model.load(with_external_weights(tmp_path / "m", location))


def test_weights_behind_a_symbolic_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    path = with_external_weights(tmp_path / "m", "link.bin")
    (tmp_path / "m" / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ModelError, match="symbolic link"):
        Model.load(path)
    path = with_external_weights(tmp_path / "m", "folder/secret.bin")
    (tmp_path / "m" / "folder").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ModelError, match="symbolic link"):
        Model.load(path)


def test_weights_that_are_missing_or_too_short_are_refused(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path / "m", "weights.bin")
    with pytest.raises(ModelError, match="is missing"):
        Model.load(path)
    (tmp_path / "m" / "weights.bin").write_bytes(bytes(4))
    with pytest.raises(ModelError):
        Model.load(path)
    with pytest.raises(ModelError, match="needs bytes 0 to 8 of an external file of 4"):
        Model.load(with_external_weights(tmp_path / "m", "weights.bin", length="8"))
    for entries in ({"offset": "-1"}, {"length": "many"}, {"length": "-3"}):
        with pytest.raises(ModelError, match="external"):
            Model.load(with_external_weights(tmp_path / "m", "weights.bin", **entries))


def test_weights_hidden_in_a_subgraph_are_judged_as_well(tmp_path: Path) -> None:
    proto = parsed("""g (bool c, float[2] x) => (float[2] y) {
        y = If (c) <then_branch = t () => (float[2] p) { p = Constant <value = float[2] {1.0, 2.0}> () },
                    else_branch = e () => (float[2] q) { q = Relu(x) }> }""")
    branch = next(each.g for each in proto.graph.node[0].attribute if each.name == "then_branch")
    tensor = branch.node[0].attribute[0].t
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="outside the folder"):
        Model.load(tmp_path / "m" / "model.onnx")


def test_a_model_given_as_bytes_has_no_folder_to_find_weights_in(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path / "m", "weights.bin")
    with pytest.raises(ModelError, match="given as bytes"):
        Model.from_bytes(path.read_bytes(), name="model")
