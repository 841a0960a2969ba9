"""The images of a bundled model: the real ones, or noisy variants drawn from a stream, so that none need repeat."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lastbit.cards import InputSetLine, ModelCard, verified_content
from lastbit.inputs.input_set import InputsError, RequestInput, frozen
from simcore.streams import Streams

Images = Literal["held-out", "all"]

STREAM = "inputs"
NOISE_MAX = 127
PASSES_KEPT_MAX = 4


class CardImages:
    """A card's images, one per request, with or without noise.

    Requests come in passes: each pass shows every image once, in an order drawn from the stream "inputs" by the number
    of the pass, with integer noise -noise..noise drawn for each pixel and clipped to the range of a pixel.

    Args:
        card: of the model.
        folder: where the card's image file lies.
        streams: of the run.
        images: those that the model was not trained on, or all.
        noise: amplitude in steps of a pixel; 0 gives the real images.

    Raises:
        CardError: the image file is missing or is not the one that the card names.
        InputsError: `images` or `noise` is not possible.
    """

    def __init__(
        self, card: ModelCard, folder: Path, streams: Streams, *, images: Images = "held-out", noise: int = 0
    ) -> None:
        if images not in get_args(Images):
            raise InputsError(f'images "{images}" is unknown; allowed: {", ".join(get_args(Images))}')
        if not 0 <= noise <= NOISE_MAX:
            raise InputsError(f"noise {noise} is no amplitude; 0 to {NOISE_MAX}")
        self._line = card.input_set
        self._images = images
        self._noise = noise
        self._streams = streams
        content = verified_content(folder / self._line.file, self._line.sha256, f'the card of "{card.name}"')
        self._pixels = _chosen_pixels(content, self._line, images)
        self._dtype = np.dtype(next(each.dtype for each in card.inputs if each.name == self._line.input))
        self._passes: OrderedDict[int, _Pass] = OrderedDict()

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the image file."""
        return self._line.sha256

    def describe(self) -> str:
        """One line for people: how many images, which, and how much noise.

        Example: ``449 held-out images of digits-images.npz, noise -2..2``.
        """
        noise = f", noise -{self._noise}..{self._noise}" if self._noise else ""
        which = "held-out images" if self._images == "held-out" else "images"
        return f"{len(self._pixels)} {which} of {self._line.file}{noise}"

    def tensors(self, request_id: int) -> RequestInput:
        """The image of a request, shape [1, pixels]."""
        number, position = divmod(request_id, len(self._pixels))
        shown = self._passes.get(number)
        if shown is None:
            shown = self._draw(number)
        return RequestInput(shown.keys[position], {self._line.input: shown.tensors[position]})

    def _draw(self, number: int) -> _Pass:
        generator = self._streams.generator(STREAM, number)
        pixels = self._pixels[generator.permutation(len(self._pixels))]
        if self._noise:
            noise = generator.integers(-self._noise, self._noise, size=pixels.shape, dtype=np.int8, endpoint=True)
            pixels = np.clip(pixels + noise, self._line.low, self._line.high)
        rows = frozen(pixels.astype(self._dtype)[:, None])
        # A pixel's value as one byte says it exactly, and hashes faster than a float tensor.
        keys = [row.tobytes() for row in pixels.astype(np.uint8)]
        shown = self._passes[number] = _Pass(keys, list(rows))
        if len(self._passes) > PASSES_KEPT_MAX:
            self._passes.popitem(last=False)
        return shown


class _Pass(NamedTuple):
    keys: list[bytes]
    tensors: list[npt.NDArray[Any]]


def _chosen_pixels(content: bytes, line: InputSetLine, images: Images) -> npt.NDArray[np.int16]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            pixels, held_out = arrays[line.input], arrays["held_out"]
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        # The file is the one its card names, so the card was written for a file of another kind.
        raise InputsError(f"{line.file}: no images as its card describes them: {error}") from error
    if pixels.min() < line.low or pixels.max() > line.high or line.low < 0 or line.high > 255:
        raise InputsError(f"{line.file}: pixels outside {line.low}..{line.high}, or that range outside 0..255")
    chosen: npt.NDArray[np.int16] = (pixels[held_out] if images == "held-out" else pixels).astype(np.int16)
    return chosen
