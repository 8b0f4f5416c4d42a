"""Response schemas of latencies."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.paging import to_time
from app.records.tables import LatenciesRow


class DeviceLatencies(BaseModel):
    """Latencies of a model's layers at several widths, as a device measured them."""

    id: str
    object: Literal["latencies"] = "latencies"
    name: str
    filename: str | None
    sha256: str
    num_bytes: int
    model: str = Field(description="Id of the model that was measured; it may be deleted.")
    bench: str = Field(description="Id of its layers; models with the same layers share it.")
    device: str
    runtime: str
    runtime_version: str
    num_threads: int
    batch_size: int
    precisions: list[Literal["fp32", "int8"]]
    num_rows: int
    network_seconds: float | None = Field(
        description="Time of the whole dense network in fp32; null if it was not measured."
    )
    created_at: datetime | None


def to_latencies(row: LatenciesRow) -> DeviceLatencies:
    """Return the API's representation of a row."""
    return DeviceLatencies(
        id=row.id,
        name=row.name,
        filename=row.filename,
        sha256=row.sha256,
        num_bytes=row.num_bytes,
        model=row.model_id,
        bench=row.bench,
        created_at=to_time(row.created_at),
        **row.summary,
    )
