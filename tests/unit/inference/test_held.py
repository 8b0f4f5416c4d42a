"""Decoded images: the API knows where they lie, and says when they may go."""

import numpy as np

from app.inference.held import HeldArray, Hold, holds_of
from app.serving.held import Held


def test_items_of_held_images_are_found_however_they_were_sliced() -> None:
    held = Held()
    images = np.arange(24, dtype=np.float32).reshape(6, 4)
    held.put("a", images)
    held.put("b", images + 100)
    a, b = (HeldArray(Hold(key, held.drop), (6, 4), images.dtype) for key in "ab")
    part = a[1:5][2:9]
    assert (len(part), part.shape, part.ndim, part.nbytes) == (2, (2, 4), 2, 32)
    found = held.find([part.place, b[5:].place])
    assert found is not None
    assert (found == np.concatenate([images[3:5], images[5:] + 100])).all()
    alone = held.find([part.place])
    assert alone is not None
    assert np.shares_memory(alone, images)


def test_images_go_when_the_last_user_has_let_go_and_are_not_found_then() -> None:
    held = Held()
    images = np.zeros((2, 3), np.float32)
    held.put("a", images)
    array = HeldArray(Hold("a", held.drop), images.shape, images.dtype)
    (hold,) = holds_of({"x": array, "y": images})
    hold.retain()  # as for a shadow run, which outlives its request
    hold.release()
    assert held.find([array.place]) is not None
    hold.release()
    assert held.find([array.place]) is None
