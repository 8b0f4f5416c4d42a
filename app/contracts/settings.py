"""Every setting of the service, by concern. The only module that reads the environment.

``SECATEUR_API__PORT=9000`` sets ``settings.api.port``. Unknown ``SECATEUR_`` names are refused, so
a typo is an error and not a default. The defaults run everything on one machine, in ``data_dir``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SECATEUR_"
MEBIBYTE = 1024**2
GIBIBYTE = 1024**3

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(_Group):
    """Where the API listens and who may come in."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    is_auth_required: bool = True


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
    image_pixels: Annotated[int, Field(gt=0)] = 25_000_000


class InferenceSettings(_Group):
    """How models are served."""

    provider: Literal["cpu", "cuda"] = "cpu"
    num_threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="ONNX Runtime threads of one session."
    )
    num_workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Inference calls that run at the same time."
    )
    cache_bytes: Bytes = 1 * GIBIBYTE


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
        if name.upper().startswith(PREFIX):
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
