"""Settings of the service, grouped by concern. Nothing else reads the environment.

``SECATEUR_API__PORT=9000`` sets ``settings.api.port``. A secret may lie in a file, such as those of
Docker and Kubernetes: ``SECATEUR_DATABASE__URL_FILE`` names the file. Unknown ``SECATEUR_`` names
are refused, so that a typo is an error. The defaults run everything on one machine, in
``data_dir``. Names read by clients (`CLIENT_NAMES`) are allowed and ignored here.
"""

from app.contracts.settings.environment import (
    CLIENT_NAMES,
    PREFIX,
    SECRETS,
    Settings,
    check_name,
    load_settings,
)
from app.contracts.settings.fields import GIBIBYTE, MEBIBYTE
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

__all__ = [
    "CLIENT_NAMES",
    "GIBIBYTE",
    "MEBIBYTE",
    "PREFIX",
    "SECRETS",
    "ApiSettings",
    "DatabaseSettings",
    "FetchSettings",
    "HttpSettings",
    "InferenceSettings",
    "LimitSettings",
    "OutputSettings",
    "QueueSettings",
    "QuotaSettings",
    "RetentionSettings",
    "Settings",
    "ShareSettings",
    "StorageSettings",
    "TracingSettings",
    "WebhookSettings",
    "WorkerSettings",
    "check_name",
    "load_settings",
]
