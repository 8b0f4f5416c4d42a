"""Forms as browsers, curl and Windows send them, and early refusals."""

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.contracts.errors import InvalidInputError, UnsupportedMediaError
from app.spool import Spool
from app.uploads import beginning_check
from tests.fixtures.api import Api, running_api, write_linear_onnx
from tests.fixtures.files import zip_bytes

MODEL = ("m.pt2", zip_bytes())
CONFIG = json.dumps({"seed": 7}).encode()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("forms") / "data") as found:
        yield found


def post(api: Api, **parts: Any) -> Any:
    return api.client.post("/v1/jobs", files=parts)


@pytest.mark.parametrize(
    "config",
    [
        ("config.json", CONFIG, "application/json"),
        ("config.json", b"\xef\xbb\xbf" + CONFIG),
        ("config.json", CONFIG.decode().encode("utf-16")),
        (None, b"\xef\xbb\xbf" + CONFIG),
    ],
    ids=["file", "UTF-8 with a mark", "UTF-16", "text with a mark"],
)
def test_a_config_may_come_as_a_file(api: Api, config: Any) -> None:
    response = post(api, model=MODEL, config=config)
    assert response.status_code == 202, response.text
    assert response.json()["resolved"]["seed"] == 7


def test_an_id_may_stand_in_place_of_a_file(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    response = post(api, model=(None, model), dataset=("d.npz", zip_bytes(b"x.npy")))
    assert response.status_code == 202, response.text
    assert response.json()["model"] == model
    dataset = response.json()["dataset"]
    response = post(api, model=MODEL, dataset=(None, dataset))
    assert response.json()["dataset"] == dataset
    response = post(api, model=(None, model), dataset=(None, dataset), config=(None, "{}"))
    assert response.status_code == 202, response.text
    response = post(api, model=MODEL, dataset=("", b""))  # a file input of a page, left empty
    assert response.json()["dataset"] is None


def test_misspelled_form_parts_get_a_suggestion(api: Api) -> None:
    for parts, words in (
        ({"model": MODEL, "data": ("d.npz", b"x")}, "did you mean 'dataset'?"),
        ({"mdoel": MODEL}, "did you mean 'model'?"),
        ({"model": MODEL, "confg": (None, "{}")}, "did you mean 'config'?"),
        ({"model": (None, "net.pt2")}, "-F model=@net.pt2"),
        ({"model": (None, "mdl_nope")}, "no model 'mdl_nope'"),
    ):
        response = post(api, **parts)
        assert words in response.json()["detail"]
    response = api.client.post("/v1/models", files={"file": (None, "net.pt2")})
    assert "-F file=@net.pt2" in response.json()["detail"]
    response = api.client.post("/v1/models", files={"name": (None, "net"), "file": MODEL})
    assert "?name=" in response.json()["detail"]


def test_a_file_is_refused_before_it_has_fully_arrived(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9, "w.pth", beginning_check("model"))
    with pytest.raises(UnsupportedMediaError, match=r"w\.pth is a PyTorch pickle"):
        asyncio.run(spool.write(zip_bytes(b"w/data.pkl") + bytes(4096)))
    spool = Spool(tmp_path, 10**9, None, beginning_check("model"))
    with pytest.raises(InvalidInputError, match="architecture"):
        asyncio.run(spool.write((4096).to_bytes(8, "little") + b"{" + bytes(4096)))


def test_a_form_is_refused_by_the_first_bytes_of_its_file(api: Api) -> None:
    response = post(api, model=("w.pth", zip_bytes(b"w/data.pkl") + bytes(4096)))
    assert response.status_code == 415
    assert "load_state_dict" in response.json()["detail"]


def test_a_raw_image_is_recognised_under_any_content_type(api: Api, tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "m.onnx", np.eye(4, dtype=np.float32), ["batch", 1, 2, 2])
    model = api.ready_model(tmp_path / "m.onnx", class_names=["a", "b", "c", "d"])
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    form = "application/x-www-form-urlencoded"
    for media_type in (form, "application/octet-stream", None):
        headers = {} if media_type is None else {"Content-Type": media_type}
        content = buffer.getvalue()
        response = api.client.post(f"/infer?model={model}", content=content, headers=headers)
        assert len(response.json()["labels"][0]) == 4, response.text
    array = io.BytesIO()
    np.save(array, np.zeros((1, 1, 2, 2), np.float32))
    response = api.client.post(f"/infer?model={model}", content=array.getvalue())
    assert "outputs" in response.json()
    for content, words in (
        (b"\x80\x04\x95pickle", "the body is a pickle"),
        (b"<!doctype html>", "web page"),
        (b'{"inputs": [1,}', "line 1, column"),
        (b'{"input": [1]}', "did you mean 'inputs'?"),
        (b"", "empty"),
    ):
        response = api.client.post(f"/infer?model={model}", content=content)
        assert response.status_code == 422
        assert words in response.json()["detail"]
    response = api.client.post(f"/infer?model={model}", files={"image": (None, "photo.png")})
    assert "-F image=@photo.png" in response.json()["detail"]


def test_a_parameter_that_a_route_does_not_take_is_refused(api: Api) -> None:
    for path, words in (
        ("/v1/datasets?preproces=unit", "did you mean 'preprocess'?"),
        ("/v1/models?nam=net", "did you mean 'name'?"),
        ("/infer?modle=net", "did you mean 'model'?"),
        ("/v1/jobs?dry_run=1", "'dry_run'"),
    ):
        response = api.client.post(path, content=zip_bytes())
        assert response.status_code == 422
        assert words in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"].startswith("/")
    response = api.client.get("/v1/models?limit=many")
    assert response.json()["detail"] == '/limit: must be a whole number, not "many"'
    response = api.client.post("/v1/models?architecture=resnet18", content=zip_bytes())
    assert "torchvision|timm" in response.json()["detail"]
    assert "should" not in response.json()["detail"]


def test_names_are_taken_where_they_are_shown(tmp_path: Path) -> None:
    with running_api(tmp_path / "data") as api:
        first = api.client.post("/v1/models?name=rn18", content=zip_bytes()).json()["id"]
        npz = zip_bytes(b"x.npy")
        dataset = api.client.post("/v1/datasets?name=pets", content=npz).json()["id"]
        assert api.client.get("/v1/models/rn18").json()["id"] == first
        assert api.client.get("/v1/datasets/pets").json()["id"] == dataset
        body = {"model": "rn18", "dataset": "pets"}
        job = api.client.post("/v1/jobs", json=body).json()
        assert (job["model"], job["dataset"]) == (first, dataset)
        sweep = {**body, "grid": {"/seed": [1, 2]}}
        assert api.client.post("/v1/sweeps", json=sweep).json()["model"] == first
        second = api.client.post("/v1/models?name=rn18", content=zip_bytes()).json()["id"]
        for response in (
            api.client.get("/v1/models/rn18"),
            api.client.delete("/v1/models/rn18"),
        ):
            assert response.status_code == 422
            assert f"rn18@1 ({first}), rn18@2 ({second})" in response.json()["detail"]
        assert api.client.post("/v1/jobs", json=body).json()["model"] == second, "the newest upload"
        assert api.client.get("/v1/models/rn18@2").json()["id"] == second
        other = api.client.get("/v1/models/rn18", headers=api.other_tenant())
        assert other.status_code == 404
