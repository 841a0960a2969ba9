"""The images of a bundled model, with and without noise."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from lastbit import resources
from lastbit.cards import CardError, bundled_card
from lastbit.inputs import CardImages, InputsError
from lastbit.inputs.images import Images
from simcore.streams import Streams

CARD = bundled_card("digits-mlp")
FOLDER = resources.models_folder()


def images(chosen: Images = "held-out", noise: int = 0, seed: int = 1) -> CardImages:
    """The images of a run with that seed."""
    return CardImages(CARD, FOLDER, Streams(seed), images=chosen, noise=noise)


def real_images(*, held_out_only: bool) -> set[bytes]:
    """The images of the file, as float32 bytes."""
    with np.load(FOLDER / CARD.input_set.file) as arrays:
        chosen = arrays["held_out"] if held_out_only else slice(None)
        return {row.tobytes() for row in arrays["image"][chosen].astype(np.float32)}


@pytest.mark.parametrize(("chosen", "count"), [("held-out", 449), ("all", 1797)])
def test_a_pass_shows_each_image_once(chosen: Images, count: int) -> None:
    shown = [images(chosen).tensors(i).tensors["image"].tobytes() for i in range(count)]
    assert len(set(shown)) == count
    assert set(shown) == real_images(held_out_only=chosen == "held-out")


def test_the_next_pass_shows_the_same_images_in_another_order() -> None:
    inputs = images()
    first, second = ([inputs.tensors(i).key for i in range(start, start + 449)] for start in (0, 449))
    assert first != second
    assert sorted(map(repr, first)) == sorted(map(repr, second))


def test_a_request_gets_the_same_whatever_was_asked_before() -> None:
    ids = list(range(0, 9000, 17))
    forward, backward = images(noise=2), images(noise=2)
    first = {i: forward.tensors(i).tensors["image"].tobytes() for i in ids}
    assert {i: backward.tensors(i).tensors["image"].tobytes() for i in reversed(ids)} == first


def test_another_seed_gives_another_order_and_other_noise() -> None:
    assert images(seed=1).tensors(0).key != images(seed=2).tensors(0).key
    assert images(noise=1, seed=1).tensors(0).key != images(noise=1, seed=2).tensors(0).key


def test_noise_uses_its_whole_width_and_stays_among_pixel_values() -> None:
    plain, noisy = images(), images(noise=2)
    moved, seen = set(), set()
    for request_id in range(449):
        clean, changed = (each.tensors(request_id).tensors["image"] for each in (plain, noisy))
        seen |= set(changed.flat)
        moved |= set((changed - clean).flat)
    assert moved == {-2, -1, 0, 1, 2}
    assert seen == set(range(17))


def test_noisy_prompts_do_not_repeat() -> None:
    inputs = images(noise=2)
    assert len({inputs.tensors(i).key for i in range(20_000)}) == 20_000


def test_keys_are_equal_exactly_where_the_content_is() -> None:
    inputs = images()
    pairs = {(inputs.tensors(i).key, inputs.tensors(i).tensors["image"].tobytes()) for i in range(1000)}
    assert len(pairs) == len({key for key, _ in pairs}) == len({content for _, content in pairs}) == 449


def test_tensors_are_batches_of_one_that_cannot_be_written_to() -> None:
    image = images(noise=2).tensors(5).tensors["image"]
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((1, 64), np.float32, True)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_the_description_tells_images_and_noise() -> None:
    assert images(noise=2).describe() == "449 held-out images of digits-images.npz, noise -2..2"
    assert images("all").describe() == "1797 images of digits-images.npz"


@pytest.mark.parametrize("noise", [-1, 128])
def test_an_impossible_noise_is_refused(noise: int) -> None:
    with pytest.raises(InputsError, match="0 to 127"):
        images(noise=noise)


def test_unknown_images_are_refused() -> None:
    with pytest.raises(InputsError, match="allowed: held-out, all"):
        images("some")  # type: ignore[arg-type]


def test_images_that_are_not_those_of_the_card_are_refused() -> None:
    line = msgspec.structs.replace(CARD.input_set, sha256="0" * 64)
    with pytest.raises(CardError, match="the file was changed or is damaged"):
        CardImages(msgspec.structs.replace(CARD, input_set=line), FOLDER, Streams(1))
