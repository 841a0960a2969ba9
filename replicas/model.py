"""Models: an ONNX file that has been read, checked and found fit for a run that must be repeatable.

A model file is untrusted. What cannot be read, is no ONNX, reaches for files outside its own folder or draws random
numbers is refused here with one clear message, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

import onnx

from replicas.model_check import ModelError, check_proto, read_proto, reason_of_randomness, refuse
from replicas.model_external import holds_external_data, inline_external_data

__all__ = ["Model", "ModelError", "TensorSpec"]

# A protobuf message cannot be larger; weights beyond it must be external, and would not fit after inlining either.
CONTENT_BYTES_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a graph.

    Args:
        name: as in the graph.
        dtype: NumPy's name ("float32", "bfloat16"), "string", or "sequence(...)", "map(...)", "optional(...)".
        shape: a number, a name or None (unknown) for each axis. () for a scalar, and for what has no shape.
        rank_known: False where the graph does not say how many axes there are, or where the value is no tensor.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    rank_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A checked ONNX model. Two models are equal when their names and sha256 are.

    Args:
        name: what people call it; the file name without its ending.
        sha256: of the file, in hex; where weights lie in further files, over the file and each of them (see `load`).
        content: the serialised model, weights inside.
        inputs: what a run must supply, in graph order. Initializers that are listed as inputs too (old files do that)
            are not among them.
        outputs: what a run gives, in graph order.
    """

    name: str
    sha256: str
    content: bytes = field(repr=False, compare=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def load(cls, path: str | Path, *, may_draw: bool = False) -> Model:
        """Read a model file, and the weights in the folder beside it where it points to such.

        With external weights the sha256 is taken over the sha256 of the file followed by, for each external file in
        the order of their names: the length of its name (8 bytes, little-endian), its name, its sha256.

        Args:
            path: the file.
            may_draw: let it draw random numbers. No run may; an audit says what comes of it.

        Raises:
            ModelError: missing, empty, truncated, no ONNX, invalid, external data outside its folder, or random.
        """
        path = Path(path)
        content = _read_file(path)
        proto = read_proto(content, str(path))
        digest = sha256(content)
        if holds_external_data(proto):
            external = inline_external_data(proto, path)
            digest = sha256(digest.digest())
            for location, file_digest in sorted(external.items()):
                encoded = location.encode()
                digest.update(len(encoded).to_bytes(8, "little") + encoded + file_digest)
            if proto.ByteSize() > CONTENT_BYTES_MAX:
                refuse(str(path), f"{proto.ByteSize()} bytes with its weights inside; at most {CONTENT_BYTES_MAX}")
            content = proto.SerializeToString()
        return cls._checked(
            proto, content, name=path.stem, where=str(path), digest=digest.hexdigest(), may_draw=may_draw
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> Model:
        """Check a serialised model that holds all of its weights.

        Raises:
            ModelError: as for `load`; external data always, since there is no folder to find it in.
        """
        proto = read_proto(content, name)
        if holds_external_data(proto):
            refuse(name, "keeps weights in further files, and was given as bytes; load it from its folder")
        return cls._checked(proto, content, name=name, where=name, digest=sha256(content).hexdigest())

    @classmethod
    def _checked(
        cls, proto: onnx.ModelProto, content: bytes, *, name: str, where: str, digest: str, may_draw: bool = False
    ) -> Model:
        check_proto(proto, content, where)
        if not may_draw and (reason := reason_of_randomness(proto)) is not None:
            refuse(
                where,
                f"draws random numbers, and replicas could never agree: {reason}; "
                "a model must give the same output for the same input",
            )
        initialised = {tensor.name for tensor in proto.graph.initializer}
        initialised |= {sparse.values.name for sparse in proto.graph.sparse_initializer}
        inputs = (each for each in proto.graph.input if each.name not in initialised)
        return cls(
            name=name,
            sha256=digest,
            content=content,
            inputs=_specs(inputs),
            outputs=_specs(proto.graph.output),
        )

    def proto(self) -> onnx.ModelProto:
        """Parse the content anew: the caller owns what it gets and may change it."""
        proto = onnx.ModelProto()
        proto.ParseFromString(self.content)
        return proto


def _read_file(path: Path) -> bytes:
    if "\0" in str(path):
        refuse(repr(str(path)), "no path holds a NUL; name an ONNX file")
    if path.is_dir():
        refuse(str(path), "is a folder; name an ONNX file")
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            refuse(str(path), "is no plain file; a pipe or device might never end")
        if status.st_size > CONTENT_BYTES_MAX:
            refuse(str(path), f"has {status.st_size} bytes; at most {CONTENT_BYTES_MAX}")
        return path.read_bytes()
    except FileNotFoundError:
        refuse(str(path), "no such file; name an ONNX file")
    except OSError as error:
        refuse(str(path), f"cannot be read: {error.strerror}")


def _specs(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(each) for each in values)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        return TensorSpec(name=value.name, dtype=_type_name(value.type), shape=(), rank_known=False)
    shape = tuple(_dimension(each) for each in value.type.tensor_type.shape.dim)
    return TensorSpec(name=value.name, dtype=_type_name(value.type), shape=shape)


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> int | str | None:
    kind = dimension.WhichOneof("value")
    if kind == "dim_value":
        return dimension.dim_value
    return (dimension.dim_param or None) if kind == "dim_param" else None


def _type_name(value: onnx.TypeProto) -> str:
    match value.WhichOneof("value"):
        case "tensor_type":
            return _element_name(value.tensor_type.elem_type)
        case "sparse_tensor_type":
            return f"sparse({_element_name(value.sparse_tensor_type.elem_type)})"
        case "sequence_type":
            return f"sequence({_type_name(value.sequence_type.elem_type)})"
        case "optional_type":
            return f"optional({_type_name(value.optional_type.elem_type)})"
        case "map_type":
            return f"map({_element_name(value.map_type.key_type)}, {_type_name(value.map_type.value_type)})"
        case _:
            return "unknown"


def _element_name(element: int) -> str:
    if element == onnx.TensorProto.STRING:
        return "string"
    if element not in onnx.TensorProto.DataType.values() or element == onnx.TensorProto.UNDEFINED:
        return "unknown"
    return onnx.helper.tensor_dtype_to_np_dtype(element).name
