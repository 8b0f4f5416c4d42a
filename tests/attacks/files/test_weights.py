"""Hostile ``.safetensors`` files: the header is checked before a tensor is created."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save

from tests.attacks.files.payloads import pickle
from tests.attacks.files.reading import READ, Case, Cases, Outcome, ReadingChild

FORMAT = "safetensors"
NETWORK = {"name": "torchvision/squeezenet1_1", "num_classes": 3, "image_size": 32}
CASES = Cases(FORMAT)
refused = CASES.refused
DAMAGED = "not a safetensors file"
FIRST = "features.0.weight"


@functools.cache
def good() -> bytes:
    model = torchvision.models.squeezenet1_1(num_classes=3)
    found: bytes = save(model.state_dict())
    return found


def header() -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(good()[:8], "little")
    found: dict[str, Any] = json.loads(good()[8 : 8 + size])
    return found, good()[8 + size :]


def packed(head: Any, data: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data


def changed(name: str = FIRST, **values: Any) -> bytes:
    head, data = header()
    head[name].update(values)
    return packed(head, data)


def with_tensor(name: str, tensor: torch.Tensor) -> bytes:
    state = torchvision.models.squeezenet1_1(num_classes=3).state_dict()
    found: bytes = save({**state, name: tensor})
    return found


@refused("model_rejected", DAMAGED)
def a_pickle(marker: Path) -> bytes:
    return pickle(marker)


@refused("model_rejected", DAMAGED)
def a_header_longer_than_memory(_marker: Path) -> bytes:
    return (2**62).to_bytes(8, "little") + b"{" + good()[9:]


@refused("model_rejected", DAMAGED)
def a_header_longer_than_the_file(_marker: Path) -> bytes:
    return (len(good()) + 1).to_bytes(8, "little") + good()[8:]


@refused("model_rejected", DAMAGED)
def a_header_that_is_a_pickle(marker: Path) -> bytes:
    return packed(pickle(marker))


@refused("model_rejected", DAMAGED)
def a_header_that_is_a_list(_marker: Path) -> bytes:
    return packed([1, 2, 3])


@refused("model_rejected", DAMAGED)
def a_header_that_nests_without_end(_marker: Path) -> bytes:
    return packed(b'{"a":' * 100_000)


@refused("model_rejected", DAMAGED)
def a_header_that_is_not_utf8(_marker: Path) -> bytes:
    return packed(b'{"\xff\xfe": {}}')


@refused("model_rejected", DAMAGED)
def a_tensor_twice(_marker: Path) -> bytes:
    entry = b'"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    return packed(b"{" + entry + b"," + entry.replace(b"0, 4", b"4, 8") + b"}", bytes(8))


@refused("model_rejected", DAMAGED)
def tensors_that_share_their_bytes(_marker: Path) -> bytes:
    head, _ = header()
    names = [name for name in head if name != FIRST]
    return changed(FIRST, data_offsets=head[names[0]]["data_offsets"])


@refused("model_rejected", DAMAGED)
def offsets_behind_the_end(_marker: Path) -> bytes:
    return changed(data_offsets=[2**40, 2**40 + 6912])


@refused("model_rejected", DAMAGED)
def offsets_that_run_backwards(_marker: Path) -> bytes:
    return changed(data_offsets=[6912, 0])


@refused("model_rejected", DAMAGED)
def a_negative_offset(_marker: Path) -> bytes:
    return changed(data_offsets=[-6912, 0])


@refused("model_rejected", DAMAGED)
def a_shape_whose_product_overflows(_marker: Path) -> bytes:
    return changed(shape=[2**62, 2**62])


@refused("model_rejected", DAMAGED)
def a_negative_size(_marker: Path) -> bytes:
    return changed(shape=[-64, 3, 3, 3])


@refused("model_rejected", DAMAGED)
def a_type_that_nobody_knows(_marker: Path) -> bytes:
    return changed(dtype="OBJECT")


@refused("model_rejected", DAMAGED)
def bytes_that_belong_to_no_tensor(_marker: Path) -> bytes:
    return good() + bytes(100)


@refused("model_rejected", DAMAGED)
def a_file_cut_in_the_middle(_marker: Path) -> bytes:
    return good()[: len(good()) // 2]


@refused("model_rejected", f"of another type {FIRST} is I32")
def whole_numbers_for_weights(_marker: Path) -> bytes:
    return with_tensor(FIRST, torch.zeros(64, 3, 3, 3, dtype=torch.int32))


@refused("model_rejected", f"of another type {FIRST} is F8_E4M3")
def numbers_of_eight_bits(_marker: Path) -> bytes:
    return with_tensor(FIRST, torch.zeros(64, 3, 3, 3).to(torch.float8_e4m3fn))


@refused("model_rejected", f"of another type {FIRST} is C64")
def complex_numbers(_marker: Path) -> bytes:
    return with_tensor(FIRST, torch.zeros(64, 3, 3, 3, dtype=torch.complex64))


@refused("model_rejected", f"of another shape {FIRST} is (3, 64, 3, 3), not (64, 3, 3, 3)")
def a_shape_turned_around(_marker: Path) -> bytes:
    return changed(shape=[3, 64, 3, 3])


@refused("model_rejected", "unexpected __class__")
def a_tensor_with_the_name_of_an_attribute(_marker: Path) -> bytes:
    return with_tensor("__class__", torch.zeros(1))


@refused("model_rejected", f"{FIRST} has values that are NaN or infinite")
def weights_that_are_not_numbers(_marker: Path) -> bytes:
    return with_tensor(FIRST, torch.full((64, 3, 3, 3), float("nan")))


@refused("model_rejected", "unexpected aaaa")
def a_name_of_a_megabyte(_marker: Path) -> bytes:
    return with_tensor("a" * 2**20, torch.zeros(1))


def read(child: ReadingChild, data: bytes, limits: dict[str, int], **network: Any) -> Outcome:
    return child.read(data, FORMAT, limits, architecture={**NETWORK, **network})


@pytest.mark.parametrize("case", CASES.found, ids=lambda case: case.sentence)
def test_a_hostile_weights_file_is_refused(case: Case, child: ReadingChild, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    found = read(child, case.make(marker), case.limits)
    assert not marker.exists()
    assert found.strays == []
    assert (found.code, case.words in found.message) == (case.code, True), found
    assert len(found.message) < 1000


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"name": "torchvision/vit_h_14"}, "missing class_token"),
        ({"num_classes": 1_000_000}, "not (1000000, 512, 1, 1)"),
        ({"name": "torchvision/vgg19"}, "missing classifier.0"),
        ({"name": "timm/vit_giant_patch14_dinov2"}, "missing blocks.0"),
        ({"name": "timm/densenet121", "in_channels": 1024}, "missing"),
    ],
)
def test_a_small_file_never_makes_a_large_network(
    network: dict[str, Any], words: str, child: ReadingChild
) -> None:
    """Each network would take gigabytes; the process has 640 MB."""
    found = read(child, good(), {}, **network)
    assert (found.code, words in found.message) == ("model_rejected", True), found


def num_elements() -> int:
    return sum(t.numel() for t in torchvision.models.squeezenet1_1(num_classes=3).parameters())


def test_weights_at_a_limit_are_read_and_past_it_are_refused(child: ReadingChild) -> None:
    assert read(child, good(), {"tensor_elements": num_elements()}).code == READ
    found = read(child, good(), {"tensor_elements": num_elements() - 1})
    assert found.code == "too_large"
    assert f"the tensors have {num_elements()} elements, at most" in found.message


def test_an_image_too_large_for_memory_is_refused_by_arithmetic() -> None:
    """Two images would take 384 MB themselves."""
    child = ReadingChild(room_bytes=256 * 1024**2)
    try:
        found = read(child, good(), {"activation_bytes": 2**30}, image_size=4096)
    finally:
        child.stop()
    assert (found.code, "bytes for its values at" in found.message) == ("too_large", True), found
