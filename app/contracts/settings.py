"""Every setting of the service, by concern. The only module that reads the environment.

``SECATEUR_API__PORT=9000`` sets ``settings.api.port``. Unknown ``SECATEUR_`` names are refused, so
a typo is an error and not a default. The defaults run everything on one machine, in ``data_dir``.
Names that clients read (`CLIENT_NAMES`) are allowed and ignored here.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SECATEUR_"
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
    """Where the API listens, and which callers it accepts."""

    host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8000, description="Port that the API listens on; 0: any free port."
    )
    is_auth_required: bool = Field(
        default=True,
        description="Whether every request needs an API key. Without keys the API serves this "
        "machine only.",
    )
    trusted_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names accepted in the Host header; empty: any name, or without keys only the "
        "names of this machine.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the API, such as https://example.org."
    )


class DatabaseSettings(_Group):
    """The database that holds the rows."""

    url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; unset: SQLite (WAL) in the data directory."
    )
    pool_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="PostgreSQL connections that one process keeps open."
    )


class QueueSettings(_Group):
    """The Redis server that notifies workers."""

    url: SecretStr | None = Field(
        default=None, description="Redis URL; unset: a unix socket in the data directory."
    )
    ring_seconds: Seconds = Field(
        default=5.0, description="How often workers are notified again about jobs still queued."
    )


class StorageSettings(_Group):
    """The store that holds the objects."""

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
        description="How long an object without a row is kept before it is deleted.",
    )
    collect_seconds: Seconds = Field(
        default=3600.0, description="How often objects without a row and old scratch are deleted."
    )

    @model_validator(mode="after")
    def _has_both_keys_or_none(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key must both be set, or neither")
        return self


class WorkerSettings(_Group):
    """How jobs run."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Device that jobs compute on: cpu, cuda or cuda:N.",
    )
    num_threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0, description="Threads of one job's process; 0: as many as cores."
    )
    lease_seconds: Seconds = Field(
        default=30.0,
        description="A job returns to the queue when its worker has not renewed its lease for this "
        "long. Must exceed `heartbeat_seconds`.",
    )
    heartbeat_seconds: Seconds = Field(
        default=3.0, description="How often a worker renews the lease of a running job."
    )
    reap_seconds: Seconds = Field(
        default=5.0, description="How often expired leases are looked for."
    )
    progress_timeout_seconds: Seconds = Field(
        default=1800.0, description="A job that reports no progress for this long is stopped."
    )
    time_limit_seconds: Seconds = Field(
        default=86_400.0, description="Longest run of a pruning job, over all its attempts."
    )
    intake_time_limit_seconds: Seconds = Field(
        default=300.0, description="Longest check of an uploaded model or data set."
    )
    cancel_grace_seconds: Seconds = Field(
        default=5.0,
        description="How long a job's process has to stop by itself before it is killed.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Attempts that a job gets before it fails."
    )
    checkpoint_seconds: Seconds = Field(
        default=60.0,
        description="How often training is saved, on disk and in the object store.",
    )
    gpus: tuple[Annotated[str, Field(pattern=r"^(GPU|MIG)-[\w/-]+$")], ...] = Field(
        default=(),
        description="UUIDs of the GPUs that get one worker each from `secateur serve`; empty: all. "
        "Only with device cuda.",
    )
    heartbeat_file: Path | None = Field(
        default=None,
        description="File touched every few seconds; `python -m worker.health` reads it.",
    )
    memory_bytes: Bytes | None = Field(
        default=None, description="Private memory of one job's process; unset: no limit."
    )
    file_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Largest file that a job's process may write."
    )
    open_files: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Files that a job's process may have open."
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
            raise ValueError("gpus is set, and device is cpu: set device to cuda, or gpus to none")
        return self


class LimitSettings(_Group):
    """Limits on uploads, bodies, models and data sets."""

    model_bytes: Bytes = Field(default=2 * GIBIBYTE, description="Largest model file.")
    dataset_bytes: Bytes = Field(default=8 * GIBIBYTE, description="Largest data set file.")
    json_bytes: Bytes = Field(default=1 * MEBIBYTE, description="Largest JSON body.")
    infer_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest body of an inference request."
    )
    image_pixels: Count = Field(
        default=25_000_000, description="Pixels of an image, in a data set or for inference."
    )
    model_members: Count = Field(default=20_000, description="Entries in a .pt2 file.")
    graph_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest JSON entry in a .pt2 file."
    )
    graph_nodes: Count = Field(default=50_000, description="Calls in a model's graph.")
    tensor_rank: Annotated[int, Field(ge=4, le=64)] = Field(
        default=8, description="Dimensions of any tensor that a model stores or computes."
    )
    tensor_elements: Count = Field(
        default=2**30, description="Elements of all tensors that a model stores, in total."
    )
    activation_bytes: Bytes = Field(
        default=4 * GIBIBYTE,
        description="Activations that a model holds in memory at once, for two samples.",
    )
    macs: Count = Field(
        default=10**12,
        description="Multiply-accumulates for one sample; any other operation counts as one for "
        "each element it computes.",
    )
    dataset_members: Count = Field(default=2_000_000, description="Files in a zip or tar.")
    unpacked_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Size of an unpacked data set on the worker's disk."
    )
    inflate_ratio: Count = Field(
        default=100,
        description="Unpacked size over packed size of image files, tars and Parquet files.",
    )
    array_inflate_ratio: Count = Field(
        default=500, description="Unpacked size over packed size of the arrays in a .npz file."
    )
    image_file_bytes: Bytes = Field(
        default=64 * MEBIBYTE, description="Largest image file in a data set."
    )
    samples: Count = Field(default=10_000_000, description="Samples in a data set.")
    sample_values: Count = Field(default=75_000_000, description="Numbers in one sample.")
    classes: Count = Field(default=100_000, description="Classes in a data set.")
    label_values: Count = Field(
        default=2**27, description="Label values in a data set, over all samples."
    )


class HttpSettings(_Group):
    """Limits on one request, and on requests and connections at the same time."""

    path_bytes: Bytes = Field(default=2048, description="Longest path of a URL.")
    query_bytes: Bytes = Field(default=16_384, description="Longest query of a URL.")
    num_headers: Count = Field(default=100, description="Headers of one request.")
    header_bytes: Bytes = Field(
        default=32_768, description="Size of all headers of one request, in total."
    )
    json_depth: Count = Field(default=64, description="Levels of arrays and objects in JSON.")
    form_fields: Count = Field(default=10, description="Text fields of a form with files.")
    concurrent_requests: Count = Field(
        default=4096,
        description="Requests that one process answers at once; `/healthz` is always answered.",
    )
    event_streams: Count = Field(
        default=1024, description="Event streams among them that may be open at once."
    )
    connections: Count = Field(
        default=8192,
        description="Connections of one process; fewer where it may open fewer files.",
    )
    buffered_bytes: Bytes = Field(
        default=1 * GIBIBYTE,
        description="Bodies that one process holds in memory at once; uploads are on disk. Must be "
        "at least `LIMITS__INFER_BYTES` and `LIMITS__JSON_BYTES`.",
    )
    keep_alive_seconds: Seconds = Field(
        default=10.0, description="How long an idle connection stays open."
    )
    head_seconds: Seconds = Field(
        default=10.0,
        description="Longest time from a connection, or a first byte, to the end of the headers.",
    )
    body_stall_seconds: Seconds = Field(default=30.0, description="Longest pause in a body.")
    body_bytes_per_second: Count = Field(
        default=1024, description="Slowest body, once `body_grace_seconds` are over."
    )
    body_grace_seconds: Seconds = Field(
        default=30.0, description="How long a body may be slower than that at its beginning."
    )
    write_stall_seconds: Seconds = Field(
        default=60.0, description="How long a client may leave its answer unread."
    )
    stop_seconds: Seconds = Field(
        default=10.0,
        description="How long open requests have to end when the process is stopped.",
    )


class QuotaSettings(_Group):
    """What one tenant may use; `GET /v1/quotas` shows each limit and its use."""

    stored_bytes: Bytes = Field(
        default=1024 * GIBIBYTE, description="Stored uploads and artifacts, in total."
    )
    uploads: Count = Field(default=64, description="Uploads to one API process at the same time.")
    queued_jobs: Count = Field(
        default=20_000, description="Jobs of any kind that wait for a worker or are paused."
    )
    running_jobs: Count = Field(
        default=100, description="Pruning jobs that run at the same time; more of them wait."
    )
    running_intakes: Count = Field(
        default=2,
        description="Uploads that are checked, and plans that are made, at the same time; more of "
        "them wait. Below the 3 that one intake worker runs, so that others never wait for one.",
    )
    compute_seconds: Annotated[float, Field(gt=0)] = Field(
        default=100 * 86_400.0, description="Compute time of all jobs on one day (UTC)."
    )
    event_streams: Count = Field(
        default=256, description="Event streams open at one API process at the same time."
    )
    requests_per_second: Count = Field(
        default=10_000,
        description="Requests to one API process in a second; all of them may arrive at once.",
    )


class InferenceSettings(_Group):
    """How models are served."""

    provider: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Device that ONNX Runtime computes on."
    )
    num_threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="ONNX Runtime threads of one session."
    )
    num_workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Batches, of all models, that are computed at the same time."
    )
    cache_bytes: Bytes = Field(
        default=1 * GIBIBYTE, description="Size of the loaded models' files, in total."
    )
    max_batch_items: Count | None = Field(
        default=None,
        description="Items that one run takes from several requests; unset: measured for each "
        "model when it is loaded; 1: requests are never batched.",
    )
    inline_seconds: Annotated[float, Field(ge=0, le=0.01)] = Field(
        default=0.002,
        description="A run expected to be shorter than this is computed on the event loop if no "
        "other run is under way, which saves waking a thread. 0: never. Never on a GPU.",
    )
    batch_seconds: Seconds = Field(
        default=0.02, description="Longest run that the measured batch size may lead to."
    )
    measure_seconds: Seconds = Field(
        default=0.25, description="How long the batch size is measured when a model is loaded."
    )
    queue_items: Count = Field(default=1024, description="Items that may wait for one model.")
    queue_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Size of the inputs that may wait for one model."
    )
    shadow_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the requests to pruned models that their dense parents compute too, "
        "in the background, to compare; `shadow_share` in a model's metadata takes precedence.",
    )


class WebhookSettings(_Group):
    """How webhooks are delivered."""

    deliver_seconds: Seconds = Field(
        default=2.0, description="How often deliveries that are due are looked for."
    )
    timeout_seconds: Seconds = Field(
        default=10.0,
        description="Longest attempt, from the connection to the headers of the answer.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=8,
        description="Attempts for one delivery, 5 s, 20 s, 80 s and so on apart, up to 6 hours.",
    )
    are_private_addresses_allowed: bool = Field(
        default=False,
        description="Whether webhooks may call loopback and private addresses.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities to trust besides the system's.",
    )


class Settings(BaseSettings):
    """All settings; ``Settings()`` reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Field(
        default=Path(".secateur"),
        description="Directory of the database, the objects, the Redis socket and scratch, unless "
        "they are set to be elsewhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe messages that are logged."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Format of the log: for people, or one JSON object a line."
    )
    api: ApiSettings = ApiSettings()
    database: DatabaseSettings = DatabaseSettings()
    queue: QueueSettings = QueueSettings()
    storage: StorageSettings = StorageSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    quotas: QuotaSettings = QuotaSettings()
    inference: InferenceSettings = InferenceSettings()
    webhooks: WebhookSettings = WebhookSettings()

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
    field = Settings.model_fields.get(first)
    group = field.annotation if field is not None else None
    if rest and isinstance(group, type) and issubclass(group, BaseModel):
        field = group.model_fields.get("__".join(rest))
    elif rest:
        field = None
    if field is None:
        raise ValueError(f"{name} is not a setting of Secateur; see docs/settings.md")
