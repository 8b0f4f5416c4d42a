"""Hostile files sent through the whole service: it refuses them and keeps running."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.attacks.files import test_arrays, test_images, test_programs, test_tables
from tests.attacks.files.payloads import pickle
from tests.fixtures.service import Service, npz_bytes, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("attacked") / "data", OMP_NUM_THREADS="1") as found:
        yield found


def attempts(service: Service) -> list[str]:
    """Return the folders of attempts in the worker's scratch space."""
    walk = os.walk(service.folder / "scratch")
    return [name for _, folders, _ in walk for name in folders if "attempt" in name]


def test_hostile_files_are_refused_and_the_service_lives(service: Service, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    programs, arrays = test_programs, test_arrays
    images, tables = test_images, test_tables
    found = {}
    for kind, name, make in (
        ("models", "a weight that is a pickle", programs.a_weight_that_says_it_is_a_pickle),
        ("models", "a constant of a terabyte", programs.a_constant_of_a_terabyte),
        ("datasets", "objects", arrays.samples_that_are_objects),
        ("datasets", "a pixel bomb", images.a_picture_of_more_pixels_than_memory_has),
        ("datasets", "a link", images.a_link_and_a_picture_written_through_it),
        ("datasets", "a repeated image", tables.columns_that_inflate_a_thousandfold),
    ):
        item = service.upload(kind, make(marker))
        found[name] = (item["status"], item["error"]["code"])
    assert found == {
        "a weight that is a pickle": ("rejected", "model_rejected"),
        "a constant of a terabyte": ("rejected", "too_large"),
        "objects": ("rejected", "data_error"),
        "a pixel bomb": ("rejected", "too_large"),
        "a link": ("rejected", "data_error"),
        "a repeated image": ("rejected", "too_large"),
    }
    assert not marker.exists()
    # The worker deletes the last attempt's folder after it has reported the verdict.
    service.wait(lambda: {"left": attempts(service)}, lambda found: not found["left"])
    x = np.zeros((20, 2, 2), np.uint8)
    assert service.upload("datasets", npz_bytes(x=x, y=np.arange(20) % 2))["status"] == "ready"


def test_other_kinds_of_files_are_refused_on_upload(service: Service, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    for kind, data in (
        ("models", pickle(marker)),
        ("models", test_programs.an_executable_with_a_model_behind_it(marker)),
        ("datasets", pickle(marker)),
        ("datasets", test_images.a_script_in_front_of_a_zip(marker)),
    ):
        response = service.client.post(f"/v1/{kind}", content=data)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media")
    assert not marker.exists()
