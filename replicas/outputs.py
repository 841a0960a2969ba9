"""Outputs: what one run of a model gave, and the digest of its canonical form.

A digest covers, for each output in graph order, its name, dtype, shape and little-endian bytes. Every part is tagged
or has a length before it, so that two different outputs never have the same canonical form. Bits are taken as they
are: the payload of a NaN and the sign of a zero count; byte order and memory layout of an array do not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from struct import Struct as Layout
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["DIGEST_BYTES", "OutputError", "Outputs", "Value", "canonical", "outputs_digest", "root_digest"]

Value: TypeAlias = npt.NDArray[Any] | str | float | list[Any] | dict[Any, Any] | None
"""A tensor, or what skl2onnx and control flow give: strings, numbers, sequences, maps; None is an empty optional."""

Parts: TypeAlias = list[bytes | memoryview]

DIGEST_BYTES = 32
COPIED_BYTES_MAX = 65536

_OUTPUTS_DOMAIN = b"lastbit.outputs.1\x00"
_ROOT_DOMAIN = b"lastbit.root.1\x00"
# What `dtype.byteorder` says of an array whose bytes in memory are not the little-endian ones.
_SWAPPED = frozenset(">=") if sys.byteorder == "big" else frozenset(">")
_COUNT = Layout("<Q").pack
_DOUBLE = Layout("<d").pack


class OutputError(ValueError):
    """An output is missing, or holds something that has no canonical form."""


class Outputs(msgspec.Struct, frozen=True, eq=False):
    """What one run gave: names in graph order, and a value for each. Never changed once made.

    One is made for every inference, hence a struct of msgspec: it costs a fifth of a frozen dataclass.

    Example:
        >>> outputs = Outputs.of({"scores": np.array([[0.25, 0.75]], dtype=np.float32)})
        >>> outputs.names, outputs["scores"].shape
        (('scores',), (1, 2))
        >>> outputs_digest(outputs).hex()[:16]
        'e9e7c6383cc9c61b'
    """

    names: tuple[str, ...]
    values: tuple[Value, ...]

    @classmethod
    def of(cls, values: Mapping[str, Value]) -> Outputs:
        """Make outputs from a mapping, in its order."""
        return cls(tuple(values), tuple(values.values()))

    def __getitem__(self, name: str) -> Value:
        try:
            return self.values[self.names.index(name)]
        except ValueError:
            raise OutputError(f'no output "{name}"; there are {", ".join(self.names)}') from None

    def items(self) -> Iterator[tuple[str, Value]]:
        """Names and values in graph order."""
        return zip(self.names, self.values, strict=True)

    def only(self, name: str) -> Outputs:
        """That output alone.

        Raises:
            OutputError: there is none of that name.
        """
        return Outputs((name,), (self[name],))

    def replacing(self, name: str, value: Value) -> Outputs:
        """The same outputs but for one; the others are shared, not copied."""
        return Outputs(self.names, tuple(value if each == name else old for each, old in self.items()))


def outputs_digest(outputs: Outputs) -> bytes:
    """SHA-256 of the canonical form of all outputs, 32 bytes.

    Raises:
        OutputError: a value has no canonical form, such as a sparse tensor.
    """
    parts: Parts = [_OUTPUTS_DOMAIN, _COUNT(len(outputs.names))]
    for name, value in zip(outputs.names, outputs.values, strict=True):
        parts.append(_name(name))
        try:
            _write(parts, value)
        except OutputError as error:
            raise OutputError(f'output "{name}" {error}') from None
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def root_digest(digests: Sequence[bytes]) -> bytes:
    """The digest of a block: SHA-256 over how many requests it has and the digest of each, in order.

    Raises:
        ValueError: something among them is no digest of 32 bytes.

    Example:
        >>> root_digest([bytes(32)]) == root_digest([bytes(32), bytes(32)])
        False
    """
    for digest in digests:
        if len(digest) != DIGEST_BYTES:
            raise ValueError(f"a digest of {len(digest)} bytes; each has {DIGEST_BYTES}")
    return sha256(b"".join((_ROOT_DOMAIN, _COUNT(len(digests)), *digests))).digest()


def canonical(value: Value) -> bytes:
    """The canonical form of one value: equal bytes if and only if the values are equal bit for bit.

    Raises:
        OutputError: the value has none.
    """
    parts: Parts = []
    _write(parts, value)
    return b"".join(parts)


def _write(parts: Parts, value: object) -> None:
    # The order matters: a NumPy string or float is also a Python one.
    match value:
        case np.ndarray():
            _write_tensor(parts, value)
        case str():
            parts.append(b"s" + _text(value))
        case np.generic():
            _write_tensor(parts, np.asarray(value))
        case int():
            parts.append(b"i" + _text(str(value)))  # a bool too: True reads like no number
        case float():
            parts.append(b"f" + _DOUBLE(value))
        case dict():
            _write_map(parts, value)
        case list() | tuple():
            parts.append(b"S" + _COUNT(len(value)))
            for item in value:
                _write(parts, item)
        case None:
            parts.append(b"N")
        case _:
            kind = type(value).__name__
            raise OutputError(f"holds {kind}; a digest covers tensors, strings, numbers, sequences, maps and optionals")


def _write_tensor(parts: Parts, array: npt.NDArray[Any]) -> None:
    dtype = array.dtype
    if dtype.kind in "OUT":
        parts.append(_tensor_head("string", array.shape))
        _write_elements(parts, array)
        return
    parts.append(_tensor_head(_number_name(dtype), array.shape))
    if dtype.byteorder in _SWAPPED:
        array = array.astype(dtype.newbyteorder("<"))
    if array.nbytes > COPIED_BYTES_MAX and array.flags.c_contiguous:
        parts.append(array.reshape(-1).view(np.uint8).data)  # hashed where it lies: a copy takes longer than the hash
    else:
        parts.append(array.tobytes())


def _write_elements(parts: Parts, array: npt.NDArray[Any]) -> None:
    for element in array.ravel().tolist():
        if not isinstance(element, str):
            raise OutputError(f"holds {type(element).__name__} among its strings")
        parts.append(_text(element))


def _write_map(parts: Parts, entries: Mapping[Any, object]) -> None:
    parts.append(b"M" + _COUNT(len(entries)))
    for key, item in sorted(((canonical(key), item) for key, item in entries.items()), key=itemgetter(0)):
        parts.append(key)
        _write(parts, item)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _COUNT(len(encoded)) + encoded


_name = lru_cache(maxsize=4096)(_text)


@lru_cache(maxsize=4096)
def _tensor_head(dtype_name: str, shape: tuple[int, ...]) -> bytes:
    return b"T" + _text(dtype_name) + b"".join(map(_COUNT, (len(shape), *shape)))


@lru_cache(maxsize=256)
def _number_name(dtype: np.dtype[Any]) -> str:
    # The kinds of ONNX; bfloat16 and its like come from ml_dtypes and count as NumPy's user-defined (isbuiltin 2).
    if dtype.kind in "biufc" or dtype.isbuiltin == 2:
        return dtype.name
    raise OutputError(f"has dtype {dtype}, which no ONNX tensor has")
