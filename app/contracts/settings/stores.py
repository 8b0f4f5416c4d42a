"""Settings of the database, the Redis server and the object store."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from app.contracts.settings.fields import Group, Seconds


class DatabaseSettings(Group):
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


class QueueSettings(Group):
    """The Redis server that notifies workers."""

    url: SecretStr | None = Field(
        default=None, description="Redis URL; unset: a unix socket in the data directory."
    )
    ring_seconds: Seconds = Field(
        default=5.0,
        description="Interval of repeated notifications to workers about jobs that are still "
        "queued.",
    )


class StorageSettings(Group):
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
