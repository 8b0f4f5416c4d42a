"""Every limit on a request: a value at the limit is accepted, one beyond it is refused."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.forms import MAX_PART_HEADER_BYTES, MAX_PART_HEADERS
from app.http.depth import DepthMeter
from tests.fixtures.api import Api, running_api, zip_bytes
from tests.fixtures.service import npz_bytes

JSON = {"Content-Type": "application/json"}
LIMITS = {"model_bytes": 1000, "dataset_bytes": 2000, "json_bytes": 500, "infer_bytes": 700}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api") / "data"
    with running_api(folder, limits=LIMITS) as found:
        yield found


def refusal(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def model_of(num_bytes: int) -> bytes:
    return zip_bytes().ljust(num_bytes, b"\0")


def data_of(num_bytes: int) -> bytes:
    return npz_bytes(x=np.zeros(0)).ljust(num_bytes, b"\0")


# ---------------------------------------------------------------------------------- the head


def test_the_length_of_a_path_is_limited(api: Api) -> None:
    most = "/" + "a" * (api.context.settings.http.path_bytes - 1)
    assert refusal(api.client.get(most)) == (404, "not_found")
    assert refusal(api.client.get(most + "a")) == (414, "url_too_long")


def test_the_length_of_a_query_is_limited(api: Api) -> None:
    most = "a=" + "b" * (api.context.settings.http.query_bytes - 2)
    assert api.client.get(f"/healthz?{most}").status_code == 200
    assert refusal(api.client.get(f"/healthz?{most}b")) == (414, "url_too_long")


def test_the_number_of_headers_is_limited(api: Api) -> None:
    sent = len(api.client.get("/healthz").request.headers)
    headers = {f"X-{n}": "1" for n in range(api.context.settings.http.num_headers - sent)}
    assert api.client.get("/healthz", headers=headers).status_code == 200
    answer = api.client.get("/healthz", headers=headers | {"X-One-More": "1"})
    assert refusal(answer) == (431, "headers_too_large")


def test_the_size_of_headers_is_limited(api: Api) -> None:
    headers = api.client.get("/healthz", headers={"X": ""}).request.headers
    taken = sum(len(name) + len(value) + 4 for name, value in headers.items())
    room = api.context.settings.http.header_bytes - taken
    assert api.client.get("/healthz", headers={"X": "a" * room}).status_code == 200
    answer = api.client.get("/healthz", headers={"X": "a" * (room + 1)})
    assert refusal(answer) == (431, "headers_too_large")


@pytest.mark.parametrize("path", ["/v1/jobs/a%00b", "/v1/jobs/a%0Ab", "/v1/models/%7F", "/%01"])
def test_a_path_holds_no_control_character(path: str, api: Api) -> None:
    assert refusal(api.client.get(path)) == (400, "bad_request")


def test_nul_in_a_query_is_refused(api: Api) -> None:
    assert refusal(api.client.get("/v1/models?after=a%00")) == (400, "bad_request")


@pytest.mark.parametrize(
    "url",
    ["/v1/models/%FF%FE", "/v1/jobs/%ED%A0%80", "/v1/models?after=%FF", "/v1/artifacts/%C0%80"],
)
def test_invalid_utf8_names_nothing(url: str, api: Api) -> None:
    assert api.client.get(url).status_code in {200, 404}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x-unknown"])
def test_a_compressed_body_is_refused_unread(encoding: str, api: Api) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    answer = api.client.post("/v1/models", content=bomb, headers={"Content-Encoding": encoding})
    assert refusal(answer) == (415, "unsupported_encoding")


def test_identity_is_no_compression(api: Api) -> None:
    headers = {"Content-Encoding": "identity"}
    assert api.client.post("/v1/models", content=zip_bytes(), headers=headers).status_code == 201


# ---------------------------------------------------------------------------------- the body


@pytest.mark.parametrize(
    ("path", "most", "content"),
    [("/v1/models", 1000, model_of), ("/v1/datasets", 2000, data_of)],
)
def test_an_upload_has_a_size_limit(
    path: str, most: int, content: Callable[[int], bytes], api: Api
) -> None:
    assert api.client.post(path, content=content(most)).status_code == 201
    assert refusal(api.client.post(path, content=content(most + 1))) == (413, "too_large")
    form = {"file": ("a", content(most))}
    assert api.client.post(path, files=form).status_code == 201
    form = {"file": ("a", content(most + 1))}
    assert refusal(api.client.post(path, files=form)) == (413, "too_large")


def test_a_declared_size_is_enough_to_refuse(api: Api) -> None:
    headers = {"Content-Length": "99999999"}

    def never() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = api.client.post("/v1/models", content=never(), headers=headers)
    assert refusal(answer) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/jobs"), ("POST", "/v1/sweeps"), ("PATCH", "/v1/models/mdl_1")],
)
def test_the_size_of_json_is_limited(method: str, path: str, api: Api) -> None:
    at = api.client.request(method, path, content=b'{"a": 1}'.ljust(500), headers=JSON)
    past = api.client.request(method, path, content=b'{"a": 1}'.ljust(501), headers=JSON)
    assert refusal(at) == (422, "invalid_input")
    assert refusal(past) == (413, "too_large")


def test_an_inference_body_has_a_size_limit(api: Api) -> None:
    at = api.client.post("/infer", content=b'{"inputs": 1}'.ljust(700), headers=JSON)
    past = api.client.post("/infer", content=b'{"inputs": 1}'.ljust(701), headers=JSON)
    assert refusal(at) == (422, "invalid_input")
    assert refusal(past) == (413, "too_large")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/sweeps", "/v1/jobs:plan"])
def test_the_depth_of_json_is_limited(path: str, api: Api) -> None:
    depth = api.context.settings.http.json_depth
    at, past = ("[" * n + "]" * n for n in (depth, depth + 1))
    assert refusal(api.client.post(path, content=at, headers=JSON)) == (422, "invalid_input")
    assert refusal(api.client.post(path, content=past, headers=JSON)) == (422, "json_too_deep")


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("1", 0),
        ("[]" * 50, 1),
        ('{"a": [{}]}', 3),
        ('["[[[[[["]', 1),
        (r'["\"[[[["]', 1),
        (r'["\\", [2]]', 2),
        (r'["\\\"[[[", [[3]]]', 3),
        ('["[[[[', 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_depth_is_that_outside_of_strings_however_the_body_comes(
    text: str, depth: int, size: int
) -> None:
    data = text.encode()
    for limit in {max(0, depth - 1), depth}:
        meter = DepthMeter(limit)
        for start in range(0, len(data), size):
            meter.feed(data[start : start + size])
        assert meter.is_too_deep() == (limit < depth)


@pytest.mark.parametrize(
    ("text", "num_values"),
    [
        ("1", 0),
        ("[]", 1),
        ("[[],[]]", 4),
        ('{"a":1,"b":[2,3]}', 6),
        ('{"a,:[{":"b,,,"}', 2),
        (r'["\",",\",,,"]', 5),
        (r'[""",",",,,"]', 2),
        (r'["\\",1]', 2),
        ('["' + "," * 1000 + '"]', 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_values_outside_of_strings_are_counted(text: str, num_values: int, size: int) -> None:
    data, meter = text.encode(), DepthMeter(9)
    for start in range(0, len(data), size):
        meter.feed(data[start : start + size])
    assert meter.num_values() == num_values


def test_json_has_a_number_of_values(tmp_path: Path) -> None:
    past, at = json.dumps([0] * 101), json.dumps([0] * 100)
    with running_api(tmp_path / "data", http={"json_values": 100}) as api:
        for method, path in (
            ("POST", "/v1/jobs"),
            ("POST", "/v1/jobs:plan"),
            ("POST", "/v1/sweeps"),
            ("PATCH", "/v1/models/mdl_1"),
            ("PATCH", "/v1/datasets/ds_1"),
            ("PUT", "/v1/models/a/aliases/b"),
            ("POST", "/v2/repository/index"),
        ):
            # Clients may leave the type out, and any route may get any JSON.
            for headers in (JSON, {}, {"Content-Type": "text/plain"}):
                answer = api.client.request(method, path, content=past, headers=headers)
                is_parsed = headers == JSON or method == "POST"
                assert answer.status_code == 413 or not is_parsed, (path, headers, answer.text)
                answer = api.client.request(method, path, content=at, headers=headers)
                assert answer.status_code != 413, (path, headers)
        # Tensors have limits of their own.
        assert api.client.post("/infer", content=past).status_code == 422


def test_a_bomb_of_brackets_is_refused_everywhere(api: Api) -> None:
    bomb = b"[" * 480
    for path in ("/v1/jobs", "/v1/sweeps", "/v1/jobs:plan", "/infer", "/v1/models/m/infer"):
        status, code = refusal(api.client.post(path, content=bomb, headers=JSON))
        assert (status, code) in {(422, "json_too_deep"), (422, "invalid_input")}, path
        plain = api.client.post(path, content=bomb)
        assert plain.status_code == 422, path


# ---------------------------------------------------------------------------------- forms


def test_too_many_form_fields_are_refused(api: Api) -> None:
    file = {"file": ("a.pt2", zip_bytes())}
    fields = {f"f{n}": "1" for n in range(api.context.settings.http.form_fields + 1)}
    answer = api.client.post("/v1/models", files=file, data=fields)
    assert refusal(answer) == (422, "invalid_input")


def test_a_form_field_has_a_size_limit(api: Api) -> None:
    files = {"model": ("a.pt2", zip_bytes())}
    fields = {"config": "{}".ljust(500)}
    assert api.client.post("/v1/jobs", files=files, data=fields).status_code == 202
    answer = api.client.post("/v1/jobs", files=files, data={"config": "{}".ljust(501)})
    assert refusal(answer) == (413, "too_large")


def test_extra_and_missing_files_in_a_form_are_refused(api: Api) -> None:
    one = ("file", ("a.pt2", zip_bytes()))
    assert api.client.post("/v1/models", files=[one]).status_code == 201
    for files in ([one, one], [one, ("other", ("b", b"1"))], [("other", ("b", b"1"))]):
        assert refusal(api.client.post("/v1/models", files=files)) == (422, "invalid_input")
    empty = api.client.post("/v1/models", files={"file": ("a.pt2", b"")})
    assert refusal(empty) == (422, "invalid_input")


def raw_form(*headers: str, body: bytes = zip_bytes(), end: bytes = b"\r\n--b--\r\n") -> bytes:
    lines = ['Content-Disposition: form-data; name="file"; filename="a.pt2"', *headers]
    return b"--b\r\n" + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body + end


def post_form(api: Api, content: bytes, boundary: str = "; boundary=b") -> Any:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    return api.client.post("/v1/models", content=content, headers=headers)


def test_the_number_of_part_headers_is_limited(api: Api) -> None:
    headers = [f"X-{n}: 1" for n in range(MAX_PART_HEADERS - 1)]
    assert post_form(api, raw_form(*headers)).status_code == 201
    assert refusal(post_form(api, raw_form(*headers, "X: 1"))) == (400, "bad_request")


def test_the_size_of_part_headers_is_limited(api: Api) -> None:
    room = MAX_PART_HEADER_BYTES - len("X: ")
    assert post_form(api, raw_form("X: " + "a" * room)).status_code == 201
    assert refusal(post_form(api, raw_form("X: " + "a" * (room + 1)))) == (400, "bad_request")


@pytest.mark.parametrize(
    ("content", "boundary"),
    [
        (raw_form(), ""),
        (raw_form(), "; boundary="),
        (raw_form(), "; boundary=" + "b" * 300),
        (raw_form(end=b""), "; boundary=b"),
        (b"", "; boundary=b"),
        (b"--b\r\n\r\nno name\r\n--b--\r\n", "; boundary=b"),
        (b"garbage", "; boundary=b"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(content: bytes, boundary: str, api: Api) -> None:
    assert refusal(post_form(api, content, boundary)) == (400, "bad_request")
    assert list((api.context.settings.scratch_dir / "uploads").iterdir()) == []


# ---------------------------------------------------------------------------------- text


@pytest.mark.parametrize("name", ["a\nb", "a\x07b", "a\x7fb", "a\x85b", "a\u2028b"])
def test_names_hold_no_control_characters(name: str, api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    for answer in (
        api.client.post("/v1/models", content=zip_bytes(), params={"name": name}),
        api.client.post("/v1/models", content=zip_bytes(), params={"filename": name}),
        api.client.patch(f"/v1/models/{model}", json={"name": name}),
        api.client.patch(f"/v1/models/{model}", json={"metadata": {name: "1"}}),
    ):
        assert refusal(answer) == (422, "invalid_input")


def test_file_names_in_forms_contain_no_control_characters(api: Api) -> None:
    for name in (b"a\x01b", b"\xff\xfe"):
        form = raw_form().replace(b"a.pt2", name)
        assert refusal(post_form(api, form)) == (422, "invalid_input")


def test_the_size_of_metadata_is_limited_and_nul_refused(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]

    def change(metadata: Mapping[str, str]) -> Any:
        text = json.dumps({"metadata": metadata})
        return api.client.patch(f"/v1/models/{model}", content=text, headers=JSON)

    assert change({"k" * 64: "two\nlines"}).status_code == 200
    assert change({"k" * 65: "v"}).status_code == 422
    assert change({"k": "a\0b"}).status_code == 422
    assert change({"k": "\ud800"}).status_code == 422


def test_page_sizes_and_waits_are_limited(api: Api) -> None:
    assert api.client.get("/v1/jobs?limit=100").status_code == 200
    assert refusal(api.client.get("/v1/jobs?limit=101")) == (422, "invalid_input")
    assert refusal(api.client.get("/v1/jobs/job_1?wait=60")) == (404, "not_found")
    assert refusal(api.client.get("/v1/jobs/job_1?wait=60.1")) == (422, "invalid_input")


def test_a_digest_is_kept_or_refused(api: Api) -> None:
    for digest in ("sha-256=:AAAA:", "md5=:AAAA:", "sha-256=:" + "A" * 43 + "=:"):
        answer = api.client.post(
            "/v1/models", content=zip_bytes(), headers={"Content-Digest": digest}
        )
        assert refusal(answer) == (422, "invalid_input")
