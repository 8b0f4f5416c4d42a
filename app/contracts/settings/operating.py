"""Settings of webhooks, traces and retention."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.contracts.settings.fields import Count, Days, Group, Seconds

_SECONDS_A_DAY = 86_400.0
_UNDO_MARGIN_SECONDS = 600.0


class WebhookSettings(Group):
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


class ShareSettings(Group):
    """Links that show the report of one job without a key."""

    are_allowed: bool = Field(
        default=True, description="Allow links to reports; false stops the existing ones, too."
    )
    most_days: Days = Field(default=90.0, description="Longest time for which a link is valid.")
    most_per_job: Count = Field(default=20, description="Valid links to the report of one job.")
    views_per_second: Count = Field(
        default=5, description="Requests per second for one link, at one API process."
    )
    wrong_per_minute: Count = Field(
        default=60, description="Wrong links that one address may ask for in a minute."
    )


class FetchSettings(Group):
    """Models and data sets that the service fetches from URLs of its users."""

    is_allowed: bool = Field(default=True, description="Allow users to name URLs to fetch.")
    timeout_seconds: Seconds = Field(
        default=900.0, description="Longest fetch of a file, with its redirects."
    )
    most_redirects: Annotated[int, Field(ge=0, le=20)] = Field(
        default=5, description="Redirects that are followed; each is checked as the URL is."
    )
    concurrent: Count = Field(
        default=8, description="Files that are fetched at the same time, by one API process."
    )
    are_private_addresses_allowed: bool = Field(
        default=False,
        description="Allow URLs on loopback and private addresses. Users then reach what the "
        "service reaches.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities trusted in addition to the system's.",
    )


class TracingSettings(Group):
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


class RetentionSettings(Group):
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
    undo_days: Days = Field(
        default=1.0,
        description="Days for which a deleted job, model or data set can be restored; its files "
        "are kept for that time, and those of jobs count as stored.",
    )
    idempotency_days: Days | None = Field(
        default=7.0, description="Days for which an `Idempotency-Key` is remembered."
    )

    @property
    def undo_seconds(self) -> float:
        """Seconds for which a deletion can be undone."""
        return self.undo_days * _SECONDS_A_DAY

    @property
    def kept_deleted_seconds(self) -> float:
        """Seconds for which deleted things are kept: longer, so no collection meets an undo."""
        return self.undo_seconds + _UNDO_MARGIN_SECONDS
