"""Weights that lie in files beside a model: found in the model's own folder alone, and taken inside.

A location that leaves the folder could read any file of the machine, so that nothing but a plain path below the
folder is followed, and no symbolic link on the way.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from replicas.graph_walk import tensors_at_any_depth
from replicas.model_check import refuse


def holds_external_data(proto: onnx.ModelProto) -> bool:
    """Whether any tensor's values lie outside the model file."""
    return any(_is_external(tensor) for tensor in tensors_at_any_depth(proto))


def inline_external_data(proto: onnx.ModelProto, path: Path) -> dict[str, bytes]:
    """Read all external tensors into `proto`.

    Args:
        proto: parsed from `path`; changed in place, and whole afterwards.
        path: the model file; external files are looked for in its folder.

    Returns:
        The SHA-256 of each external file, by its location.

    Raises:
        ModelError: a location outside the folder, a missing file, or one too short for what it should hold.
    """
    files: dict[str, bytes] = {}
    for tensor in tensors_at_any_depth(proto):
        if not _is_external(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if location not in files:
            files[location] = _read_beside(path, location, tensor.name)
        tensor.raw_data = _part(files[location], entries, where=f'{path}: tensor "{tensor.name}"')
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
    return {location: sha256(content).digest() for location, content in files.items()}


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _read_beside(path: Path, location: str, tensor_name: str) -> bytes:
    where = f'{path}: tensor "{tensor_name}"'
    parts = PurePosixPath(location).parts
    # Judged by the rules of both systems: a file must not be safe on one machine and roam on the next.
    roams = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor or "\\" in location
    if not parts or roams or ".." in parts or "\0" in location:
        refuse(where, f'external data "{location}" lies outside the folder of the model; it must lie below it')
    file = path.parent
    for part in parts:
        file = file / part
        if file.is_symlink():
            refuse(where, f'external data "{location}" is reached through a symbolic link; a plain file is needed')
    if not file.is_file():
        refuse(where, f'external data "{location}" is missing; it belongs in the folder of the model')
    try:
        return file.read_bytes()
    except OSError as error:
        refuse(where, f'external data "{location}" cannot be read: {error.strerror}')


def _part(content: bytes, entries: dict[str, str], where: str) -> bytes:
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", len(content) - offset))
    except ValueError:
        refuse(where, "the offset or length of its external data is no number")
    if offset < 0 or length < 0 or offset + length > len(content):
        refuse(where, f"needs bytes {offset} to {offset + length} of an external file of {len(content)}")
    return content[offset : offset + length]
