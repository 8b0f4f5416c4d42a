"""Every setting of the service, by concern. The only module that reads the environment.

``SECATEUR_API__PORT=9000`` sets ``settings.api.port``. Unknown ``SECATEUR_`` names are refused, so
a typo is an error and not a default. The defaults run everything on one machine, in ``data_dir``.
The names that clients read (`CLIENT_NAMES`) may be there as well, and mean nothing here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SECATEUR_"
CLIENT_NAMES = frozenset({"SECATEUR_URL", "SECATEUR_KEY"})
MEBIBYTE = 1024**2
GIBIBYTE = 1024**3

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Group):
    """Where the API listens and who may come in."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    is_auth_required: bool = True
    trusted_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names that a Host header may have; empty: any, or without authentication only "
        "those of this machine.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the API, such as https://example.org."
    )


class DatabaseSettings(_Group):
    """Where the rows are."""

    url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; unset: SQLite (WAL) in the data directory."
    )
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10


class QueueSettings(_Group):
    """Where the doorbell is."""

    url: SecretStr | None = Field(
        default=None, description="Redis URL; unset: a unix socket in the data directory."
    )
    ring_seconds: Seconds = Field(
        default=5.0, description="How often rows that stayed queued are rung again."
    )


class StorageSettings(_Group):
    """Where the objects are."""

    url: str | None = Field(
        default=None,
        description="file:///path, s3://bucket/prefix, gs:// or az://; unset: the data directory.",
    )
    endpoint: str | None = Field(default=None, description="For stores that speak S3.")
    region: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    orphan_seconds: Annotated[float, Field(ge=60)] = Field(
        default=86_400.0, description="How long an object that nothing refers to is left alone."
    )
    collect_seconds: Seconds = Field(
        default=3600.0, description="How often such objects, and scratch, are looked for."
    )


class WorkerSettings(_Group):
    """How jobs run."""

    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    num_threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0, description="Threads of one job's process; 0: as many as cores."
    )
    lease_seconds: Seconds = 30.0
    heartbeat_seconds: Seconds = 3.0
    reap_seconds: Seconds = 5.0
    progress_timeout_seconds: Seconds = Field(
        default=1800.0, description="A job that reports nothing for this long is stopped."
    )
    time_limit_seconds: Seconds = 86_400.0
    intake_time_limit_seconds: Seconds = 600.0
    cancel_grace_seconds: Seconds = 5.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    checkpoint_seconds: Seconds = Field(
        default=60.0,
        description="How often a job in training is saved, on disk and in the object store.",
    )
    gpus: tuple[Annotated[str, Field(pattern=r"^(GPU|MIG)-[\w/-]+$")], ...] = Field(
        default=(),
        description="With device cuda: UUIDs that get a worker each from `secateur serve`; empty: "
        "all.",
    )
    heartbeat_file: Path | None = Field(
        default=None, description="Touched every few seconds; what `python -m worker.health` reads."
    )
    memory_bytes: Bytes | None = Field(
        default=None, description="Private memory of one job's process; unset: no limit."
    )
    file_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="The largest file that a job's process may write."
    )
    open_files: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Files that a job's process may have open."
    )


class LimitSettings(_Group):
    """What is refused for its size."""

    model_bytes: Bytes = 2 * GIBIBYTE
    dataset_bytes: Bytes = 8 * GIBIBYTE
    json_bytes: Bytes = 1 * MEBIBYTE
    infer_bytes: Bytes = 64 * MEBIBYTE
    image_pixels: Count = 25_000_000
    model_members: Count = Field(default=20_000, description="Entries of a .pt2 file.")
    graph_bytes: Bytes = Field(default=64 * MEBIBYTE, description="One JSON entry of a .pt2 file.")
    graph_nodes: Count = Field(default=50_000, description="Calls of a graph.")
    tensor_rank: Annotated[int, Field(ge=4, le=64)] = Field(
        default=8, description="Dimensions of any tensor that a model stores or computes."
    )
    tensor_elements: Count = Field(
        default=2**30, description="Of all stored tensors of a model together."
    )
    activation_bytes: Bytes = Field(
        default=4 * GIBIBYTE,
        description="What a model has in memory at once, beside its tensors, for two samples.",
    )
    macs: Count = Field(
        default=10**12,
        description="Multiply-accumulates for one sample; what else computes an element counts as "
        "one.",
    )
    dataset_members: Count = Field(default=2_000_000, description="Files in a zip or tar.")
    unpacked_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="A data set as it lies on the worker's disk."
    )
    inflate_ratio: Count = Field(
        default=100, description="Of image files, tars and Parquet files: most do not inflate."
    )
    array_inflate_ratio: Count = Field(default=500, description="Of the arrays of a .npz file.")
    image_file_bytes: Bytes = Field(default=64 * MEBIBYTE, description="One image in a data set.")
    samples: Count = 10_000_000
    sample_values: Count = Field(default=75_000_000, description="Numbers in one sample.")
    classes: Count = 100_000
    label_values: Count = Field(default=2**27, description="Of all samples together.")


class HttpSettings(_Group):
    """What one request may be, how long it may take, and how many there are at once."""

    path_bytes: Bytes = 2048
    query_bytes: Bytes = 16_384
    num_headers: Count = 100
    header_bytes: Bytes = Field(default=32_768, description="Of all headers together.")
    json_depth: Count = 64
    form_fields: Count = Field(default=10, description="Text fields of a form with files.")
    concurrent_requests: Count = Field(
        default=4096, description="Requests of one process at once; `/healthz` is always answered."
    )
    event_streams: Count = Field(default=1024, description="Of them, streams of events.")
    connections: Count = Field(
        default=8192, description="Of one process; fewer where it may open fewer files."
    )
    buffered_bytes: Bytes = Field(
        default=1 * GIBIBYTE,
        description="Bodies in memory at once, in one process; uploads are on disk instead.",
    )
    keep_alive_seconds: Seconds = 10.0
    head_seconds: Seconds = Field(
        default=10.0, description="From a connection, or a first byte, to the end of the headers."
    )
    body_stall_seconds: Seconds = Field(default=30.0, description="The longest pause in a body.")
    body_bytes_per_second: Count = Field(
        default=1024, description="The slowest body, once `body_grace_seconds` are over."
    )
    body_grace_seconds: Seconds = 30.0
    write_stall_seconds: Seconds = Field(
        default=60.0, description="How long a client may leave its answer unread."
    )
    stop_seconds: Seconds = Field(
        default=10.0, description="What open requests get to end when the process is stopped."
    )


class QuotaSettings(_Group):
    """What one tenant may have; `GET /v1/quotas` shows it with what is used."""

    stored_bytes: Bytes = Field(
        default=1024 * GIBIBYTE, description="Uploads that are not deleted, and artifacts."
    )
    uploads: Count = Field(default=64, description="On their way at once, to one API process.")
    queued_jobs: Count = Field(
        default=20_000, description="Jobs of any kind that wait for a worker or are paused."
    )
    running_jobs: Count = Field(
        default=100, description="Pruning jobs at once; the others wait in line."
    )
    compute_seconds: Annotated[float, Field(gt=0)] = Field(
        default=100 * 86_400.0, description="Of all jobs together, on one day (UTC)."
    )
    event_streams: Count = Field(default=256, description="Open at once at one API process.")
    requests_per_second: Count = Field(
        default=10_000, description="To one API process; as many may come at the same moment."
    )


class InferenceSettings(_Group):
    """How models are served."""

    provider: Literal["cpu", "cuda"] = "cpu"
    num_threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="ONNX Runtime threads of one session."
    )
    num_workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Batches, of all models, that are computed at the same time."
    )
    cache_bytes: Bytes = Field(
        default=1 * GIBIBYTE, description="Of the files behind the sessions that are held."
    )
    max_batch_items: Count | None = Field(
        default=None,
        description="Items that one run takes from several requests; unset: measured for each "
        "model when it is loaded; 1: requests are never put together.",
    )
    inline_seconds: Annotated[float, Field(ge=0, le=0.01)] = Field(
        default=0.002,
        description="A run expected to be no longer than this, with nothing beside it, is computed "
        "where its request was read: waking a thread would take longer. 0: never; never on a GPU.",
    )
    batch_seconds: Seconds = Field(
        default=0.02, description="What a measured batch may take at most."
    )
    measure_seconds: Seconds = Field(
        default=0.25, description="How long that measurement may take, when a model is loaded."
    )
    queue_items: Count = Field(default=1024, description="Items that wait for one model.")
    queue_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Of inputs that wait for one model."
    )
    shadow_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the requests to pruned models that their dense parents compute too, "
        "in the background, to compare; a model's metadata `shadow_share` goes before.",
    )


class WebhookSettings(_Group):
    """How receivers are told about jobs."""

    deliver_seconds: Seconds = Field(
        default=2.0, description="How often deliveries that are due are looked for."
    )
    timeout_seconds: Seconds = Field(
        default=10.0, description="Of one attempt, from the connection to the answer's head."
    )
    max_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=8, description="Waits between them are 5 s, 20 s, 80 s and so on, up to 6 hours."
    )
    are_private_addresses_allowed: bool = Field(
        default=False,
        description="Whether loopback and private addresses may be called, for receivers inside.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust besides the system's."
    )


class Settings(BaseSettings):
    """All settings; ``Settings()`` reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".secateur")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
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
        """Where the embedded Redis listens."""
        return self.data_dir.absolute() / "redis.sock"

    @property
    def storage_url(self) -> str:
        """The object store's URL in force."""
        return self.storage.url or f"file://{self.data_dir.absolute() / 'objects'}"

    @property
    def scratch_dir(self) -> Path:
        """Where uploads land and jobs work; private to this machine."""
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
