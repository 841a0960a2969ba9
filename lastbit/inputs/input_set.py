"""What an input set is: an endless, addressable supply of requests for one model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class InputsError(ValueError):
    """Inputs that are refused: the message says what, where and what is allowed."""


class RequestInput(NamedTuple):
    """The tensors of one request.

    Args:
        key: equal for two requests of one input set when, and only when, their tensors are equal in every bit.
        tensors: read-only, C-contiguous arrays by input name, each with its batch axis where the model has one.
            Strings are arrays of `object`.
    """

    key: Hashable
    tensors: Mapping[str, Array]


class InputSet(Protocol):
    """Inputs by request id. What a request gets depends on its id alone, not on what was asked before."""

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of what the inputs are made from, for the header of a trace."""
        ...

    def describe(self) -> str:
        """One line for people: where the inputs come from."""
        ...

    def tensors(self, request_id: int) -> RequestInput:
        """The input of a request; ids count from 0."""
        ...


def frozen(array: Array) -> Array:
    """The array, C-contiguous and closed for writing: whoever wrote into it would change a later request."""
    array = np.asarray(array, order="C")  # not ascontiguousarray, which gives a scalar an axis
    array.setflags(write=False)
    return array


def content_key(tensors: Mapping[str, Array]) -> bytes:
    """A key that is equal for equal content, of tensors whose names, dtypes and shapes are always the same."""
    digest = sha256()
    for array in tensors.values():
        if array.dtype != object:
            digest.update(array.reshape(-1).view(np.uint8).data)
            continue
        for text in array.flat:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.digest()


def refuse_all(where: str, faults: Sequence[tuple[str, str]]) -> NoReturn:
    """Raise one error that tells all faults at once, each with its place.

    Raises:
        InputsError: always.
    """
    width = max(len(place) for place, _ in faults)
    lines = "".join(f"\n  {place:<{width}}   {fault}" for place, fault in faults)
    raise InputsError(f"{where}: {len(faults)} fault{'s' if len(faults) > 1 else ''}, nothing was run\n{lines}")
