"""Inputs made for any model: random tensors drawn from a stream, of values that the model can take."""

from __future__ import annotations

import math
from collections import OrderedDict
from hashlib import sha256
from typing import NamedTuple

from lastbit.inputs.domains import Domain, element_dtype
from lastbit.inputs.input_set import Array, InputsError, RequestInput, content_key, frozen
from lastbit.inputs.options import Overrides
from lastbit.inputs.plan import InputPlan, plan_inputs
from lastbit.inputs.trial import allowed_indices, blamed_inputs, run_once, shortened
from replicas.model import Model
from simcore.streams import Streams

STREAM = "inputs"
CHUNK_REQUESTS_MAX = 1024
CHUNK_ELEMENTS_MAX = 1 << 18
CHUNKS_KEPT_MAX = 3


class GeneratedInputs:
    """Random inputs for a model, drawn from the stream "inputs" by chunk of requests and position of the input.

    Open dimensions are settled once (`settle_shapes`). Integers that pick rows of a table stay inside it
    (`find_bounds`); other integers are 0..9 (bytes: all values; masks: 1), floats -1..1, strings a few words. One run
    is tried first, with the least and the greatest value of each input in it.

    Args:
        model: any model.
        streams: of the run.
        overrides: what the user says of sizes and values.

    Raises:
        InputsError: an override names nothing or does not fit, an input cannot be made, or the tried run fails: then
            the message names what to set.
    """

    def __init__(self, model: Model, streams: Streams, overrides: Overrides | None = None) -> None:
        self._streams = streams
        self._plan = plan_inputs(model, overrides or Overrides())
        elements = sum(math.prod(shape) for shape in self._plan.settled.shapes.values())
        self._chunk_requests = max(1, min(CHUNK_REQUESTS_MAX, CHUNK_ELEMENTS_MAX // max(1, elements)))
        self._chunks: OrderedDict[int, _Chunk] = OrderedDict()
        _try_once(model, self._plan, self.tensors(0))

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of names, dtypes, shapes and domains: with the seed they decide every value."""
        return sha256(self.describe().encode()).hexdigest()

    def describe(self) -> str:
        """One line for people: each input with its dtype, shape and values."""
        return f"generated: {self._plan.describe()}"

    def tensors(self, request_id: int) -> RequestInput:
        """The random input of a request."""
        number, position = divmod(request_id, self._chunk_requests)
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._draw(number)
        request = chunk.requests.get(position)
        if request is None:
            # The ellipsis keeps a scalar an array.
            tensors = {name: drawn[position, ...] for name, drawn in chunk.tensors.items()}
            request = chunk.requests[position] = RequestInput(content_key(tensors), tensors)
        return request

    def _draw(self, number: int) -> _Chunk:
        tensors: dict[str, Array] = {}
        for index, spec in enumerate(self._plan.specs):
            generator = self._streams.generator(STREAM, number, index)
            shape = (self._chunk_requests, *self._plan.settled.shapes[spec.name])
            tensors[spec.name] = frozen(self._plan.domains[spec.name].draw(generator, shape, element_dtype(spec)))
        chunk = self._chunks[number] = _Chunk(tensors, {})
        if len(self._chunks) > CHUNKS_KEPT_MAX:
            self._chunks.popitem(last=False)
        return chunk


class _Chunk(NamedTuple):
    tensors: dict[str, Array]  # of all requests of the chunk, which the leading axis counts
    requests: dict[int, RequestInput]  # those asked for, since each replica asks for the same


def _try_once(model: Model, plan: InputPlan, request: RequestInput) -> None:
    tensors = {name: _with_ends(array, plan.domains[name]) for name, array in request.tensors.items()}
    words = run_once(model, tensors)
    if not words:
        return
    blamed = blamed_inputs(model, words)
    allowed = allowed_indices(words)
    lines = [
        f"{model.name}: cannot run on the inputs made for it, nothing was run",
        "",
        f"  onnxruntime says   {shortened(words)}",
        f"  about              {', '.join(blamed) or 'no input'}",
        f"  tried              {plan.describe()}",
        f"  to change that     {'  '.join(plan.options(blamed))}",
        "  or your own        --inputs FILE.npz",
    ]
    if allowed is not None:
        lines.insert(-2, f"  indices allowed    {allowed[0]}:{allowed[1]}")
    raise InputsError("\n".join(lines))


def _with_ends(array: Array, domain: Domain) -> Array:
    """A copy whose first and last element are the ends of the domain: what fails at an end must fail now."""
    tried = array.copy()
    if tried.size:
        low, high = domain.ends()
        tried.reshape(-1)[0] = low
        tried.reshape(-1)[-1] = high
    return tried
