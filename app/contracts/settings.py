"""Settings of the service, grouped by concern. The only module that reads the environment.

``SECATEUR_API__PORT=9000`` sets ``settings.api.port``. A secret may lie in a file, such as those of
Docker and Kubernetes: ``SECATEUR_DATABASE__URL_FILE`` names the file. Unknown ``SECATEUR_`` names
are refused, so that a typo is an error. The defaults run everything on one machine, in
``data_dir``. Names read by clients (`CLIENT_NAMES`) are allowed and ignored here.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

PREFIX = "SECATEUR_"
_FILE = "_FILE"  # end of the name of a variable that names a file with a secret
CLIENT_NAMES = frozenset({"SECATEUR_URL", "SECATEUR_KEY"})
MEBIBYTE = 1024**2
GIBIBYTE = 1024**3

_BYTES_BY_UNIT = {"": 1, "b": 1} | {
    unit: factor**power
    for power, letter in enumerate("kmgtp", 1)
    for unit, factor in ((f"{letter}ib", 1024), (f"{letter}b", 1000))
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


def _parse_size(value: object) -> object:
    """Return the bytes of a size such as ``2 GiB``; return other values unchanged."""
    match = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or match[2] not in _BYTES_BY_UNIT:
        return value
    return int(float(match[1]) * _BYTES_BY_UNIT[match[2]]) if match[2] else match[1]


Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(_parse_size), Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Group):
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


class DatabaseSettings(_Group):
    """The database that holds the rows."""

    url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; unset: SQLite (WAL) in the data directory."
    )
    pool_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="PostgreSQL connections that one process keeps open."
    )
    transaction_seconds: Seconds = Field(
        default=30.0,
        description="Longest transaction on PostgreSQL. A connection that is silent for longer is "
        "closed; the server ends the transaction of a client that has vanished.",
    )


class QueueSettings(_Group):
    """The Redis server that notifies workers."""

    url: SecretStr | None = Field(
        default=None, description="Redis URL; unset: a unix socket in the data directory."
    )
    ring_seconds: Seconds = Field(
        default=5.0,
        description="Interval of repeated notifications to workers about jobs that are still "
        "queued.",
    )


class StorageSettings(_Group):
    """The object store."""

    url: str | None = Field(
        default=None,
        description="file:///path, s3://bucket/prefix, gs:// or az://; unset: the data directory.",
    )
    endpoint: str | None = Field(
        default=None, description="URL of an S3-compatible server; unset: AWS."
    )
    region: str | None = Field(default=None, description="Region of the S3 bucket.")
    access_key_id: SecretStr | None = Field(
        default=None,
        description="S3 access key; unset: the credentials of the machine's own environment.",
    )
    secret_access_key: SecretStr | None = Field(
        default=None, description="S3 secret key; set together with `access_key_id`."
    )
    orphan_seconds: Annotated[float, Field(ge=60)] = Field(
        default=86_400.0,
        description="Age at which objects without a row are deleted.",
    )
    collect_seconds: Seconds = Field(
        default=3600.0,
        description="Interval of deleting objects without a row and old scratch files.",
    )

    @model_validator(mode="after")
    def _has_both_keys_or_none(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key must both be set, or neither")
        return self


class WorkerSettings(_Group):
    """Execution of jobs."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Device for jobs: cpu, cuda or cuda:N.",
    )
    num_threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0, description="Threads of one job's process; 0: one per core."
    )
    lease_seconds: Seconds = Field(
        default=30.0,
        description="A job returns to the queue if its worker has not renewed its lease for this "
        "long. Must exceed `heartbeat_seconds`.",
    )
    heartbeat_seconds: Seconds = Field(
        default=3.0, description="Interval at which a worker renews the lease of a running job."
    )
    reap_seconds: Seconds = Field(
        default=5.0, description="Interval of the search for expired leases."
    )
    progress_timeout_seconds: Seconds = Field(
        default=1800.0, description="A job without progress for this long is stopped."
    )
    time_limit_seconds: Seconds = Field(
        default=86_400.0, description="Longest total run time of a pruning job, over all attempts."
    )
    intake_time_limit_seconds: Seconds = Field(
        default=300.0, description="Longest check of an uploaded model or data set."
    )
    cancel_grace_seconds: Seconds = Field(
        default=5.0,
        description="Time for a job's process to stop by itself before it is killed.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Attempts before a job fails."
    )
    max_setbacks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100,
        description="Failures of the infrastructure, such as an object store that is away, before "
        "a job fails. They are no attempts.",
    )
    outage_seconds: Seconds = Field(
        default=21_600.0,
        description="Longest time that a worker keeps a finished job while the object store or the "
        "database is away. Then the job is queued again, which is no attempt.",
    )
    scratch_free_bytes: Bytes = Field(
        default=256 * MEBIBYTE,
        description="A worker claims no jobs while its scratch folder has less free space than "
        "this, or than 5 % of the disk if that is less.",
    )
    checkpoint_seconds: Seconds = Field(
        default=60.0,
        description="Interval of training checkpoints, on disk and in the object store.",
    )
    latency_seconds: Seconds = Field(
        default=1.0,
        description="How long the dense and the pruned network take turns to be timed, for each "
        "batch size; up to 2.5 times as long while the measurements differ.",
    )
    gpus: tuple[Annotated[str, Field(pattern=r"^(GPU|MIG)-[\w/-]+$")], ...] = Field(
        default=(),
        description="UUIDs of the GPUs for which `secateur serve` starts a worker each; empty: "
        "all. Only with device cuda.",
    )
    heartbeat_file: Path | None = Field(
        default=None,
        description="File that a worker touches every few seconds, for `python -m worker.health`.",
    )
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None,
        description="Port on which a worker serves its metrics to Prometheus, without a key; "
        "unset: none. `secateur serve` gives each of its workers the next port.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a worker serves its metrics."
    )
    memory_bytes: Bytes | None = Field(
        default=None,
        description="Memory of one job's processes, shared memory included; unset: 80 % of the "
        "machine's or the container's, divided by the worker's jobs, at least 4 GiB of it.",
    )
    file_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Largest file that a job's process may write."
    )
    disk_bytes: Bytes | None = Field(
        default=None,
        description="What one job may write to the worker's disk, files that it deletes but keeps "
        "open included; unset: 75 % of the space that is free when it starts, divided by the "
        "worker's jobs.",
    )
    open_files: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Open files of a job's process."
    )
    is_root_allowed: bool = Field(
        default=True,
        description="Whether a worker may run as root of the machine, outside a container; it then "
        "logs a warning.",
    )
    job_threads: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Threads and processes of one job."
    )

    @model_validator(mode="after")
    def _renews_before_the_lease_ends(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g} and must exceed heartbeat_seconds, "
                f"{self.heartbeat_seconds:g}: otherwise every lease expires while its job runs"
            )
        return self

    @model_validator(mode="after")
    def _names_gpus_only_with_cuda(self) -> Self:
        if self.gpus and self.device == "cpu":
            raise ValueError("gpus is set, but device is cpu: set device to cuda or empty gpus")
        return self


class OutputSettings(_Group):
    """Limits on files and messages of a job's process."""

    files: Count = Field(default=64, description="Output files of a job.")
    total_bytes: Bytes = Field(
        default=16 * GIBIBYTE,
        description="Total size of a job's output files; holes count as bytes.",
    )
    checkpoint_files: Count = Field(
        default=10_000, description="Files and folders of a job's checkpoints."
    )
    checkpoint_bytes: Bytes = Field(
        default=32 * GIBIBYTE,
        description="Total size of a job's checkpoints. Larger ones are not copied to the object "
        "store, so another worker starts the job over.",
    )
    store_seconds: Seconds = Field(
        default=1800.0,
        description="Time for fetching a job's inputs from the object store, and for storing its "
        "outputs. A store that takes longer counts as away (`worker.outage_seconds`).",
    )
    message_bytes: Bytes = Field(
        default=16_384,
        description="Longest message of a job's process, such as a metric or a warning.",
    )
    result_bytes: Bytes = Field(
        default=16 * MEBIBYTE, description="Longest message with a plan or a result."
    )
    summary_bytes: Bytes = Field(
        default=1 * MEBIBYTE, description="Size of a pruning job's result in the job object."
    )
    messages_per_second: Count = Field(
        default=200,
        description="Messages read from a job's process per second; a faster process waits. Bursts "
        "may be ten times as large.",
    )
    events: Count = Field(
        default=100_000,
        description="Events of one attempt, without progress events, which are at most one a "
        "second.",
    )
    event_bytes: Bytes = Field(default=32 * MEBIBYTE, description="Total size of the same events.")


class LimitSettings(_Group):
    """Limits on uploads, bodies, models and data sets."""

    model_bytes: Bytes = Field(default=2 * GIBIBYTE, description="Largest model file.")
    dataset_bytes: Bytes = Field(default=8 * GIBIBYTE, description="Largest data set file.")
    json_bytes: Bytes = Field(default=1 * MEBIBYTE, description="Largest JSON body.")
    infer_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest body of an inference request."
    )
    image_pixels: Count = Field(
        default=25_000_000, description="Pixels of one image, in a data set or for inference."
    )
    model_members: Count = Field(default=20_000, description="Entries in a .pt2 file.")
    graph_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest JSON entry in a .pt2 file."
    )
    graph_nodes: Count = Field(default=50_000, description="Calls in a model's graph.")
    tensor_rank: Annotated[int, Field(ge=4, le=64)] = Field(
        default=8, description="Dimensions of a tensor that a model stores or computes."
    )
    tensor_elements: Count = Field(
        default=2**30, description="Total elements of all tensors that a model stores."
    )
    activation_bytes: Bytes = Field(
        default=4 * GIBIBYTE,
        description="Activations of a model that are in memory at once, for two samples, and what "
        "its operators hold inside.",
    )
    macs: Count = Field(
        default=10**12,
        description="Multiply-accumulates for one sample; any other operation counts as one per "
        "element it computes.",
    )
    dataset_members: Count = Field(default=2_000_000, description="Files in a zip or tar.")
    unpacked_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Size of an unpacked data set on the worker's disk."
    )
    inflate_ratio: Count = Field(
        default=100,
        description="Ratio of unpacked to packed size of image files, tars and Parquet files.",
    )
    array_inflate_ratio: Count = Field(
        default=500, description="Ratio of unpacked to packed size of the arrays in a .npz file."
    )
    image_file_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest image file in a data set."
    )
    samples: Count = Field(default=10_000_000, description="Samples in a data set.")
    sample_values: Count = Field(default=75_000_000, description="Values in one sample.")
    classes: Count = Field(default=100_000, description="Classes in a data set.")
    label_values: Count = Field(
        default=2**27, description="Label values in a data set, over all samples."
    )


class HttpSettings(_Group):
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


class QuotaSettings(_Group):
    """Quotas of one tenant; `GET /v1/quotas` shows each limit and its use."""

    stored_bytes: Bytes = Field(
        default=1024 * GIBIBYTE,
        description="Total size of stored uploads, artifacts, and events and results of jobs.",
    )
    uploads: Count = Field(default=64, description="Concurrent uploads to one API process.")
    upload_bytes: Bytes = Field(
        default=64 * GIBIBYTE,
        description="Total size of unfinished uploads to one API process, as declared or received. "
        "They also count toward `STORED_BYTES`.",
    )
    queued_jobs: Count = Field(
        default=20_000, description="Jobs of any kind that are queued or paused."
    )
    running_jobs: Count = Field(
        default=100, description="Concurrently running pruning jobs; further jobs wait."
    )
    running_intakes: Count = Field(
        default=2,
        description="Uploads that are checked, and plans that are made, at the same time; more of "
        "them wait. Below the 3 that one intake worker runs, so that others never wait for one.",
    )
    compute_seconds: Annotated[float, Field(gt=0)] = Field(
        default=100 * 86_400.0, description="Compute time of all jobs per day (UTC)."
    )
    event_streams: Count = Field(default=256, description="Open event streams at one API process.")
    waiting_requests: Count = Field(
        default=256,
        description="Concurrent requests to one API process that wait for a job or a plan.",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Largest share of an API process's requests, event streams and bytes of bodies "
        "that one tenant may hold, out of what the other tenants leave free. 0.5: one tenant gets "
        "a half, two get a third each, and some are left for the next. 1: all of them.",
    )
    requests_per_second: Count = Field(
        default=10_000,
        description="Requests per second to one API process; bursts up to this number are fine.",
    )


class InferenceSettings(_Group):
    """Serving of models."""

    provider: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Device that ONNX Runtime computes on."
    )
    num_threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Threads of one ONNX Runtime session."
    )
    num_workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Batches computed concurrently, over all models."
    )
    cache_bytes: Bytes = Field(
        default=1 * GIBIBYTE, description="Memory that the loaded models hold, as measured."
    )
    max_batch_items: Count | None = Field(
        default=None,
        description="Largest batch made from several requests; unset: measured for each model "
        "when it is loaded; 1: never batch requests.",
    )
    batch_seconds: Seconds = Field(
        default=0.02, description="Longest run allowed when the batch size is measured."
    )
    measure_seconds: Seconds = Field(
        default=0.25, description="Time spent on measuring the batch size when a model is loaded."
    )
    memory_bytes: Bytes | None = Field(
        default=None,
        description="Memory of the serving process, which holds the models and computes; unset: "
        "half of the machine's or the container's memory.",
    )
    run_bytes: Bytes = Field(
        default=512 * MEBIBYTE,
        description="Memory that one run may take, measured when a model is loaded. Larger "
        "requests are split, or refused if their items cannot be computed apart. Models whose "
        "sizes depend on values or on dimensions that clients choose share `cache_bytes` and "
        "`num_workers` times this, with all their runs.",
    )
    answer_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Size of the outputs of one request."
    )
    image_bytes: Bytes = Field(
        default=256 * MEBIBYTE,
        description="Size of the network inputs that the images of one request become.",
    )
    request_seconds: Seconds = Field(
        default=60.0,
        description="Compute time of one request. A request that would take longer is refused, and "
        "a run that takes longer is stopped.",
    )
    slice_seconds: Seconds = Field(
        default=0.1,
        description="Compute time after which a request of many items lets other requests run.",
    )
    queue_items: Count = Field(default=1024, description="Items that may wait for one model.")
    queue_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Size of the inputs that may wait for one model."
    )
    shadow_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the requests to pruned models that are also sent to the dense parent "
        "in the background, to compare them; `shadow_share` in a model's metadata takes "
        "precedence.",
    )


class WebhookSettings(_Group):
    """Delivery of webhooks."""

    deliver_seconds: Seconds = Field(
        default=2.0, description="Interval of the search for due deliveries."
    )
    timeout_seconds: Seconds = Field(
        default=10.0,
        description="Longest attempt, from the connection to the headers of the response.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=8,
        description="Attempts per delivery, with pauses of 5 s, 20 s, 80 s and so on up to 6 "
        "hours.",
    )
    concurrent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=32, description="Deliveries that are sent at the same time."
    )
    concurrent_per_tenant: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4, description="Deliveries of one tenant that are sent at the same time."
    )
    breaker_failures: Count = Field(
        default=3,
        description="Attempts in a row without a response after which a tenant's deliveries to a "
        "host rest.",
    )
    breaker_seconds: Seconds = Field(
        default=30.0,
        description="First rest. Then one delivery is tried; the rest doubles, up to 16 times, "
        "until there is a response.",
    )
    are_private_addresses_allowed: bool = Field(
        default=False,
        description="Allow webhooks to loopback and private addresses.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities trusted in addition to the system's.",
    )


class TracingSettings(_Group):
    """OpenTelemetry spans, from a request through its job to each stage."""

    endpoint: str | None = Field(
        default=None,
        description="URL to which spans are sent (OTLP over HTTP), such as "
        "http://localhost:4318/v1/traces; needs `pip install 'secateur[tracing]'`. Unset: no "
        "spans.",
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0, description="Share of the traces that are recorded."
    )


Days = Annotated[float, Field(gt=0, le=36_500)]


class RetentionSettings(_Group):
    """How long what has ended is kept. Removal runs with the collection of objects."""

    job_days: Days | None = Field(
        default=None,
        description="Days after its end when a job is removed, with its events and files; the "
        "models that it made stay. A sweep is removed with its last job. Unset: never.",
    )
    artifact_days: Days | None = Field(
        default=None,
        description="Days after a job's end when its files are removed. Unset: with the job.",
    )
    event_days: Days | None = Field(
        default=None,
        description="Days after a job's end when its events are removed, except those of its "
        "state. Unset: with the job.",
    )
    idempotency_days: Days | None = Field(
        default=7.0, description="Days for which an `Idempotency-Key` is remembered."
    )


class Settings(BaseSettings):
    """All settings; ``Settings()`` reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic's protocol
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from: arguments, then the environment with its files."""
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101  # the default
        env_settings.env_vars = _with_secrets(env_settings.env_vars)
        return init_settings, env_settings

    data_dir: Path = Field(
        default=Path(".secateur"),
        description="Directory of the database, the objects, the Redis socket and scratch files, "
        "unless other settings place them elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest severity that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        default="console",
        description="Format of the log: text for people, or one JSON object per line.",
    )
    api: ApiSettings = ApiSettings()
    database: DatabaseSettings = DatabaseSettings()
    queue: QueueSettings = QueueSettings()
    storage: StorageSettings = StorageSettings()
    worker: WorkerSettings = WorkerSettings()
    outputs: OutputSettings = OutputSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    quotas: QuotaSettings = QuotaSettings()
    inference: InferenceSettings = InferenceSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _can_buffer_the_largest_body(self) -> Self:
        for name in ("infer_bytes", "json_bytes"):
            limit = getattr(self.limits, name)
            if self.http.buffered_bytes < limit:
                raise ValueError(
                    f"http.buffered_bytes is {self.http.buffered_bytes} and must be at least "
                    f"limits.{name}, {limit}: otherwise the largest body is never accepted"
                )
        return self

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'secateur.db'}"

    @property
    def queue_url(self) -> str:
        """The Redis URL in force, in Celery's spelling."""
        if self.queue.url is not None:
            return self.queue.url.get_secret_value()
        return f"redis+socket://{self.redis_socket}"

    @property
    def redis_socket(self) -> Path:
        """Socket of the embedded Redis."""
        return self.data_dir.absolute() / "redis.sock"

    @property
    def storage_url(self) -> str:
        """The object store's URL in force."""
        return self.storage.url or f"file://{self.data_dir.absolute() / 'objects'}"

    @property
    def scratch_dir(self) -> Path:
        """Folder for uploads in progress and running jobs; private to this machine."""
        return self.data_dir.absolute() / "scratch"


def _with_secrets(environment: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Return the environment with the contents of files in place of the variables that name them.

    Raises:
        ValueError: A file cannot be read, or the secret is set twice.
    """
    found = {name.upper(): value for name, value in environment.items()}
    for group, name in SECRETS:
        variable = f"{PREFIX}{group}__{name}".upper()
        path = found.pop(variable + _FILE, None)
        if path:
            if found.get(variable) is not None:
                raise ValueError(f"{variable} and {variable}{_FILE} are both set; unset one")
            found[variable] = _read_secret(variable + _FILE, path)
    return {name.lower(): value for name, value in found.items()}  # as pydantic looks them up


def _read_secret(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"{variable} names {path}, which cannot be read: {reason}") from error
    if not text:
        raise ValueError(f"{variable} names {path}, which is empty")
    return text


def _find_secrets() -> Iterator[tuple[str, str]]:
    for group, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, inner in kind.model_fields.items():
                if SecretStr in (inner.annotation, *get_args(inner.annotation)):
                    yield group, name


# Group and name of each secret setting.
SECRETS = tuple(_find_secrets())


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment.

    Raises:
        ValueError: A name with our prefix is not a setting, or a value is out of bounds.
    """
    names = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    for name in sorted(names):
        if name.upper().startswith(PREFIX) and name not in CLIENT_NAMES:
            _check_name(name)
    return Settings()


def _check_name(name: str) -> None:
    first, *rest = name[len(PREFIX) :].lower().split("__")
    if name.endswith(_FILE) and (first, "__".join(rest)[: -len(_FILE)]) in SECRETS:
        return
    field = Settings.model_fields.get(first)
    group = field.annotation if field is not None else None
    if rest and isinstance(group, type) and issubclass(group, BaseModel):
        field = group.model_fields.get("__".join(rest))
    elif rest:
        field = None
    if field is None:
        raise ValueError(f"{name} is not a setting of Secateur; see docs/settings.md")
