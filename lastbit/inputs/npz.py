"""A user's own inputs: an .npz file that holds, under the name of each input, the values of N samples."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.did_you_mean import did_you_mean
from lastbit.inputs.input_set import Array, InputsError, RequestInput, content_key, frozen, refuse_all
from replicas.model import Model, TensorSpec

ZIP_MAGIC = b"PK"


class NpzInputs:
    """The samples of an .npz file, in the order of the file and from its start again when they run out.

    For an input of rank r, an array of rank r + 1 is N samples, one for each index of its leading axis. An array of
    rank r is one batch of N: each of its rows becomes a batch of 1, so the model's first axis must allow 1. All arrays
    hold the same N, under the names and dtypes of the model. Strings are fixed-width unicode arrays, as NumPy makes of
    a list of `str`; such arrays lose trailing NUL characters.

    Args:
        path: of the file, as `numpy.savez(path, NAME=array, ...)` writes it. Never unpickled.
        model: that the inputs are for.

    Raises:
        InputsError: unreadable or damaged, or not what the model takes; one message with all faults.
    """

    def __init__(self, path: str | Path, model: Model) -> None:
        path = Path(path)
        content = _read_file(path)
        self._sha256 = hashlib.sha256(content).hexdigest()
        self._name = path.name
        arrays = _read_arrays(path, content)
        self._samples = _samples(arrays, model, where=str(path))
        self._count = len(next(iter(self._samples.values())))
        self._keys: dict[int, bytes] = {}

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the file."""
        return self._sha256

    def describe(self) -> str:
        """One line for people, such as ``12 samples of prompts.npz, over and over``."""
        return f"{self._count} sample{'s' if self._count > 1 else ''} of {self._name}, over and over"

    def tensors(self, request_id: int) -> RequestInput:
        """Sample number `request_id` modulo the number of samples."""
        position = request_id % self._count
        # The ellipsis keeps a scalar an array.
        tensors = {name: samples[position, ...] for name, samples in self._samples.items()}
        key = self._keys.get(position)
        if key is None:
            key = self._keys[position] = content_key(tensors)
        return RequestInput(key, tensors)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputsError(f"{path}: cannot be read: {error.strerror}; name an .npz file") from error


def _read_arrays(path: Path, content: bytes) -> dict[str, Array]:
    if not content.startswith(ZIP_MAGIC):
        raise InputsError(f"{path}: is no .npz file; write one with numpy.savez(path, NAME=array) for each input")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise InputsError(
                f"{path}: holds Python objects, which are never unpickled; save numbers, or strings as a unicode array"
            ) from error
        raise InputsError(f"{path}: is damaged, or no .npz file: {error}") from error


def _samples(arrays: Mapping[str, Array], model: Model, where: str) -> dict[str, Array]:
    faults: list[tuple[str, str]] = []
    if not model.inputs:
        refuse_all(where, [("inputs", "the model takes no input")])
    specs = {spec.name: spec for spec in model.inputs}
    faults += [
        (name, f"the model has no input of that name; {did_you_mean(name, specs)}")
        for name in arrays
        if name not in specs
    ]
    samples: dict[str, Array] = {}
    for spec in model.inputs:
        fault = _fault(arrays.get(spec.name), spec)
        if fault:
            faults.append((spec.name, fault))
        else:
            samples[spec.name] = _split(arrays[spec.name], spec)
    if not faults:
        faults = [*_unequal_counts(samples), *_unequal_sizes(samples, model.inputs)]
    if faults:
        refuse_all(where, faults)
    return samples


def _fault(array: np.ndarray[Any, Any] | None, spec: TensorSpec) -> str:
    """What keeps an array from filling an input, or an empty text."""
    if array is None:
        return f"missing; the model takes {_described(spec)}"
    if spec.dtype == "string":
        if array.dtype.kind != "U":
            return f"is {array.dtype}, the model takes strings; save it as {spec.name}.astype(str)"
    elif array.dtype.name != spec.dtype:
        return f'is {array.dtype}, the model takes {spec.dtype}; save it as {spec.name}.astype("{spec.dtype}")'
    if array.ndim == 0:
        return "holds one value without an axis; the leading axis counts the samples"
    if array.shape[0] == 0:
        return "holds no sample; at least 1"
    if not spec.rank_known:
        return ""
    rank = len(spec.shape)
    if array.ndim not in (rank, rank + 1):
        wanted = f"{_described(spec)}, so {rank + 1} axes with the samples first"
        return f"has shape {list(array.shape)}; the model takes {wanted}"
    if array.ndim == rank and isinstance(spec.shape[0], int) and spec.shape[0] != 1:
        return (
            f"has shape {list(array.shape)}, one batch whose rows would be run alone, but the model's axis 0 is fixed "
            f"at {spec.shape[0]}; save {rank + 1} axes with the samples first"
        )
    sample = (1, *array.shape[1:]) if array.ndim == rank else array.shape[1:]
    wrong = [
        f"axis {axis} of a sample is {size}, the model takes {fixed}"
        for axis, (size, fixed) in enumerate(zip(sample, spec.shape, strict=True))
        if isinstance(fixed, int) and fixed >= 0 and size != fixed
    ]
    return "; ".join(wrong)


def _split(array: Array, spec: TensorSpec) -> Array:
    """The array with its samples along the leading axis, each of the model's rank, in native byte order."""
    array = array.astype(object if spec.dtype == "string" else array.dtype.newbyteorder("="), copy=False)
    is_batch = spec.rank_known and array.ndim == len(spec.shape)
    return frozen(array[:, None] if is_batch else array)


def _unequal_counts(samples: Mapping[str, Array]) -> list[tuple[str, str]]:
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) == 1:
        return []
    return [(name, f"{count} samples; all inputs must hold equally many") for name, count in counts.items()]


def _unequal_sizes(samples: Mapping[str, Array], specs: Sequence[TensorSpec]) -> list[tuple[str, str]]:
    """Axes to which the model gives one name and the samples two sizes."""
    first: dict[str, tuple[str, int]] = {}
    faults = []
    for spec in specs:
        for axis, wanted in enumerate(spec.shape):
            if not isinstance(wanted, str):
                continue
            size = samples[spec.name].shape[1 + axis]
            owner, known = first.setdefault(wanted, (spec.name, size))
            if size != known:
                fault = f'axis {axis} of a sample is {size}, but "{wanted}" is {known} in {owner}'
                faults.append((spec.name, fault))
    return faults


def _described(spec: TensorSpec) -> str:
    axes = ", ".join("?" if size is None else str(size) for size in spec.shape)
    return f"{spec.dtype} [{axes}]" if spec.rank_known else f"{spec.dtype} of any shape"
