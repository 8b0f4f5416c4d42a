"""``/infer`` with tensors as ``.npy`` and JSON and with images, and its refusals."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.api import Api, running_api, write_linear_onnx
from tests.integration.inference.networks import node, write_onnx

NPY = {"Content-Type": "application/x-npy"}
WEIGHT = np.array([[1.0, 0, 2], [0, 1, 0], [0, 0, 1], [3, 0, 0]])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("bodies")
    with running_api(folder / "data", limits={"image_pixels": 10_000}) as found:
        yield found


@pytest.fixture(scope="module")
def model(api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    write_linear_onnx(path, WEIGHT, ["batch", 1, 2, 2])
    return api.ready_model(path)


@pytest.fixture(scope="module")
def pixels_model(api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that returns the red pixels of a 2 x 3 image unchanged."""
    path = write_onnx(
        tmp_path_factory.mktemp("model") / "m.onnx",
        [
            node("Slice", ["x", "starts", "ends", "axes"], ["red"]),
            node("Flatten", ["red"], ["y"]),
        ],
        {"x": ["batch", 3, 2, 3]},
        {"y": ["batch", 6]},
        starts=np.array([0]),
        ends=np.array([1]),
        axes=np.array([1]),
    )
    return api.ready_model(path, preprocess={"scale": 1.0})


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype == object)
    return file.getvalue()


def npy_head(fields: str) -> bytes:
    """A file of four numbers with a header of one's own."""
    head = f"{{{fields}}}\n".encode()
    return b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(16)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scores(api: Api, model: str, data: bytes, media_type: str) -> dict[int, float]:
    """Return the probabilities of an image by class."""
    response = api.client.post(
        f"/infer?model={model}&top_k=100", content=data, headers={"Content-Type": media_type}
    )
    assert response.status_code == 200, response.text
    return {item["index"]: item["score"] for item in response.json()["labels"][0]}


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "u1"])
def test_a_npy_body_gives_what_the_same_numbers_give_as_json(
    dtype: str, api: Api, model: str
) -> None:
    x = np.arange(12).reshape(3, 1, 2, 2).astype(dtype)
    url = f"/v1/models/{model}/infer"
    expected = api.client.post(url, json={"inputs": x.tolist()}).json()
    for array in (x, np.asfortranarray(x)):
        assert api.client.post(url, content=npy(array), headers=NPY).json() == expected
    binary = api.client.post(url, content=npy(x), headers={**NPY, "Accept": NPY["Content-Type"]})
    assert np.load(io.BytesIO(binary.content)).tolist() == expected["outputs"]
    assert binary.headers["X-Model"] == model


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff" + bytes(20), "header ends at byte"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': 1, 2} ", "header cannot be read"),
        (npy(np.ones((1, 1, 2, 2), np.float32))[:-1], "16 bytes follow"),
        (npy(np.ones((1, 2), np.float32)), "takes shape"),
        (npy(np.ones((1, 1, 2, 2), np.complex64)), "takes float32, not complex64"),
        (npy(np.full((1, 1, 2, 2), None)), "takes float32, not object"),
        (npy(np.ones((0, 1, 2, 2), np.float32)), "takes shape"),
        (npy_head("'shape': (-1, 1, -2, 2), 'fortran_order': False, 'descr': '<f4'"), "impossible"),
        (
            npy_head("'shape': (True, 1, 2, 2), 'fortran_order': False, 'descr': '<f4'"),
            "impossible",
        ),
        (npy_head("'shape': (1, 1, 2, 2), 'fortran_order': False, 'descr': ()"), "cannot be read"),
        (npy_head("'shape': ("), "cannot be read"),
        (npy_head("'shape': " + "-" * 3900 + "1"), "cannot be read"),
    ],
)
def test_a_npy_body_that_does_not_fit_is_refused_with_a_reason(
    body: bytes, words: str, api: Api, model: str
) -> None:
    response = api.client.post(f"/infer?model={model}", content=body, headers=NPY)
    assert response.status_code == 422
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"variant": "dense"}, "/parameters/variant: must be one of"),
        ({"priority": 101}, "/parameters/priority"),
        ({"priority": "high"}, "/parameters/priority: must be a number"),
        ({"timeout_seconds": 0}, "/parameters/timeout_seconds: must be above 0"),
        ({"urgent": True}, "/parameters/urgent: unknown option"),
        ([1], "/parameters: must be an object"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(
    parameters: object, words: str, api: Api, model: str
) -> None:
    body = {"inputs": [[[[1, 2], [3, 4]]]], "parameters": parameters}
    response = api.client.post(f"/v1/models/{model}/infer", json=body)
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_priority_and_a_generous_timeout_change_no_answer(api: Api, model: str) -> None:
    url, inputs = f"/v1/models/{model}/infer", {"inputs": [[[[1, 2], [3, 4]]]]}
    plain = api.client.post(url, json=inputs).json()
    parameters = {"priority": 5, "timeout_seconds": 60}
    assert api.client.post(url, json={**inputs, "parameters": parameters}).json() == plain
    query = "?priority=5&timeout_seconds=60"
    assert api.client.post(url + query, json=inputs).json() == plain


def test_a_model_is_named_by_its_name_or_its_id(api: Api, model: str) -> None:
    inputs = [[[[1, 2], [3, 4]]]]
    version = api.client.get(f"/v1/models/{model}").json()["version"]
    by_id = api.client.post("/infer", json={"model": model, "inputs": inputs})
    by_name = api.client.post("/infer", json={"model": f"net@{version}", "inputs": inputs})
    assert by_name.json() == by_id.json()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_png_and_webp_are_the_same_picture(
    kind: str, options: dict[str, Any], api: Api, pixels_model: str
) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 1, 0] = 9
    found = scores(api, pixels_model, encode(Image.fromarray(pixels), kind, **options), "image/x")
    assert max(found, key=found.__getitem__) == 1


def test_a_jpeg_is_turned_the_way_its_camera_was_held(api: Api, pixels_model: str) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)  # blocks of 8, which JPEG keeps apart
    pixels[:8, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    plain = encode(Image.fromarray(pixels), "JPEG", quality=100)
    turned = encode(Image.fromarray(pixels), "JPEG", quality=100, exif=exif)
    best = [
        max(found, key=found.__getitem__)
        for found in (scores(api, pixels_model, data, "image/jpeg") for data in (plain, turned))
    ]
    assert best == [2, 3]  # top right, bottom left


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.array([[0, 255], [128, 64]], np.uint8)),
        Image.fromarray(np.array([[0, 255], [128, 64]], np.uint8)).convert("RGBA"),
        Image.fromarray(np.array([[0, 255], [128, 64]], np.uint8)).convert("LA"),
        Image.fromarray(np.array([[0, 255], [128, 64]], np.uint8)).convert("P"),
        Image.fromarray((np.array([[0, 255], [128, 64]]) << 8).astype(np.uint16)),
    ],
    ids=["grey", "RGBA", "grey and alpha", "palette", "16 bits"],
)
def test_grey_is_grey_however_it_is_stored(image: Image.Image, api: Api, model: str) -> None:
    grey = Image.fromarray(np.array([[0, 255], [128, 64]], np.uint8))
    expected = scores(api, model, encode(grey, "PNG"), "image/png")
    assert scores(api, model, encode(image, "PNG"), "image/png") == pytest.approx(expected)


def test_images_of_any_size_must_be_of_one_size_and_within_the_limit_together(
    api: Api, tmp_path: Path
) -> None:
    shape: list[int | str] = ["batch", 1, "height", "width"]
    path = write_onnx(
        tmp_path / "m.onnx",
        [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["y"])],
        {"x": shape},
        {"y": ["batch", 1]},
    )
    any_size = api.ready_model(path)

    def post(*sizes: tuple[int, int]) -> tuple[int, str]:
        files = [("file", ("a.png", encode(Image.new("L", size), "PNG"))) for size in sizes]
        response = api.client.post(f"/infer?model={any_size}", files=files)
        return response.status_code, response.text

    assert post((30, 20), (30, 20))[0] == 200
    assert post((30, 20), (20, 30))[0] == 422
    status, text = post(*[(90, 100)] * 2)
    assert (status, "at most 10000 are allowed" in text) == (413, True)
