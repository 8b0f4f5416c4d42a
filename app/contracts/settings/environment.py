"""All settings together, read from the environment."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.contracts.settings.http import ApiSettings, HttpSettings
from app.contracts.settings.inference import InferenceSettings
from app.contracts.settings.jobs import OutputSettings, WorkerSettings
from app.contracts.settings.limits import LimitSettings, QuotaSettings
from app.contracts.settings.operating import (
    FetchSettings,
    RetentionSettings,
    ShareSettings,
    TracingSettings,
    WebhookSettings,
)
from app.contracts.settings.stores import DatabaseSettings, QueueSettings, StorageSettings

PREFIX = "SECATEUR_"
_FILE = "_FILE"  # end of the name of a variable that names a file with a secret
CLIENT_NAMES = frozenset({"SECATEUR_URL", "SECATEUR_KEY"})


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
    shares: ShareSettings = ShareSettings()
    fetch: FetchSettings = FetchSettings()
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
            check_name(name)
    return Settings()


def check_name(name: str) -> None:
    """Check that a variable with our prefix names a setting.

    Raises:
        ValueError: It does not.
    """
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
