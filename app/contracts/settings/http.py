"""Settings of the API: its address, and limits on requests and connections."""

from typing import Annotated

from pydantic import Field

from app.contracts.settings.fields import GIBIBYTE, Bytes, Count, Group, Seconds


class ApiSettings(Group):
    """Address of the API and the callers it accepts."""

    host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8000, description="Port that the API listens on; 0: any free port."
    )
    is_auth_required: bool = Field(
        default=True,
        description="Require an API key for every request. Without keys, the API only serves the "
        "local machine.",
    )
    trusted_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names accepted in the Host header; empty: any name, or without keys only "
        "names of the local machine.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins of web pages that may call the API, such as https://example.org.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies, such as 10.0.0.0/8, whose `X-Forwarded-For` "
        "names the client; from others the header is ignored. Unused without keys.",
    )
    wrong_keys: Count = Field(
        default=200,
        description="Wrong API keys that one address may send in a minute. After that it gets 429 "
        "for keys that the process has not seen valid; other keys from there are still accepted.",
    )


class HttpSettings(Group):
    """Limits on single requests, and on concurrent requests and connections."""

    path_bytes: Bytes = Field(default=2048, description="Longest path of a URL.")
    query_bytes: Bytes = Field(default=16_384, description="Longest query of a URL.")
    num_headers: Count = Field(default=100, description="Headers of one request.")
    header_bytes: Bytes = Field(
        default=32_768, description="Total size of the headers of one request."
    )
    json_depth: Count = Field(
        default=64, description="Nesting depth of arrays and objects in JSON."
    )
    json_values: Count = Field(
        default=20_000,
        description="Values in JSON, with keys, arrays and objects; tensors of inference requests "
        "are limited by `LIMITS__INFER_BYTES` and `BUFFERED_BYTES`.",
    )
    form_fields: Count = Field(default=10, description="Text fields of a form with files.")
    concurrent_requests: Count = Field(
        default=4096,
        description="Concurrent requests to one process; `/healthz` is always answered.",
    )
    event_streams: Count = Field(
        default=1024, description="Open event streams among the concurrent requests."
    )
    connections: Count = Field(
        default=8192,
        description="Connections of one process; fewer if its limit of open files is lower.",
    )
    buffered_bytes: Bytes = Field(
        default=1 * GIBIBYTE,
        description="Total size of the bodies that one process holds in memory, of what their JSON "
        "takes once it is parsed, and of the tensors that images become and that answer requests; "
        "uploads are on disk. Must be at least `LIMITS__INFER_BYTES` and `LIMITS__JSON_BYTES`.",
    )
    keep_alive_seconds: Seconds = Field(
        default=10.0, description="Time after which an idle connection is closed."
    )
    head_seconds: Seconds = Field(
        default=10.0,
        description="Longest time to receive the headers, from the connection or the first byte.",
    )
    body_stall_seconds: Seconds = Field(
        default=30.0, description="Longest pause while receiving a body."
    )
    body_bytes_per_second: Count = Field(
        default=1024, description="Slowest accepted rate of a body after `body_grace_seconds`."
    )
    body_grace_seconds: Seconds = Field(
        default=30.0, description="Time before `body_bytes_per_second` applies to a body."
    )
    write_stall_seconds: Seconds = Field(
        default=60.0, description="Longest time that a client may leave a response unread."
    )
    leave_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        default=0.0,
        description="Time between SIGTERM and the closing of the port. `GET /readyz` answers 503 "
        "meanwhile, so that a balancer finds out in time; set it to more than the interval at "
        "which yours asks.",
    )
    stop_seconds: Seconds = Field(
        default=10.0,
        description="Time for open requests to finish when the process is stopped, after "
        "`leave_seconds`.",
    )
